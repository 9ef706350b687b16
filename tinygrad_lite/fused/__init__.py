"""Fused ops: what a GPT computes often enough to deserve a kernel of its own.

One file holds an op's formula, forward kernel, backward kernel and public function. Each has a
composed twin in the tests, built from the primitives of `tinygrad_lite.ops`.
"""

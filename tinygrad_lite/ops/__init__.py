"""Ops on NumPy: a few primitives with their derivatives, and what is composed from them."""

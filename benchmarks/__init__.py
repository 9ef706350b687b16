"""Ours beside NumPy and PyTorch, in one run: `python -m benchmarks --help`."""

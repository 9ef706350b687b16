"""Reductions inside a kernel: over one row, and over the rows of a matrix."""

import numpy as np
from numba import prange

from tinygrad_lite.kernels.compile import CHUNKS, inlined, kernel

LANES = 16  # running maxima kept side by side, so that the loop over them is vector code


@inlined
def row_max(x, at, n, lanes, lanes_at):
    """The largest of x[at : at + n]; lanes[lanes_at : + LANES] is scratch.

    LLVM cannot vectorise a maximum that must respect NaN, so LANES maxima run in parallel.
    """
    for lane in range(LANES):
        lanes[lanes_at + lane] = -np.inf
    whole = n // LANES * LANES
    for j in range(0, whole, LANES):
        for lane in range(LANES):
            value = x[at + j + lane]
            best = lanes[lanes_at + lane]
            lanes[lanes_at + lane] = value if value > best else best
    largest = lanes[lanes_at]
    for lane in range(1, LANES):
        largest = max(largest, lanes[lanes_at + lane])
    for j in range(whole, n):
        largest = max(largest, x[at + j])
    return largest


@kernel
def sum_rows_kernel(out, x):
    """out (C,) = sum over rows of x (N, C); each iteration owns some columns."""
    rows, columns = x.shape
    for chunk in prange(CHUNKS):
        start, stop = columns * chunk // CHUNKS, columns * (chunk + 1) // CHUNKS
        for j in range(start, stop):
            out[j] = 0
        for i in range(rows):
            for j in range(start, stop):
                out[j] += x[i, j]


def sum_rows(x: np.ndarray) -> np.ndarray:
    """(C,): the sum of x (..., C) over all axes but the last"""
    x = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    out = np.empty(x.shape[-1], x.dtype)
    sum_rows_kernel(out, x)
    return out


def as_rows(x: np.ndarray) -> np.ndarray:
    """x (..., C) as a C-contiguous matrix (N, C)"""
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])

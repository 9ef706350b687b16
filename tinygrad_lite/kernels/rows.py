"""Reductions inside a kernel: over one row, and over the rows of a matrix."""

import math

import numpy as np
from numba import prange

from tinygrad_lite.kernels.compile import CHUNKS, inlined, kernel, part_of

LANES = 16  # running maxima kept side by side, so that the loop over them is vector code


@inlined
def row_max(x, lanes):
    """The largest of x (n,); lanes (LANES,) is scratch.

    LLVM cannot vectorise a maximum that must respect NaN, so LANES maxima run in parallel.
    """
    for lane in range(LANES):
        lanes[lane] = -np.inf
    for j in range(0, x.size // LANES * LANES, LANES):
        block = x[j : j + LANES]
        for lane in range(LANES):
            lanes[lane] = block[lane] if block[lane] > lanes[lane] else lanes[lane]
    largest = lanes[0]
    for lane in range(1, LANES):
        largest = max(largest, lanes[lane])
    for value in x[x.size // LANES * LANES :]:
        largest = max(largest, value)
    return largest


@kernel
def sum_rows_kernel(out, x):
    """out (C,) = sum over rows of x (N, C); each iteration owns some columns."""
    rows, columns = x.shape
    for chunk in prange(CHUNKS):
        part = part_of(columns, chunk)
        out_ = out[part]
        out_[:] = 0
        for i in range(rows):
            x_ = x[i, part]
            for j in range(x_.size):
                out_[j] += x_[j]


def sum_rows(x: np.ndarray) -> np.ndarray:
    """(C,): the sum of x (..., C) over all axes but the last"""
    out = np.empty(x.shape[-1], x.dtype)
    sum_rows_kernel(out, as_rows(x))
    return out


def as_rows(x: np.ndarray) -> np.ndarray:
    """x (..., C) as a C-contiguous matrix (N, C)"""
    return np.ascontiguousarray(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])

"""Recurrences along an axis."""

import math

import numpy as np

from tinygrad_lite.kernels.arrays import contiguous
from tinygrad_lite.kernels.compile import kernel, part_of


@kernel
def reversed_products_kernel(chunk, out, g, x):
    """out[:, i] = g[:, i] + x[:, i + 1] * out[:, i + 1], all (outer, middle, inner)"""
    outer, middle, inner = x.shape
    rows = part_of(outer, chunk)
    for o in range(rows.start, rows.stop):
        for j in range(inner):
            out[o, middle - 1, j] = g[o, middle - 1, j]
        for i in range(middle - 2, -1, -1):
            for j in range(inner):
                out[o, i, j] = g[o, i, j] + x[o, i + 1, j] * out[o, i + 1, j]


def reversed_products(g: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    """out[i] = g[i] + x[i + 1] * out[i + 1] along an axis, out[last] = g[last]"""
    axis = np.lib.array_utils.normalize_axis_index(axis, x.ndim)
    sizes = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    out = np.empty(x.shape, g.dtype, like=x)
    if x.size:
        whole = contiguous(g).reshape(sizes), contiguous(x, g.dtype).reshape(sizes)
        reversed_products_kernel(out.reshape(sizes), *whole)
    return out

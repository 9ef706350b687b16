"""Softmax and its logarithm along one axis.

p[i] = exp(x[i] - m) / sum over j of exp(x[j] - m),  m = max of x
    dx = p * (g - sum of g * p)
log p[i] = x[i] - m - log(sum over j of exp(x[j] - m))
    dx = g - p * sum of g
"""

import numpy as np

from tinygrad_lite.kernels.arrays import as_rows, float_dtype
from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.rows import dot, largest, log_of_sum, sum_and_ones, total
from tinygrad_lite.kernels.simd import exp
from tinygrad_lite.ops.axes import takes_axis
from tinygrad_lite.tensor import op


@kernel
def softmax_forward(chunk, p, x):
    rows, columns = part_of(len(x), chunk), x.shape[1]
    p, x = p[rows], x[rows]
    one = x.dtype.type(1)
    for i in range(len(x)):
        shift = largest(x[i])
        for j in range(columns):
            p[i, j] = exp(x[i, j] - shift)
        scale = one / total(p[i])
        for j in range(columns):
            p[i, j] *= scale


@kernel
def softmax_backward(chunk, dx, g, p):
    rows, columns = part_of(len(p), chunk), p.shape[1]
    dx, g, p = dx[rows], g[rows], p[rows]
    for i in range(len(p)):
        g_p = dot(g[i], p[i])
        for j in range(columns):
            dx[i, j] = p[i, j] * (g[i, j] - g_p)


@kernel
def log_softmax_forward(chunk, y, x):
    rows, columns = part_of(len(x), chunk), x.shape[1]
    y, x = y[rows], x[rows]
    for i in range(len(x)):
        highest = largest(x[i])
        for j in range(columns):
            y[i, j] = exp(x[i, j] - highest)
        others, ones = sum_and_ones(y[i])
        others += ones - 1.0
        log_total = x.dtype.type(log_of_sum(others))
        for j in range(columns):
            y[i, j] = (x[i, j] - highest) - log_total  # their sum, rounded, would lose digits


@kernel
def log_softmax_backward(chunk, dx, g, y):
    rows, columns = part_of(len(y), chunk), y.shape[1]
    dx, g, y = dx[rows], g[rows], y[rows]
    for i in range(len(y)):
        sum_g = total(g[i])
        for j in range(columns):
            dx[i, j] = g[i, j] - exp(y[i, j]) * sum_g


def _along_last(x, axis, dtype):
    """(N, C) rows in which `axis` is last, and the way back to the shape of x"""
    moved = np.moveaxis(x, axis, -1)

    def back(rows):
        return np.moveaxis(rows.reshape(moved.shape), -1, axis)

    return as_rows(moved, dtype), back


def _rowwise(x, axis, forward, backward):
    if x.ndim == 0:
        raise ValueError("softmax: there must be an axis.\n  got shape ()\n  try x.reshape(1)")
    dtype = float_dtype(x)
    rows, back = _along_last(x, axis, dtype)
    y = np.empty_like(rows)
    if y.size:
        forward(y, rows)

    def vjp(g):
        g_rows, _ = _along_last(g, axis, dtype)
        dx = np.empty_like(rows)
        if dx.size:
            backward(dx, g_rows, y)
        return (back(dx),)

    return back(y), vjp


@takes_axis
@op
def softmax(x, axis=-1):
    """exp(x) / sum(exp(x)) along an axis, without overflow

    >>> tg.softmax(Tensor([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    return _rowwise(x, axis, softmax_forward, softmax_backward)


@takes_axis
@op
def log_softmax(x, axis=-1):
    """log(softmax(x)) along an axis, without overflow

    >>> tg.log_softmax(Tensor([0.0, 0.0])).tolist()
    [-0.6931, -0.6931]
    """
    return _rowwise(x, axis, log_softmax_forward, log_softmax_backward)

"""Root-mean-square norm (Zhang, Sennrich 2019, arXiv:1910.07467) over the last axis, of length C.

xhat = x / sqrt(mean(x^2) + eps),  y = xhat * w
    dxhat = g * w,  dx = (dxhat - xhat * mean(dxhat * xhat)) / sqrt(mean(x^2) + eps)
    dw = sum over rows of g * xhat
"""

import numpy as np

from tinygrad_lite.kernels.compile import CHUNKS, kernel, part_of
from tinygrad_lite.kernels.record import empty, empty_like
from tinygrad_lite.kernels.rows import as_rows, dot, sum_rows
from tinygrad_lite.tensor import op


@kernel
def rmsnorm_forward(chunk, y, rrms, x, w, eps):
    """rrms (N,) is kept for the backward pass; an empty w means ones."""
    rows, columns = part_of(len(x), chunk), x.shape[1]
    y, rrms, x = y[rows], rrms[rows], x[rows]
    one = x.dtype.type(1)
    for i in range(len(x)):
        scale = one / np.sqrt(dot(x[i], x[i]) / x.dtype.type(columns) + x.dtype.type(eps))
        rrms[i] = scale
        if w.size:
            for j in range(columns):
                y[i, j] = x[i, j] * scale * w[j]
        else:
            for j in range(columns):
                y[i, j] = x[i, j] * scale


@kernel
def rmsnorm_backward(chunk, dx, dw_chunks, g, x, w, rrms):
    """dw_chunks (CHUNKS, C): partial sums over rows; unused for an empty w."""
    rows, columns = part_of(len(x), chunk), x.shape[1]
    dx, g, x, rrms = dx[rows], g[rows], x[rows], rrms[rows]
    dw = dw_chunks[chunk]
    dw[:] = 0
    n = x.dtype.type(columns)
    for i in range(len(x)):
        # forward: xhat = x * rrms, y = xhat * w, therefore:
        r = rrms[i]
        if w.size:
            for j in range(columns):
                dw[j] += g[i, j] * x[i, j] * r
                dx[i, j] = g[i, j] * w[j]
        else:
            for j in range(columns):
                dx[i, j] = g[i, j]
        scale = dot(dx[i], x[i]) * r * r / n
        for j in range(columns):
            dx[i, j] = (dx[i, j] - x[i, j] * scale) * r


@op
def rmsnorm(x, weight=None, eps=1e-6):
    """Divide x (..., C) by the root of its mean square over the last axis; scale by weight (C,)."""
    if weight is not None and x.shape[-1:] != weight.shape:
        raise ValueError(
            "rmsnorm: the weight has the length of the last axis of x.\n"
            f"  got x {x.shape} and weight {weight.shape}\n  try a weight ({x.shape[-1]},)"
        )
    rows = as_rows(x)
    y, rrms = empty_like(rows), empty(len(rows), rows.dtype)
    w = np.empty(0, x.dtype) if weight is None else weight
    rmsnorm_forward(y, rrms, rows, w, eps)

    def vjp(g):
        dx = empty_like(rows)
        sums = empty((CHUNKS, w.size), rows.dtype)
        rmsnorm_backward(dx, sums, as_rows(g), rows, w, rrms)
        dx = dx.reshape(x.shape)
        return (dx,) if weight is None else (dx, lambda: sum_rows(sums))

    return y.reshape(x.shape), vjp

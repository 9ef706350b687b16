"""Root-mean-square norm (Zhang, Sennrich 2019, arXiv:1910.07467) over the last axis, of length C.

xhat = x / sqrt(mean(x^2) + eps),  y = xhat * w
    dxhat = g * w,  dx = (dxhat - xhat * mean(dxhat * xhat)) / sqrt(mean(x^2) + eps)
    dw = sum over rows of g * xhat
"""

import numpy as np

from tinygrad_lite.kernels.arrays import as_rows, contiguous, float_dtype
from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.rows import dot
from tinygrad_lite.kernels.sums import blocks_of, sum_rows
from tinygrad_lite.tensor import Own, op


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
def rmsnorm_backward(chunk, dx, dw_blocks, g, x, w, rrms):
    """dw_blocks (blocks, C): sums over blocks of rows; unused for an empty w."""
    blocks, columns = part_of(len(dw_blocks), chunk), x.shape[1]
    n = x.dtype.type(columns)
    for block in range(blocks.start, blocks.stop):
        rows = part_of(len(x), block, len(dw_blocks))
        dx_, g_, x_, rrms_ = dx[rows], g[rows], x[rows], rrms[rows]
        dw = dw_blocks[block]
        dw[:] = 0
        for i in range(len(x_)):
            # forward: xhat = x * rrms, y = xhat * w, therefore:
            r = rrms_[i]
            if w.size:
                for j in range(columns):
                    dw[j] += g_[i, j] * x_[i, j] * r
                    dx_[i, j] = g_[i, j] * w[j]
            else:
                for j in range(columns):
                    dx_[i, j] = g_[i, j]
            scale = dot(dx_[i], x_[i]) * r * r / n
            for j in range(columns):
                dx_[i, j] = (dx_[i, j] - x_[i, j] * scale) * r


@op
def rmsnorm(x, weight=None, eps=1e-6):
    """Divide x (..., C) by the root of its mean square over the last axis; scale by weight (C,).

    >>> tg.rmsnorm(Tensor([[3.0, 4.0]])).tolist()
    [[0.8485, 1.1314]]
    """
    if x.ndim == 0 or (weight is not None and x.shape[-1:] != weight.shape):
        raise ValueError(
            "rmsnorm: the weight has the length of the last axis of x.\n"
            f"  got x {x.shape} and weight {getattr(weight, 'shape', None)}\n"
            f"  try a weight {x.shape[-1:]}"
        )
    dtype = float_dtype(x, weight)
    rows = as_rows(x, dtype)
    y, rrms = np.empty_like(rows), np.empty(len(rows), dtype, like=rows)
    w = np.empty(0, dtype) if weight is None else contiguous(weight, dtype)
    rmsnorm_forward(y, rrms, rows, w, eps)

    def vjp(g):
        dx = np.empty_like(rows)
        sums = np.empty((blocks_of(len(rows)), w.size), dtype, like=rows)
        rmsnorm_backward(dx, sums, as_rows(g), rows, w, rrms)
        dx = dx.reshape(x.shape)
        return (dx,) if weight is None else (dx, Own(lambda: sum_rows(sums)))

    return y.reshape(x.shape), vjp

"""Layer norm (Ba, Kiros, Hinton 2016, arXiv:1607.06450) over the last axis, of length C.

xhat = (x - mean) / sqrt(var + eps),  y = xhat * w + b
    dxhat = g * w,  dx = (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat)) / sqrt(var + eps)
    dw = sum over rows of g * xhat,  db = sum over rows of g
"""

import numpy as np

from tinygrad_lite.kernels.arrays import as_rows, contiguous, float_dtype
from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.rows import dot, total
from tinygrad_lite.kernels.sums import blocks_of, sum_rows
from tinygrad_lite.tensor import Own, op


@kernel
def layernorm_forward(chunk, y, xhat, rstd, x, w, b, eps):
    """xhat (N, C) and rstd (N,) are kept for the backward pass; b may be empty."""
    rows, columns = part_of(len(x), chunk), x.shape[1]
    y, xhat, rstd, x = y[rows], xhat[rows], rstd[rows], x[rows]
    one, n = x.dtype.type(1), x.dtype.type(columns)
    for i in range(len(x)):
        mean = total(x[i]) / n
        for j in range(columns):
            xhat[i, j] = x[i, j] - mean
        scale = one / np.sqrt(dot(xhat[i], xhat[i]) / n + x.dtype.type(eps))
        rstd[i] = scale
        for j in range(columns):
            xhat[i, j] *= scale
        if b.size:
            for j in range(columns):
                y[i, j] = xhat[i, j] * w[j] + b[j]
        else:
            for j in range(columns):
                y[i, j] = xhat[i, j] * w[j]


@kernel
def layernorm_backward(chunk, dx, dw_blocks, db_blocks, g, xhat, w, rstd):
    """dw_blocks, db_blocks (blocks, C): sums over blocks of rows."""
    blocks, columns = part_of(len(dw_blocks), chunk), xhat.shape[1]
    n = xhat.dtype.type(columns)
    for block in range(blocks.start, blocks.stop):
        rows = part_of(len(xhat), block, len(dw_blocks))
        dx_, g_, xhat_, rstd_ = dx[rows], g[rows], xhat[rows], rstd[rows]
        dw, db = dw_blocks[block], db_blocks[block]
        dw[:] = 0
        db[:] = 0
        for i in range(len(xhat_)):
            # forward: xhat = (x - mean) * rstd, y = xhat * w + b, therefore:
            for j in range(columns):
                dw[j] += g_[i, j] * xhat_[i, j]
                db[j] += g_[i, j]
                dx_[i, j] = g_[i, j] * w[j]
            a, c = total(dx_[i]) / n, dot(dx_[i], xhat_[i]) / n
            for j in range(columns):
                dx_[i, j] = (dx_[i, j] - a - xhat_[i, j] * c) * rstd_[i]


@op
def layernorm(x, weight, bias=None, eps=1e-5):
    """Normalise x (..., C) over its last axis, then scale by weight (C,) and shift by bias (C,).

    >>> tg.layernorm(Tensor([[1.0, 3.0]]), tg.ones(2), tg.zeros(2)).tolist()
    [[-1.0, 1.0]]
    """
    if x.ndim == 0 or any(p is not None and p.shape != x.shape[-1:] for p in (weight, bias)):
        raise ValueError(
            "layernorm: weight and bias have the length of the last axis of x.\n"
            f"  got x {x.shape}, weight {weight.shape} and bias {getattr(bias, 'shape', None)}\n"
            f"  try both {x.shape[-1:]}"
        )
    dtype = float_dtype(x, weight, bias)
    rows, w = as_rows(x, dtype), contiguous(weight, dtype)
    y, xhat = np.empty_like(rows), np.empty_like(rows)
    rstd = np.empty(len(rows), dtype, like=rows)
    b = np.empty(0, dtype) if bias is None else contiguous(bias, dtype)
    layernorm_forward(y, xhat, rstd, rows, w, b, eps)

    def vjp(g):
        dx = np.empty_like(rows)
        sums = np.empty((2, blocks_of(len(rows)), rows.shape[1]), dtype, like=rows)
        layernorm_backward(dx, sums[0], sums[1], as_rows(g), xhat, w, rstd)
        grads = (dx.reshape(x.shape), Own(lambda: sum_rows(sums[0])))
        return grads if bias is None else (*grads, Own(lambda: sum_rows(sums[1])))

    return y.reshape(x.shape), vjp

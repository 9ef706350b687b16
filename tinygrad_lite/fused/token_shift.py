"""Token shift: each position also sees the one before (Peng and others 2023, RWKV,
arXiv:2305.13048, section 3.1), here added with a learned weight for each channel.

y[t] = x[t] + w * x[t - 1],  y[0] = x[0]
    dx[t] = g[t] + w * g[t + 1],  dw = sum over t > 0 of g[t] * x[t - 1]
"""

import numpy as np

from tinygrad_lite.kernels.arrays import as_rows, contiguous, float_dtype
from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.sums import blocks_of, sum_rows
from tinygrad_lite.tensor import Own, op


@kernel
def token_shift_forward(chunk, y, x, w, time):
    """x, y (B * T, C), w (C,)"""
    rows = part_of(len(x), chunk)
    for n in range(rows.start, rows.stop):
        y_, x_ = y[n], x[n]
        if n % time:
            before = x[n - 1]
            for j in range(w.size):
                y_[j] = x_[j] + w[j] * before[j]
        else:
            for j in range(w.size):
                y_[j] = x_[j]


@kernel
def token_shift_backward(chunk, dx, dw_blocks, g, x, w, time):
    """dw_blocks (blocks, C): sums over blocks of rows"""
    blocks = part_of(len(dw_blocks), chunk)
    for block in range(blocks.start, blocks.stop):
        rows = part_of(len(x), block, len(dw_blocks))
        dw = dw_blocks[block]
        dw[:] = 0
        for n in range(rows.start, rows.stop):
            dx_, g_ = dx[n], g[n]
            if (n + 1) % time:
                after = g[n + 1]
                for j in range(w.size):
                    dx_[j] = g_[j] + w[j] * after[j]
            else:
                for j in range(w.size):
                    dx_[j] = g_[j]
            if n % time:
                before = x[n - 1]
                for j in range(w.size):
                    dw[j] += g_[j] * before[j]


@op
def token_shift(x, weight):
    """x (..., T, C) with weight (C,) times the position before added to each

    >>> tg.token_shift(Tensor([[[1.0], [2.0]]]), tg.full((1,), 0.5)).tolist()
    [[[1.0], [2.5]]]
    """
    if x.ndim < 2 or weight.shape != x.shape[-1:]:
        raise ValueError(
            "token_shift: x is (..., T, C), the weight (C,).\n"
            f"  got x {x.shape} and weight {weight.shape}\n  try a weight {x.shape[-1:]}"
        )
    dtype, time = float_dtype(x, weight), max(x.shape[-2], 1)
    rows, w = as_rows(x, dtype), contiguous(weight, dtype)
    y = np.empty_like(rows)
    token_shift_forward(y, rows, w, time)

    def vjp(g):
        dx = np.empty_like(rows)
        sums = np.empty((blocks_of(len(rows)), w.size), dtype, like=rows)
        token_shift_backward(dx, sums, as_rows(g), rows, w, time)
        return dx.reshape(x.shape), Own(lambda: sum_rows(sums))

    return y.reshape(x.shape), vjp

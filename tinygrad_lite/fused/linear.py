"""y = x W^T + b, with x (..., C), W (D, C), b (D,), y (..., D).

dx = dy W,  dW = dy^T x,  db = sum of dy over rows.
"""

from tinygrad_lite.kernels.gemm import gemm
from tinygrad_lite.kernels.record import contiguous, empty, empty_like
from tinygrad_lite.kernels.rows import as_rows, sum_rows
from tinygrad_lite.tensor import Adding, op


@op
def linear(x, weight, bias=None):
    """x (..., C) @ weight (D, C) transposed (+ bias (D,)): (..., D)"""
    if weight.ndim != 2 or x.shape[-1:] != weight.shape[1:]:
        raise ValueError(
            "linear: the last axis of x must be as long as the last of the weight (D, C).\n"
            f"  got x {x.shape} and weight {weight.shape}\n"
            f"  try x (..., {weight.shape[-1]})"
        )
    rows, w = as_rows(x), contiguous(weight)
    y = empty((rows.shape[0], w.shape[0]), rows.dtype)
    gemm(y[None], rows[None], w[None], bias=bias, transpose_b=True)

    def vjp(g):
        g_rows = as_rows(g)

        def dx():
            out = empty_like(rows)
            gemm(out[None], g_rows[None], w[None])
            return out.reshape(x.shape)

        def dw(out, add):
            gemm(out[None], g_rows[None], rows[None], transpose_a=True, accumulate=add)

        dw = Adding(w, dw)
        return (dx, dw) if bias is None else (dx, dw, lambda: sum_rows(g_rows))

    return y.reshape(*x.shape[:-1], w.shape[0]), vjp

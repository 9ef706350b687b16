"""y = x W^T + b, with x (..., C), W (D, C), b (D,), y (..., D).

dx = dy W,  dW = dy^T x,  db = sum of dy over rows.

For a few rows of x, as when text is generated token by token, time is what it takes to read W: then
each number of y is a dot product along a row of W, which is read once, where it lies. Within
`frozen`, in bfloat16, a copy of half the size is read.
"""

import threading
from collections.abc import Iterable

import numpy as np

from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.gemm import gemm
from tinygrad_lite.kernels.pack import rounded
from tinygrad_lite.kernels.precision import get_precision
from tinygrad_lite.kernels.record import contiguous, empty, empty_like
from tinygrad_lite.kernels.rows import as_rows, dot, sum_rows
from tinygrad_lite.tensor import Tensor, op
from tinygrad_lite.vjp import Adding

FEW = 4  # rows of x


@kernel
def few_rows_forward(chunk, y, x, weight, bias):
    """y (N, D), x (N, C), weight (D, C), float or the upper halves of float32 as uint16"""
    columns = part_of(len(weight), chunk)
    for j in range(columns.start, columns.stop):
        for n in range(len(x)):
            y[n, j] = dot(x[n], weight[j])
            if bias.size:
                y[n, j] += bias[j]


@kernel
def halve(chunk, half, x):
    """half (n,) uint16: the bfloat16 numbers nearest to x (n,)"""
    part = part_of(x.size, chunk)
    half, x = half[part], x[part]
    for i in range(x.size):
        half[i] = rounded(x[i])


class _Frozen(threading.local):
    def __init__(self) -> None:
        self.halves: dict[int, tuple[np.ndarray, np.ndarray]] = {}


_frozen = _Frozen()


class frozen:
    """Within this context these parameters keep their values: where matrices are multiplied in
    bfloat16 (see precision), products with a few rows read rounded copies.

    The copies are made when it is first entered; it may be left and entered again.
    """

    def __init__(self, parameters: Iterable[Tensor]):
        self.weights = [p.data for p in parameters if p.ndim == 2 and p.dtype == np.float32]
        self.halves: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.before: list[dict[int, tuple[np.ndarray, np.ndarray]]] = []

    def __enter__(self) -> None:
        for weight in self.weights if get_precision() == "bfloat16" else []:
            if id(weight) in self.halves or not weight.flags.c_contiguous:
                continue
            _, half = _frozen.halves.get(id(weight), (weight, None))
            if half is None:
                half = np.empty(weight.shape, np.uint16)
                halve(half.reshape(-1), weight.reshape(-1))
            self.halves[id(weight)] = weight, half  # with the weight, so that its id stays its own
        self.before.append(_frozen.halves)
        _frozen.halves = self.halves

    def __exit__(self, *exception: object) -> None:
        _frozen.halves = self.before.pop()


@op
def linear(x, weight, bias=None):
    """x (..., C) @ weight (D, C) transposed (+ bias (D,)): (..., D)"""
    if weight.ndim != 2 or x.shape[-1:] != weight.shape[1:]:
        raise ValueError(
            "linear: the last axis of x must be as long as the last of the weight (D, C).\n"
            f"  got x {x.shape} and weight {weight.shape}\n"
            f"  try x (..., {weight.shape[-1]})"
        )
    rows = as_rows(x)
    w = contiguous(weight, rows.dtype)
    bias = None if bias is None else contiguous(bias, rows.dtype)
    y = empty((rows.shape[0], w.shape[0]), rows.dtype)
    if len(rows) <= FEW:
        _, read = _frozen.halves.get(id(w), (w, w))
        few_rows_forward(y, rows, read, np.empty(0, y.dtype) if bias is None else bias)
    else:
        gemm(y[None], rows[None], w[None], bias=bias, transpose_b=True)

    def vjp(g):
        g_rows = as_rows(g)

        def dx():
            out = empty_like(rows)
            gemm(out[None], g_rows[None], w[None])
            return out.reshape(x.shape)

        def add_dw(out, add):
            gemm(out[None], g_rows[None], rows[None], transpose_a=True, accumulate=add)

        dw = Adding(w, add_dw)
        return (dx, dw) if bias is None else (dx, dw, lambda: sum_rows(g_rows))

    return y.reshape(*x.shape[:-1], w.shape[0]), vjp

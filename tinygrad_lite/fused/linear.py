"""y = x W^T + b, with x (..., C), W (D, C), b (D,), y (..., D).

dx = dy W,  dW = dy^T x,  db = sum of dy over rows.

For a few rows of x, as when text is generated token by token, time is what it takes to read W: then
each number of y is a dot product along a row of W, which is read once, where it lies. A W that is
stored in bfloat16 has half the size, in int8 (see kernels/int8.py) 0.28 of it.
"""

import numpy as np

from tinygrad_lite.kernels import int8
from tinygrad_lite.kernels.arrays import as_rows, contiguous, float_dtype
from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.gemm import gemm
from tinygrad_lite.kernels.pack import rounded
from tinygrad_lite.kernels.rows import streamed_dot
from tinygrad_lite.kernels.sums import sum_rows
from tinygrad_lite.tensor import Adding, Own, op

FEW = 4  # rows of x


@kernel
def few_rows_forward(chunk, y, x, weight, bias):
    """y (N, D), x (N, C), weight (D, C), float or the upper halves of float32 as uint16"""
    columns = part_of(len(weight), chunk)
    for j in range(columns.start, columns.stop):
        for n in range(len(x)):
            y[n, j] = streamed_dot(x[n], weight[j])
            if bias.size:
                y[n, j] += bias[j]


@kernel
def few_rows_int8(chunk, y, x, weight, bias):
    """The same with x (N, C / 32, 36) and weight (D, C / 32, 36), see kernels/int8.py"""
    columns = part_of(len(weight), chunk)
    for j in range(columns.start, columns.stop):
        for n in range(len(x)):
            y[n, j] = int8.dot(x[n], weight[j])
            if bias.size:
                y[n, j] += bias[j]


@kernel
def halve(chunk, half, x):
    """half (n,) uint16: the bfloat16 numbers nearest to x (n,)"""
    part = part_of(x.size, chunk)
    half, x = half[part], x[part]
    for i in range(x.size):
        half[i] = rounded(x[i])


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    """The bfloat16 numbers nearest to x, float32, as uint16 of the same shape: the upper halves of
    float32 numbers"""
    half = np.empty(x.shape, np.uint16)
    halve(half.reshape(-1), contiguous(x).reshape(-1))
    return half


@kernel
def widen(chunk, x, half):
    """x (n,) float32: the numbers of such halves (n,)"""
    part = part_of(x.size, chunk)
    x, half = x[part].view(np.uint32), half[part]
    for i in range(x.size):
        x[i] = np.uint32(half[i]) << np.uint32(16)


def from_bfloat16(half):
    """float32 numbers of such halves, contiguous"""
    x = np.empty(half.shape, np.float32, like=half)
    widen(x.reshape(-1), half.reshape(-1))
    return x


def is_stored(weight):
    """Whether a weight is only read: bfloat16 numbers (D, C), or blocks of int8 (D, C / 32, 36)"""
    return (weight.dtype == np.uint16 and weight.ndim == 2) or int8.is_stored(weight)


def from_stored(weight):
    """The float32 numbers (D, C) of such a weight, or of rows of it"""
    return from_bfloat16(weight) if weight.dtype == np.uint16 else int8.from_int8(weight)


def numbers_of(weight, dtype):
    """A matrix of weights, also one that is stored, as contiguous numbers"""
    return contiguous(from_stored(contiguous(weight)) if is_stored(weight) else weight, dtype)


@op
def linear(x, weight, bias=None):
    """x (..., C) @ weight (D, C) transposed (+ bias (D,)): (..., D)

    A weight of dtype uint16 holds bfloat16 numbers, see `to_bfloat16`, one (D, C / 32, 36) of int8
    blocks of them, see kernels/int8.py; these have no gradient. With blocks, a few rows of x are
    rounded to such blocks too.

    >>> tg.linear(Tensor([[1.0, 2.0]]), Tensor([[1.0, 1.0]]), Tensor([10.0])).tolist()
    [[13.0]]
    """
    in_blocks = int8.is_stored(weight)
    shape = int8.shape_of(weight) if in_blocks else weight.shape
    if len(shape) != 2 or x.shape[-1:] != shape[1:] or (
        bias is not None and bias.shape != shape[:1]
    ):  # fmt: skip
        wanted = f"x (..., {shape[1]}) and a bias {shape[:1]}" if len(shape) == 2 else "a matrix"
        raise ValueError(
            "linear: the last axis of x must be as long as the last of the weight (D, C), and the"
            " bias as long as its first.\n"
            f"  got x {x.shape}, weight {shape} and bias {getattr(bias, 'shape', None)}\n"
            f"  try {wanted}"
        )
    only_read = is_stored(weight)
    dtype = float_dtype(x, None if only_read else weight, bias)
    rows = as_rows(x, dtype)
    few = len(rows) <= FEW and not (only_read and dtype != np.float32)

    w = contiguous(weight) if only_read and few else numbers_of(weight, dtype)
    bias = None if bias is None else contiguous(bias, dtype)
    y = np.empty((rows.shape[0], w.shape[0]), dtype, like=rows)
    if few and in_blocks:
        few_rows_int8(y, int8.quantized(rows), w, np.empty(0, dtype) if bias is None else bias)
    elif few:
        few_rows_forward(y, rows, w, np.empty(0, dtype) if bias is None else bias)
    else:
        gemm(y[None], rows[None], w[None], bias=bias, transpose_b=True)

    def vjp(g):
        g_rows = as_rows(g)

        def dx():
            out = np.empty_like(rows)
            gemm(out[None], g_rows[None], (numbers_of(weight, dtype) if only_read else w)[None])
            return out.reshape(x.shape)

        def add_dw(out, add):
            gemm(out[None], g_rows[None], rows[None], transpose_a=True, accumulate=add)

        dw = Adding(w, add_dw)
        return (dx, dw) if bias is None else (dx, dw, Own(lambda: sum_rows(g_rows)))

    return y.reshape(*x.shape[:-1], w.shape[0]), vjp

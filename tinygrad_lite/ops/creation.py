"""Tensors from nothing: constants and ranges. Shapes may be given one by one or as a tuple."""

from typing import Any

import numpy as np

from tinygrad_lite.kernels.watch import constant, filled
from tinygrad_lite.ops.movement import _numbers
from tinygrad_lite.tensor import Tensor


def full(shape: Any, value: float, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """A tensor of a shape that holds a value everywhere

    >>> tg.full((2,), 7).tolist()
    [7.0, 7.0]
    """
    shape = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    return Tensor(filled(_fill, shape, dtype, value), requires_grad)


def _fill(out: np.ndarray, value: float) -> None:
    out[...] = value


def zeros(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """A tensor of a shape that holds 0 everywhere

    >>> tg.zeros(2).tolist()
    [0.0, 0.0]
    """
    return full(_numbers(shape), 0, dtype, requires_grad)


def ones(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """A tensor of a shape that holds 1 everywhere

    >>> tg.ones(2).tolist()
    [1.0, 1.0]
    """
    return full(_numbers(shape), 1, dtype, requires_grad)


def empty(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """Zeros: what memory held before is nobody's business

    >>> tg.empty(2, 3).shape
    (2, 3)
    """
    return full(_numbers(shape), 0, dtype, requires_grad)


def full_like(x: Tensor, value: float, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of x's shape and dtype that holds a value everywhere

    >>> tg.full_like(tg.zeros(2), 7).tolist()
    [7.0, 7.0]
    """
    return full(x.shape, value, dtype or x.dtype, requires_grad)


def empty_like(x: Tensor, requires_grad: bool = False) -> Tensor:
    """Zeros, see empty

    >>> tg.empty_like(tg.ones(2)).shape
    (2,)
    """
    return zeros_like(x, requires_grad)


def zeros_like(x: Tensor, requires_grad: bool = False) -> Tensor:
    """Zeros of x's shape and dtype

    >>> tg.zeros_like(Tensor([3, 4])).tolist()
    [0, 0]
    """
    return full(x.shape, 0, x.dtype, requires_grad)


def ones_like(x: Tensor, requires_grad: bool = False) -> Tensor:
    """Ones of x's shape and dtype

    >>> tg.ones_like(Tensor([3, 4])).tolist()
    [1, 1]
    """
    return full(x.shape, 1, x.dtype, requires_grad)


def arange(start: float, stop: float | None = None, step: float = 1, dtype: Any = None) -> Tensor:
    """start, start + step, ... before stop; integers give int64, floats float32

    >>> tg.arange(2, 8, 2).tolist()
    [2, 4, 6]
    """
    if step == 0:
        raise ValueError("arange: no step leads nowhere.\n  got step=0\n  try step=1")
    values = np.arange(start, step=step) if stop is None else np.arange(start, stop, step)
    if dtype is None and values.dtype.kind == "f":
        dtype = np.float32
    return Tensor(constant(values.astype(dtype or values.dtype)))


def linspace(start: float, stop: float, steps: int, dtype: Any = np.float32) -> Tensor:
    """`steps` numbers from start to stop, both included

    >>> tg.linspace(0, 1, 3).tolist()
    [0.0, 0.5, 1.0]
    """
    return Tensor(constant(np.linspace(start, stop, steps, dtype=dtype)))


def logspace(
    start: float, stop: float, steps: int, base: float = 10.0, dtype: Any = np.float32
) -> Tensor:
    """`steps` numbers from base^start to base^stop, with one ratio

    >>> tg.logspace(0, 2, 3).tolist()
    [1.0, 10.0, 100.0]
    """
    powers = base ** np.linspace(start, stop, steps, dtype=np.float64)
    return Tensor(constant(powers.astype(dtype)))


def tril_indices(rows: int, columns: int, offset: int = 0) -> Tensor:
    """(2, n) int64: rows and columns of the lower triangle of a matrix

    >>> tg.tril_indices(2, 2).tolist()
    [[0, 1, 1], [0, 0, 1]]
    """
    return Tensor(constant(np.array(np.tril_indices(rows, offset, columns), np.int64)))


def triu_indices(rows: int, columns: int, offset: int = 0) -> Tensor:
    """(2, n) int64: rows and columns of the upper triangle of a matrix

    >>> tg.triu_indices(2, 2).tolist()
    [[0, 0, 1], [0, 1, 1]]
    """
    return Tensor(constant(np.array(np.triu_indices(rows, offset, columns), np.int64)))


def new_full(x: Tensor, shape: Any, value: float, dtype: Any = None) -> Tensor:
    """A tensor of another shape, of the dtype of x, that holds one number

    >>> tg.ones(2).new_full((2,), 7).tolist()
    [7.0, 7.0]
    """
    return full(shape, value, dtype or x.dtype)


def new_zeros(x: Tensor, *shape: Any, dtype: Any = None) -> Tensor:
    """Zeros of the dtype of x

    >>> tg.ones(2).new_zeros(3).tolist()
    [0.0, 0.0, 0.0]
    """
    return full(_numbers(shape), 0, dtype or x.dtype)


def new_ones(x: Tensor, *shape: Any, dtype: Any = None) -> Tensor:
    """Ones of the dtype of x

    >>> tg.zeros(2).new_ones(3).tolist()
    [1.0, 1.0, 1.0]
    """
    return full(_numbers(shape), 1, dtype or x.dtype)


def new_empty(x: Tensor, *shape: Any, dtype: Any = None) -> Tensor:
    """Zeros of the dtype of x, see empty

    >>> tg.ones(2).new_empty(3).shape
    (3,)
    """
    return full(_numbers(shape), 0, dtype or x.dtype)


def eye(n: int, m: int | None = None, dtype: Any = np.float32) -> Tensor:
    """(n, m or n): ones on the diagonal, zeros elsewhere

    >>> tg.eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return Tensor(constant(np.eye(n, m, dtype=dtype)))

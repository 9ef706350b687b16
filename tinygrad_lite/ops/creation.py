"""Tensors from nothing: constants and ranges. Shapes may be given one by one or as a tuple."""

from typing import Any

import numpy as np

from tinygrad_lite.kernels.watch import constant, filled
from tinygrad_lite.ops.movement import _numbers
from tinygrad_lite.tensor import Tensor


def full(shape: Any, value: float, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    shape = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    return Tensor(filled(_fill, shape, dtype, value), requires_grad)


def _fill(out: np.ndarray, value: float) -> None:
    out[...] = value


def zeros(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    return full(_numbers(shape), 0, dtype, requires_grad)


def ones(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    return full(_numbers(shape), 1, dtype, requires_grad)


def empty(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """Zeros: what memory held before is nobody's business"""
    return full(_numbers(shape), 0, dtype, requires_grad)


def full_like(x: Tensor, value: float, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    return full(x.shape, value, dtype or x.dtype, requires_grad)


def empty_like(x: Tensor, requires_grad: bool = False) -> Tensor:
    """Zeros, see empty"""
    return zeros_like(x, requires_grad)


def zeros_like(x: Tensor, requires_grad: bool = False) -> Tensor:
    return full(x.shape, 0, x.dtype, requires_grad)


def ones_like(x: Tensor, requires_grad: bool = False) -> Tensor:
    return full(x.shape, 1, x.dtype, requires_grad)


def arange(start: float, stop: float | None = None, step: float = 1, dtype: Any = None) -> Tensor:
    """start, start + step, ... before stop; integers give int64, floats float32"""
    if step == 0:
        raise ValueError("arange: no step leads nowhere.\n  got step=0\n  try step=1")
    values = np.arange(start, step=step) if stop is None else np.arange(start, stop, step)
    if dtype is None and values.dtype.kind == "f":
        dtype = np.float32
    return Tensor(constant(values.astype(dtype or values.dtype)))


def linspace(start: float, stop: float, steps: int, dtype: Any = np.float32) -> Tensor:
    """`steps` numbers from start to stop, both included"""
    return Tensor(constant(np.linspace(start, stop, steps, dtype=dtype)))


def logspace(
    start: float, stop: float, steps: int, base: float = 10.0, dtype: Any = np.float32
) -> Tensor:
    """`steps` numbers from base^start to base^stop, with one ratio"""
    powers = base ** np.linspace(start, stop, steps, dtype=np.float64)
    return Tensor(constant(powers.astype(dtype)))


def tril_indices(rows: int, columns: int, offset: int = 0) -> Tensor:
    """(2, n) int64: rows and columns of the lower triangle of a matrix"""
    return Tensor(constant(np.array(np.tril_indices(rows, offset, columns), np.int64)))


def triu_indices(rows: int, columns: int, offset: int = 0) -> Tensor:
    """(2, n) int64: rows and columns of the upper triangle of a matrix"""
    return Tensor(constant(np.array(np.triu_indices(rows, offset, columns), np.int64)))


def new_full(x: Tensor, shape: Any, value: float, dtype: Any = None) -> Tensor:
    """A tensor of another shape, of the dtype of x, that holds one number"""
    return full(shape, value, dtype or x.dtype)


def new_zeros(x: Tensor, *shape: Any, dtype: Any = None) -> Tensor:
    """Zeros of the dtype of x"""
    return full(_numbers(shape), 0, dtype or x.dtype)


def new_ones(x: Tensor, *shape: Any, dtype: Any = None) -> Tensor:
    """Ones of the dtype of x"""
    return full(_numbers(shape), 1, dtype or x.dtype)


def new_empty(x: Tensor, *shape: Any, dtype: Any = None) -> Tensor:
    """Zeros of the dtype of x, see empty"""
    return full(_numbers(shape), 0, dtype or x.dtype)


def eye(n: int, m: int | None = None, dtype: Any = np.float32) -> Tensor:
    """(n, m or n): ones on the diagonal, zeros elsewhere"""
    return Tensor(constant(np.eye(n, m, dtype=dtype)))

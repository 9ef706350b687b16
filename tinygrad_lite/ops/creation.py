"""Tensors from nothing: constants, ranges, random numbers.

Shapes may be given one by one or as a tuple. Random constructors take `seed`, a number or a
`numpy.random.Generator`: the same seed gives the same numbers.
"""

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


def eye(n: int, m: int | None = None, dtype: Any = np.float32) -> Tensor:
    """(n, m or n): ones on the diagonal, zeros elsewhere"""
    return Tensor(constant(np.eye(n, m, dtype=dtype)))


def rand(
    *shape: Any,
    seed: int | np.random.Generator,
    low: float = 0.0,
    high: float = 1.0,
    dtype: Any = np.float32,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform between low (included) and high (excluded)"""
    return Tensor(filled(_draw, _numbers(shape), dtype, seed, "uniform", low, high), requires_grad)


def randn(
    *shape: Any,
    seed: int | np.random.Generator,
    mean: float = 0.0,
    std: float = 1.0,
    dtype: Any = np.float32,
    requires_grad: bool = False,
) -> Tensor:
    """Normally distributed"""
    return Tensor(filled(_draw, _numbers(shape), dtype, seed, "normal", mean, std), requires_grad)


def randint(low: int, high: int, *shape: Any, seed: int | np.random.Generator) -> Tensor:
    """Integers from low (included) to high (excluded), int64"""
    return Tensor(filled(_draw, _numbers(shape), np.int64, seed, "integers", low, high))


def _draw(
    out: np.ndarray, seed: int | np.random.Generator, kind: str, low: float, high: float
) -> None:
    out[...] = getattr(np.random.default_rng(seed), kind)(low, high, out.shape)

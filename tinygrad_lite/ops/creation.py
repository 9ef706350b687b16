"""Tensors from nothing: constants, ranges, random numbers.

Shapes may be given one by one or as a tuple. Random constructors take `seed`, a number or a
`numpy.random.Generator`: the same seed gives the same numbers.
"""

from typing import Any

import numpy as np

from tinygrad_lite.ops.movement import _numbers
from tinygrad_lite.tensor import Tensor


def full(shape: Any, value: float, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    return Tensor(np.full(shape, value, dtype), requires_grad)


def zeros(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    return Tensor(np.zeros(_numbers(shape), dtype), requires_grad)


def ones(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    return Tensor(np.ones(_numbers(shape), dtype), requires_grad)


def zeros_like(x: Tensor, requires_grad: bool = False) -> Tensor:
    return Tensor(np.zeros_like(x.data), requires_grad)


def ones_like(x: Tensor, requires_grad: bool = False) -> Tensor:
    return Tensor(np.ones_like(x.data), requires_grad)


def arange(start: float, stop: float | None = None, step: float = 1, dtype: Any = None) -> Tensor:
    """start, start + step, ... before stop; integers give int64, floats float32"""
    values = np.arange(start, step=step) if stop is None else np.arange(start, stop, step)
    if dtype is None and values.dtype.kind == "f":
        dtype = np.float32
    return Tensor(values.astype(dtype or values.dtype))


def linspace(start: float, stop: float, steps: int, dtype: Any = np.float32) -> Tensor:
    """`steps` numbers from start to stop, both included"""
    return Tensor(np.linspace(start, stop, steps, dtype=dtype))


def eye(n: int, m: int | None = None, dtype: Any = np.float32) -> Tensor:
    """(n, m or n): ones on the diagonal, zeros elsewhere"""
    return Tensor(np.eye(n, m, dtype=dtype))


def rand(
    *shape: Any,
    seed: int | np.random.Generator,
    low: float = 0.0,
    high: float = 1.0,
    dtype: Any = np.float32,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform between low (included) and high (excluded)"""
    values = np.random.default_rng(seed).uniform(low, high, _numbers(shape))
    return Tensor(values.astype(dtype), requires_grad)


def randn(
    *shape: Any,
    seed: int | np.random.Generator,
    mean: float = 0.0,
    std: float = 1.0,
    dtype: Any = np.float32,
    requires_grad: bool = False,
) -> Tensor:
    """Normally distributed"""
    values = np.random.default_rng(seed).normal(mean, std, _numbers(shape))
    return Tensor(values.astype(dtype), requires_grad)


def randint(low: int, high: int, *shape: Any, seed: int | np.random.Generator) -> Tensor:
    """Integers from low (included) to high (excluded), int64"""
    return Tensor(np.random.default_rng(seed).integers(low, high, _numbers(shape)))

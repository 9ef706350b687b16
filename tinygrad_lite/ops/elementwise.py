"""Ops that act on each element; arguments broadcast as in NumPy.

Primitives first, then what is composed from them and so needs no derivative of its own.
"""

from typing import Any

import numpy as np

from tinygrad_lite.kernels.record import call, empty
from tinygrad_lite.tensor import Tensor, elementwise


def floating(x: Any) -> Any:
    """Integers and booleans as float32; everything else as it is."""
    if isinstance(x, np.ndarray) and x.dtype.kind != "f":
        return x.astype(np.float32)
    return x if isinstance(x, np.ndarray) else np.asarray(x, getattr(x, "dtype", np.float32))


def _arithmetic(function: Any, a: Any, b: Any) -> np.ndarray:
    """function(a, b) for arrays that broadcast"""
    a, b = (np.asarray(x) if isinstance(x, list | tuple) else x for x in (a, b))
    out = empty(np.broadcast_shapes(np.shape(a), np.shape(b)), np.result_type(a, b))
    call(function, a, b, out)
    return out


@elementwise
def add(a, b):
    return _arithmetic(np.add, a, b), lambda g: (g, g)


@elementwise
def sub(a, b):
    return _arithmetic(np.subtract, a, b), lambda g: (g, lambda: _arithmetic(np.multiply, g, -1))


@elementwise
def mul(a, b):
    return _arithmetic(np.multiply, a, b), lambda g: (
        lambda: _arithmetic(np.multiply, g, b),
        lambda: _arithmetic(np.multiply, g, a),
    )


@elementwise
def div(a, b):
    """a / b; integers are divided as float32."""
    if np.result_type(a, b).kind != "f":
        a = floating(np.asarray(a))
        b = floating(np.asarray(b))
    y = np.divide(a, b)
    return y, lambda g: (lambda: g / b, lambda: -g * y / b)


@elementwise
def pow(a, b):
    """a ** b. The derivative to b is 0 where a is 0, as the limit for b > 0 is."""
    y = np.power(a, b)

    def vjp(g):
        def da():
            return g * b * np.power(a, b - 1)

        def db():
            positive = np.asarray(a) > 0
            return g * y * np.log(np.where(positive, a, 1.0).astype(y.dtype))

        return da, db

    return y, vjp


@elementwise
def neg(x):
    return np.negative(x), lambda g: (-g,)


@elementwise
def exp(x):
    y = np.exp(floating(x))
    return y, lambda g: (g * y,)


@elementwise
def log(x):
    return np.log(floating(x)), lambda g: (g / x,)


@elementwise
def sqrt(x):
    y = np.sqrt(floating(x))
    return y, lambda g: (g / (2 * y),)


@elementwise
def rsqrt(x):
    """1 / sqrt(x)"""
    y = 1 / np.sqrt(floating(x))
    return y, lambda g: (g * y / (-2 * x),)


@elementwise
def sin(x):
    x = floating(x)
    return np.sin(x), lambda g: (g * np.cos(x),)


@elementwise
def cos(x):
    x = floating(x)
    return np.cos(x), lambda g: (-g * np.sin(x),)


@elementwise
def tanh(x):
    y = np.tanh(floating(x))
    return y, lambda g: (g * (1 - y * y),)


@elementwise
def sigmoid(x):
    """1 / (1 + exp(-x))"""
    y = 0.5 * np.tanh(0.5 * floating(x)) + 0.5
    return y, lambda g: (g * y * (1 - y),)


@elementwise
def softplus(x):
    """log(1 + exp(x)), without overflow"""
    x = floating(x)
    return np.logaddexp(x, x.dtype.type(0)), lambda g: (g * (0.5 * np.tanh(0.5 * x) + 0.5),)


@elementwise
def abs(x):
    return np.abs(x), lambda g: (g * np.sign(x),)


@elementwise
def sign(x):
    """-1, 0 or 1; its derivative is 0 wherever it has one."""
    return np.sign(x), lambda g: (np.zeros_like(g),)


@elementwise
def maximum(a, b):
    """The larger of both; equal values share the gradient."""
    return np.maximum(a, b), lambda g: _shared(g, np.greater(a, b), np.equal(a, b))


@elementwise
def minimum(a, b):
    """The smaller of both; equal values share the gradient."""
    return np.minimum(a, b), lambda g: _shared(g, np.less(a, b), np.equal(a, b))


def _shared(g, of_a, of_both):
    """g where it belongs to a, half of it where it belongs to both; and the rest, for b"""
    da = g * (of_a + 0.5 * of_both).astype(g.dtype)
    return da, g - da


@elementwise
def where(condition, a, b):
    """a where the condition holds, else b"""
    return np.where(condition, a, b), lambda g: (
        None,
        np.where(condition, g, 0),
        np.where(condition, 0, g),
    )


@elementwise
def eq(a, b):
    return np.equal(a, b), None


@elementwise
def ne(a, b):
    return np.not_equal(a, b), None


@elementwise
def lt(a, b):
    return np.less(a, b), None


@elementwise
def le(a, b):
    return np.less_equal(a, b), None


@elementwise
def gt(a, b):
    return np.greater(a, b), None


@elementwise
def ge(a, b):
    return np.greater_equal(a, b), None


@elementwise
def astype(x, dtype):
    """x in another dtype; gradients come back in the dtype of x."""
    y = np.asarray(x).astype(dtype)
    return y, (lambda g: (g,)) if y.dtype.kind == "f" else None


def clip(x: Any, min: Any = None, max: Any = None) -> Tensor:
    """x limited to [min, max]; None means no limit on that side."""
    if min is None and max is None:
        raise ValueError(
            "clip: at least one limit is needed.\n  got min=None, max=None\n  try x.clip(min=0.0)"
        )
    x = x if min is None else maximum(x, min)
    return x if max is None else minimum(x, max)


def masked_fill(x: Any, mask: Any, value: float) -> Tensor:
    """x with `value` where the mask is true"""
    return where(mask, value, x)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope * x"""
    return where(gt(x, 0), x, mul(x, negative_slope))

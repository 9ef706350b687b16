"""Roots, exponentials, logarithms, trigonometry and the error function, element by element.

Integers and booleans are computed with as float32.
"""

import math
from typing import Any

import numpy as np

from tinygrad_lite.kernels.arrays import asking, contiguous, float_dtype
from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.ops.comparisons import eq
from tinygrad_lite.ops.elementwise import clip, div, floating, mul, sub, where
from tinygrad_lite.tensor import Tensor, elementwise, op

LN_2, LN_10 = math.log(2), math.log(10)
TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)


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
    return y, lambda g: (g * (-0.5 * (y * y * y)),)


@elementwise
def sin(x):
    x = floating(x)
    return np.sin(x), lambda g: (g * np.cos(x),)


@elementwise
def cos(x):
    x = floating(x)
    return np.cos(x), lambda g: (-g * np.sin(x),)


@elementwise
def exp2(x):
    y = np.exp2(floating(x))
    return y, lambda g: (g * (y * LN_2),)


@elementwise
def expm1(x):
    """exp(x) - 1, exact near 0"""
    y = np.expm1(floating(x))
    return y, lambda g: (g * (y + 1),)


@elementwise
def log2(x):
    return np.log2(floating(x)), lambda g: (g / (x * LN_2),)


@elementwise
def log10(x):
    return np.log10(floating(x)), lambda g: (g / (x * LN_10),)


@elementwise
def log1p(x):
    """log(1 + x), exact near 0"""
    return np.log1p(floating(x)), lambda g: (g / (x + 1),)


@elementwise
def logaddexp(a, b):
    """log(exp(a) + exp(b)), without overflow"""
    a, b = floating(a), floating(b)
    y = np.logaddexp(a, b)
    return y, lambda g: (lambda: g / (1 + np.exp(b - a)), lambda: g / (1 + np.exp(a - b)))


@elementwise
def logaddexp2(a, b):
    """log2(2^a + 2^b), without overflow"""
    a, b = floating(a), floating(b)
    y = np.logaddexp2(a, b)
    return y, lambda g: (lambda: g / (1 + np.exp2(b - a)), lambda: g / (1 + np.exp2(a - b)))


@elementwise
def xlogy(a, b):
    """a log(b), and 0 where a is 0"""
    a, b = floating(a), floating(b)
    none = np.logical_and(np.equal(a, 0), np.equal(b, b))  # b is a number
    safe = np.where(none, 1, b)
    return np.where(none, 0, a * np.log(safe)), lambda g: (
        lambda: np.where(np.logical_and(none, np.less_equal(b, 0)), 0, g * np.log(b)),
        lambda: np.where(none, 0, g * (a / safe)),
    )


@elementwise
def tan(x):
    y = np.tan(floating(x))
    return y, lambda g: (g * (1 + y * y),)


@elementwise
def asin(x):
    x = floating(x)
    return np.arcsin(x), lambda g: (g / np.sqrt((1 - x) * (1 + x)),)


@elementwise
def acos(x):
    x = floating(x)
    return np.arccos(x), lambda g: (-g / np.sqrt((1 - x) * (1 + x)),)


@elementwise
def atan(x):
    x = floating(x)
    return np.arctan(x), lambda g: (g / (1 + x * x),)


@elementwise
def atan2(a, b):
    """The angle of the point (b, a), between -pi and pi"""
    a, b = floating(a), floating(b)

    def vjp(g):
        scaled = g / (a * a + b * b)
        return lambda: scaled * b, lambda: -scaled * a

    return np.arctan2(a, b), vjp


@elementwise
def hypot(a, b):
    """sqrt(a^2 + b^2), without overflow"""
    a, b = floating(a), floating(b)
    y = np.hypot(a, b)
    return y, lambda g: (lambda: g * (a / y), lambda: g * (b / y))


@elementwise
def sinh(x):
    x = floating(x)
    return np.sinh(x), lambda g: (g * np.cosh(x),)


@elementwise
def cosh(x):
    x = floating(x)
    return np.cosh(x), lambda g: (g * np.sinh(x),)


@elementwise
def tanh(x):
    y = np.tanh(floating(x))
    return y, lambda g: (g * (1 - y * y),)


@elementwise
def asinh(x):
    x = floating(x)
    return np.arcsinh(x), lambda g: (g / np.sqrt(1 + x * x),)


@elementwise
def acosh(x):
    x = floating(x)
    return np.arccosh(x), lambda g: (g / np.sqrt((x - 1) * (x + 1)),)


@elementwise
def atanh(x):
    x = floating(x)
    return np.arctanh(x), lambda g: (g / ((1 - x) * (1 + x)),)


@kernel
def erf_kernel(chunk, y, x):
    part = part_of(x.size, chunk)
    y, x = y[part], x[part]
    for i in range(x.size):
        y[i] = math.erf(x[i])


@kernel
def erfc_kernel(chunk, y, x):
    part = part_of(x.size, chunk)
    y, x = y[part], x[part]
    for i in range(x.size):
        y[i] = math.erfc(x[i])


@asking
def erf_of(x):
    return filled_by(erf_kernel, x)


@asking
def erfc_of(x):
    return filled_by(erfc_kernel, x)


def filled_by(fill, x, *settings):
    """An array like x, in which fill(y, x, *settings) has set each number"""
    x = contiguous(x, float_dtype(x))
    y = np.empty_like(x)
    fill(y.reshape(-1), x.reshape(-1), *settings)
    return y


@op
def erf(x):
    """The error function: 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x"""
    x = floating(x)
    return erf_of(x), lambda g: (g * (TWO_OVER_SQRT_PI * np.exp(-x * x)),)


@op
def erfc(x):
    """1 - erf(x), exact also where it is small"""
    x = floating(x)
    return erfc_of(x), lambda g: (g * (-TWO_OVER_SQRT_PI * np.exp(-x * x)),)


def ldexp(x: Any, exponent: Any) -> Tensor:
    """x 2^exponent"""
    return mul(x, exp2(exponent))


def sinc(x: Any) -> Tensor:
    """sin(pi x) / (pi x), and 1 at 0"""
    x = x if isinstance(x, Tensor) else Tensor(x)
    none = eq(x, 0)
    angle = where(none, 1, x * math.pi)
    return where(none, 1, sin(angle) / angle)


def logit(x: Any, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), the inverse of sigmoid; with eps, of x limited to [eps, 1 - eps]"""
    x = x if eps is None else clip(x, eps, 1 - eps)
    return log(div(x, sub(1, x)))

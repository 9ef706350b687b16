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
from tinygrad_lite.tensor import Tensor, as_tensor, elementwise, op

LN_2, LN_10 = math.log(2), math.log(10)
TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)


@elementwise
def exp(x):
    """e to the power of x

    >>> tg.exp([0, 1]).tolist()
    [1.0, 2.7183]
    """
    y = np.exp(floating(x))
    return y, lambda g: (g * y,)


@elementwise
def log(x):
    """The natural logarithm

    >>> tg.log([1, 2]).tolist()
    [0.0, 0.6931]
    """
    return np.log(floating(x)), lambda g: (g / x,)


@elementwise
def sqrt(x):
    """The square root

    >>> tg.sqrt([4, 9]).tolist()
    [2.0, 3.0]
    """
    y = np.sqrt(floating(x))
    return y, lambda g: (g / (2 * y),)


@elementwise
def rsqrt(x):
    """1 / sqrt(x)

    >>> tg.rsqrt([4, 16]).tolist()
    [0.5, 0.25]
    """
    y = 1 / np.sqrt(floating(x))
    return y, lambda g: (g * (-0.5 * (y * y * y)),)


@elementwise
def sin(x):
    """The sine of x radians

    >>> tg.sin([0, 1]).tolist()
    [0.0, 0.8415]
    """
    x = floating(x)
    return np.sin(x), lambda g: (g * np.cos(x),)


@elementwise
def cos(x):
    """The cosine of x radians

    >>> tg.cos([0, 1]).tolist()
    [1.0, 0.5403]
    """
    x = floating(x)
    return np.cos(x), lambda g: (-g * np.sin(x),)


@elementwise
def exp2(x):
    """2 to the power of x

    >>> tg.exp2([0, 3]).tolist()
    [1.0, 8.0]
    """
    y = np.exp2(floating(x))
    return y, lambda g: (g * (y * LN_2),)


@elementwise
def expm1(x):
    """exp(x) - 1, exact near 0

    >>> tg.expm1([0, 1]).tolist()
    [0.0, 1.7183]
    """
    y = np.expm1(floating(x))
    return y, lambda g: (g * (y + 1),)


@elementwise
def log2(x):
    """The logarithm to base 2

    >>> tg.log2([1, 8]).tolist()
    [0.0, 3.0]
    """
    return np.log2(floating(x)), lambda g: (g / (x * LN_2),)


@elementwise
def log10(x):
    """The logarithm to base 10

    >>> tg.log10([1, 100]).tolist()
    [0.0, 2.0]
    """
    return np.log10(floating(x)), lambda g: (g / (x * LN_10),)


@elementwise
def log1p(x):
    """log(1 + x), exact near 0

    >>> tg.log1p([0, 1]).tolist()
    [0.0, 0.6931]
    """
    return np.log1p(floating(x)), lambda g: (g / (x + 1),)


@elementwise
def logaddexp(a, b):
    """log(exp(a) + exp(b)), without overflow

    >>> tg.logaddexp([0], [0]).tolist()
    [0.6931]
    """
    a, b = floating(a), floating(b)
    y = np.logaddexp(a, b)
    return y, lambda g: (lambda: g / (1 + np.exp(b - a)), lambda: g / (1 + np.exp(a - b)))


@elementwise
def logaddexp2(a, b):
    """log2(2^a + 2^b), without overflow

    >>> tg.logaddexp2([1], [1]).tolist()
    [2.0]
    """
    a, b = floating(a), floating(b)
    y = np.logaddexp2(a, b)
    return y, lambda g: (lambda: g / (1 + np.exp2(b - a)), lambda: g / (1 + np.exp2(a - b)))


@elementwise
def xlogy(a, b):
    """a log(b), and 0 where a is 0

    >>> tg.xlogy([0, 1], [0, 2]).tolist()
    [0.0, 0.6931]
    """
    a, b = floating(a), floating(b)
    none = np.logical_and(np.equal(a, 0), np.equal(b, b))  # b is a number
    safe = np.where(none, 1, b)
    return np.where(none, 0, a * np.log(safe)), lambda g: (
        lambda: np.where(np.logical_and(none, np.less_equal(b, 0)), 0, g * np.log(b)),
        lambda: np.where(none, 0, g * (a / safe)),
    )


@elementwise
def tan(x):
    """sin(x) / cos(x)

    >>> tg.tan([0, 1]).tolist()
    [0.0, 1.5574]
    """
    y = np.tan(floating(x))
    return y, lambda g: (g * (1 + y * y),)


@elementwise
def asin(x):
    """The angle in radians, -pi/2 to pi/2, whose sine is x

    >>> tg.asin([0, 1]).tolist()
    [0.0, 1.5708]
    """
    x = floating(x)
    return np.arcsin(x), lambda g: (g / np.sqrt((1 - x) * (1 + x)),)


@elementwise
def acos(x):
    """The angle in radians, 0 to pi, whose cosine is x

    >>> tg.acos([1, 0, -1]).tolist()
    [0.0, 1.5708, 3.1416]
    """
    x = floating(x)
    return np.arccos(x), lambda g: (-g / np.sqrt((1 - x) * (1 + x)),)


@elementwise
def atan(x):
    """The angle in radians, -pi/2 to pi/2, whose tangent is x

    >>> tg.atan([0, 1]).tolist()
    [0.0, 0.7854]
    """
    x = floating(x)
    return np.arctan(x), lambda g: (g / (1 + x * x),)


@elementwise
def atan2(a, b):
    """The angle of the point (b, a), between -pi and pi

    >>> tg.atan2([1, -1], [0, -1]).tolist()
    [1.5708, -2.3562]
    """
    a, b = floating(a), floating(b)

    def vjp(g):
        scaled = g / (a * a + b * b)
        return lambda: scaled * b, lambda: -scaled * a

    return np.arctan2(a, b), vjp


@elementwise
def hypot(a, b):
    """sqrt(a^2 + b^2), without overflow

    >>> tg.hypot([3], [4]).tolist()
    [5.0]
    """
    a, b = floating(a), floating(b)
    y = np.hypot(a, b)
    return y, lambda g: (lambda: g * (a / y), lambda: g * (b / y))


@elementwise
def sinh(x):
    """(exp(x) - exp(-x)) / 2

    >>> tg.sinh([0, 1]).tolist()
    [0.0, 1.1752]
    """
    x = floating(x)
    return np.sinh(x), lambda g: (g * np.cosh(x),)


@elementwise
def cosh(x):
    """(exp(x) + exp(-x)) / 2

    >>> tg.cosh([0, 1]).tolist()
    [1.0, 1.5431]
    """
    x = floating(x)
    return np.cosh(x), lambda g: (g * np.sinh(x),)


@elementwise
def tanh(x):
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))

    >>> tg.tanh([0, 1]).tolist()
    [0.0, 0.7616]
    """
    y = np.tanh(floating(x))
    return y, lambda g: (g * (1 - y * y),)


@elementwise
def asinh(x):
    """The inverse of sinh: log(x + sqrt(x^2 + 1))

    >>> tg.asinh([0, 1]).tolist()
    [0.0, 0.8814]
    """
    x = floating(x)
    return np.arcsinh(x), lambda g: (g / np.sqrt(1 + x * x),)


@elementwise
def acosh(x):
    """The inverse of cosh: log(x + sqrt(x^2 - 1))

    >>> tg.acosh([1, 2]).tolist()
    [0.0, 1.317]
    """
    x = floating(x)
    return np.arccosh(x), lambda g: (g / np.sqrt((x - 1) * (x + 1)),)


@elementwise
def atanh(x):
    """The inverse of tanh: log((1 + x) / (1 - x)) / 2

    >>> tg.atanh([0, 0.5]).tolist()
    [0.0, 0.5493]
    """
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
    """The error function: 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x

    >>> tg.erf([0, 1]).tolist()
    [0.0, 0.8427]
    """
    x = floating(x)
    return erf_of(x), lambda g: (g * (TWO_OVER_SQRT_PI * np.exp(-x * x)),)


@op
def erfc(x):
    """1 - erf(x), exact also where it is small

    >>> tg.erfc([0, 1]).tolist()
    [1.0, 0.1573]
    """
    x = floating(x)
    return erfc_of(x), lambda g: (g * (-TWO_OVER_SQRT_PI * np.exp(-x * x)),)


def ldexp(x: Any, exponent: Any) -> Tensor:
    """x 2^exponent

    >>> tg.ldexp(Tensor([1.5]), Tensor([2])).tolist()
    [6.0]
    """
    return mul(x, exp2(exponent))


def sinc(x: Any) -> Tensor:
    """sin(pi x) / (pi x), and 1 at 0

    >>> tg.sinc([0, 0.5]).tolist()
    [1.0, 0.6366]
    """
    x = as_tensor(x)
    none = eq(x, 0)
    angle = where(none, 1, x * math.pi)
    return where(none, 1, sin(angle) / angle)


def logit(x: Any, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), the inverse of sigmoid; with eps, of x limited to [eps, 1 - eps]

    >>> tg.logit([0.5, 0.9]).tolist()
    [0.0, 2.1972]
    """
    x = x if eps is None else clip(x, eps, 1 - eps)
    return log(div(x, sub(1, x)))

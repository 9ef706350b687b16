"""Arithmetic, rounding and choice, element by element; operands broadcast as in NumPy.

Primitives first, then what is composed from them and so needs no derivative of its own.
"""

import math
from typing import Any

import numpy as np

from tinygrad_lite.kernels.adding import added
from tinygrad_lite.kernels.watch import constant, procedure
from tinygrad_lite.ops.comparisons import eq, ge, isnan, le, logical_or, lt
from tinygrad_lite.tensor import Tensor, as_tensor, elementwise, op


def floating(x: Any) -> Any:
    """Integers and booleans as float32; everything else as it is."""
    x = x if hasattr(x, "dtype") else np.asarray(x, np.float32)
    return x if x.dtype.kind == "f" else x.astype(np.float32)


@elementwise
def add(a, b):
    """a + b

    >>> (Tensor([1, 2]) + 1).tolist()
    [2, 3]
    """
    return added(a, b), lambda g: (g, g)


@elementwise
def sub(a, b):
    """a - b

    >>> (Tensor([1, 2]) - 1).tolist()
    [0, 1]
    """
    return np.subtract(a, b), lambda g: (g, lambda: -g)


@elementwise
def mul(a, b):
    """a * b

    >>> (Tensor([1, 2]) * 3).tolist()
    [3, 6]
    """
    return np.multiply(a, b), lambda g: (lambda: g * b, lambda: g * a)


@elementwise
def div(a, b):
    """a / b; integers are divided as float32.

    >>> (Tensor([1, 2]) / 2).tolist()
    [0.5, 1.0]
    """
    if np.result_type(a, b).kind != "f":
        a, b = floating(a), floating(b)
    y = np.divide(a, b)
    return y, lambda g: (lambda: g / b, lambda: -g * y / b)


@elementwise
def pow(a, b):
    """a ** b. The derivative to a is 0 where b is 0; the derivative to b is 0 where a is 0 and b is
    not negative, and not a number where a is negative.

    >>> (Tensor([2, 3]) ** 2).tolist()
    [4, 9]
    """
    y = np.power(a, b)

    def vjp(g):
        def da():
            if not hasattr(b, "dtype"):
                return g * (b * np.power(a, b - 1)) if b != 0 else np.zeros_like(g)
            exponent = np.where(np.equal(b, 0), 0, b - 1).astype(y.dtype)
            return g * (b * np.power(a, exponent))

        def db():
            flat = np.logical_and(np.equal(a, 0), np.greater_equal(b, 0))
            return g * y * np.log(np.where(flat, 1, a).astype(y.dtype))

        return da, db

    return y, vjp


@elementwise
def neg(x):
    """-x

    >>> (-Tensor([1, -2])).tolist()
    [-1, 2]
    """
    return np.negative(x), lambda g: (-g,)


@elementwise
def abs(x):
    """The derivative at 0 is 0.

    >>> Tensor([-1, 2]).abs().tolist()
    [1, 2]
    """
    return np.abs(x), lambda g: (g * np.sign(x),)


@elementwise
def sign(x):
    """-1, 0 or 1; its derivative is 0 wherever it has one. Booleans are their own sign.

    >>> Tensor([-3, 0, 2]).sign().tolist()
    [-1, 0, 1]
    """
    y = np.logical_and(x, True) if np.result_type(x).kind == "b" else np.sign(x)
    return y, lambda g: (np.zeros_like(g),)


@elementwise
def maximum(a, b):
    """The larger of both; equal values share the gradient, and beside NaN both have all of it.

    >>> tg.maximum([1, 5], [3, 2]).tolist()
    [3, 5]
    """
    return np.maximum(a, b), lambda g: _shared(g, a, b, np.less)


@elementwise
def minimum(a, b):
    """The smaller of both; equal values share the gradient, and beside NaN both have all of it.

    >>> tg.minimum([1, 5], [3, 2]).tolist()
    [1, 2]
    """
    return np.minimum(a, b), lambda g: _shared(g, a, b, np.greater)


def _shared(g, a, b, loses):
    """The gradients of a and of b: nothing to the one that loses, half of g to each of equals"""
    g = np.where(np.equal(a, b), 0.5 * g, g)
    return lambda: np.where(loses(a, b), 0, g), lambda: np.where(loses(b, a), 0, g)


@elementwise
def where(condition, a, b):
    """a where the condition holds, else b

    >>> tg.where([True, False], [1, 2], 0).tolist()
    [1, 0]
    """
    return np.where(condition, a, b), lambda g: (
        None,
        lambda: np.where(condition, g, 0),
        lambda: np.where(condition, 0, g),
    )


@elementwise
def floor(x):
    """The largest whole number that is not above x; it is constant between jumps: no gradient
    passes. So for ceil, trunc and round.

    >>> tg.floor([1.8, -1.2]).tolist()
    [1.0, -2.0]
    """
    return np.floor(x), lambda g: (np.zeros_like(g),)


@elementwise
def ceil(x):
    """The smallest whole number that is not below x; no gradient passes

    >>> tg.ceil([1.2, -1.2]).tolist()
    [2.0, -1.0]
    """
    return np.ceil(x), lambda g: (np.zeros_like(g),)


@elementwise
def trunc(x):
    """Without what is behind the point: towards 0

    >>> tg.trunc([1.8, -1.8]).tolist()
    [1.0, -1.0]
    """
    return np.trunc(x), lambda g: (np.zeros_like(g),)


@elementwise
def round(x, decimals=0):
    """The nearest number of so many decimals, of two the even one

    >>> Tensor([1.26, 2.5]).round(decimals=1).tolist()
    [1.3, 2.5]
    """
    return np.round(x, decimals), lambda g: (np.zeros_like(g),)


@elementwise
def floor_div(a, b):
    """a / b rounded down; ZeroDivisionError for integers divided by 0. No gradient passes.

    >>> (Tensor([7, -7]) // 2).tolist()
    [3, -4]
    """
    _check_divisor("floor_div", a, b)
    return np.floor_divide(a, b), lambda g: (lambda: np.zeros_like(g), lambda: np.zeros_like(g))


@elementwise
def remainder(a, b):
    """a - b floor(a / b), with the sign of b, as Python's %; ZeroDivisionError for integers by 0

    >>> tg.remainder([5, -5], 3).tolist()
    [2, 1]
    """
    _check_divisor("remainder", a, b)
    return np.remainder(a, b), lambda g: (g, lambda: -g * np.floor(np.divide(a, b)))


@elementwise
def fmod(a, b):
    """a - b * trunc(a / b), with the sign of a, as C's; ZeroDivisionError for integers by 0

    >>> tg.fmod([5, -5], 3).tolist()
    [2, -2]
    """
    _check_divisor("fmod", a, b)
    return np.fmod(a, b), lambda g: (g, lambda: -g * np.trunc(np.divide(a, b)))


def _check_divisor(name, a, b):
    if np.result_type(a, b).kind != "f":
        _check_not_zero(np.asarray(b) if isinstance(b, int) else b, name)


@procedure
def _check_not_zero(b, name):
    if not np.all(b):
        raise ZeroDivisionError(
            f"{name}: an integer is divided by something else than 0.\n"
            "  got a 0 among the divisors\n  try x.astype('float32'), which gives infinity"
        )


@elementwise
def copysign(a, b):
    """a with the sign of b, of which it may be that of 0

    >>> tg.copysign([1, 2], [-1, 1]).tolist()
    [-1.0, 2.0]
    """
    a, b = floating(a), floating(b)
    y = np.copysign(a, b)
    return y, lambda g: (lambda: g * (np.sign(a) * np.sign(y)), lambda: np.zeros_like(g))


@elementwise
def heaviside(x, at_zero):
    """0 below 0, 1 above, and `at_zero` between. No gradient passes.

    >>> tg.heaviside([-1, 0, 1], [0.5]).tolist()
    [0.0, 0.5, 1.0]
    """
    y = np.where(np.equal(x, 0), at_zero, np.greater(x, 0))
    return y.astype(np.result_type(x, at_zero)), None


@elementwise
def nextafter(a, b):
    """The next number after a towards b

    >>> tg.nextafter([1], [2]).tolist()
    [1.0]
    """
    return np.nextafter(a, b), None


@elementwise
def gcd(a, b):
    """The greatest common divisor of integers

    >>> tg.gcd(Tensor([12, 18]), Tensor([8, 27])).tolist()
    [4, 9]
    """
    return np.gcd(a, b), None


@elementwise
def lcm(a, b):
    """The least common multiple of integers

    >>> tg.lcm(Tensor([4]), Tensor([6])).tolist()
    [12]
    """
    return np.lcm(a, b), None


@op
def astype(x, dtype):
    """x in another dtype; gradients come back in the dtype of x.

    >>> Tensor([1.7]).astype("int64").tolist()
    [1]
    """
    y = (x if hasattr(x, "dtype") else np.asarray(x)).astype(dtype)
    return y, (lambda g: (g,)) if y.dtype.kind == "f" else None


@elementwise
def _clip(x, low, high):
    def vjp(g):
        inside = np.logical_and(np.greater_equal(x, low), np.less_equal(x, high))
        return (
            np.where(inside, g, 0),
            lambda: np.where(np.logical_and(np.less(x, low), np.less(low, high)), g, 0),
            lambda: np.where(np.logical_or(np.greater(x, high), np.less(high, low)), g, 0),
        )

    return np.minimum(np.maximum(x, low), high), vjp


def clip(x: Any, min: Any = None, max: Any = None) -> Tensor:
    """x limited to [min, max]; None means no limit on that side. The derivative to x is 1 at the
    limits.

    >>> tg.clip([-2, 0.5, 2], -1, 1).tolist()
    [-1.0, 0.5, 1.0]
    """
    if min is None and max is None:
        raise ValueError(
            "clip: at least one limit is needed.\n  got min=None, max=None\n  try x.clip(min=0.0)"
        )
    x = as_tensor(x)
    low, high = _limits(x.dtype)
    return _clip(x, low if min is None else min, high if max is None else max)


def _limits(dtype: np.dtype) -> tuple[Any, Any]:
    """The least and the largest number of a dtype"""
    if dtype.kind == "f":
        return -np.inf, np.inf
    return (False, True) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)


def masked_fill(x: Any, mask: Any, value: Any) -> Tensor:
    """x with `value`, a number or a Tensor, where the mask is true. The dtype stays that of x, into
    which the value must fit.

    >>> tg.masked_fill([1, 2], [True, False], 9).tolist()
    [9, 2]
    """
    x = as_tensor(x)
    given = value.data if isinstance(value, Tensor) else np.asarray(value)
    fits, filler = given.dtype.kind in "fiub", value
    if isinstance(value, Tensor | np.ndarray):  # what it holds may be another number next time
        fits = fits and (given.dtype.kind != "f" or x.dtype.kind not in "iu")
        filler = astype(value, x.dtype) if fits else None
    elif fits:
        with np.errstate(all="ignore"):
            filler = constant(given.astype(x.dtype))
            fits = x.dtype.kind in "fb" or bool(np.all(given.astype(x.dtype) == given))
    if not fits:
        raise ValueError(
            "masked_fill: the value must fit into the dtype of x.\n"
            f"  got {value!r} for a tensor of {x.dtype}\n  try x.astype('float32'), or a number"
        )
    return where(mask, filler, x)


def square(x: Any) -> Tensor:
    """x * x

    >>> tg.square([2, -3]).tolist()
    [4, 9]
    """
    return pow(x, 2)


def reciprocal(x: Any) -> Tensor:
    """1 / x

    >>> tg.reciprocal([2, 4]).tolist()
    [0.5, 0.25]
    """
    return div(1, x)


def lerp(a: Any, b: Any, weight: Any) -> Tensor:
    """a + weight * (b - a): a where the weight is 0, b where it is 1

    >>> tg.lerp(Tensor([0.0]), Tensor([10.0]), 0.25).tolist()
    [2.5]
    """
    step = sub(b, a)
    return where(lt(abs(weight), 0.5), a + weight * step, b - step * sub(1, weight))


def addcmul(x: Any, a: Any, b: Any, value: float = 1) -> Tensor:
    """x + value * a * b

    >>> tg.addcmul(Tensor([1.0]), Tensor([6.0]), Tensor([3.0]), value=0.5).tolist()
    [10.0]
    """
    return add(x, mul(mul(a, b), value) if value != 1 else mul(a, b))


def addcdiv(x: Any, a: Any, b: Any, value: float = 1) -> Tensor:
    """x + value * a / b

    >>> tg.addcdiv(Tensor([1.0]), Tensor([6.0]), Tensor([3.0]), value=0.5).tolist()
    [2.0]
    """
    return add(x, div(mul(a, value) if value != 1 else a, b))


def positive(x: Any) -> Tensor:
    """x itself, +x

    >>> tg.positive(Tensor([1, -2])).tolist()
    [1, -2]
    """
    x = as_tensor(x)
    return astype(x, x.dtype)


def frac(x: Any) -> Tensor:
    """What is behind the point, with the sign of x: x - trunc(x)

    >>> tg.frac([1.5, -1.5]).tolist()
    [0.5, -0.5]
    """
    return sub(x, trunc(x))


def deg2rad(x: Any) -> Tensor:
    """x pi / 180

    >>> tg.deg2rad([180, 90]).tolist()
    [3.1416, 1.5708]
    """
    return mul(x, math.pi / 180)


def rad2deg(x: Any) -> Tensor:
    """x 180 / pi

    >>> tg.rad2deg([3.14159265]).tolist()
    [180.0]
    """
    return mul(x, 180 / math.pi)


def fmax(a: Any, b: Any) -> Tensor:
    """The larger of both, or the one that is no NaN; of equals, the first has the gradient

    >>> tg.fmax([1, float("nan")], [0, 2]).tolist()
    [1.0, 2.0]
    """
    return where(logical_or(ge(a, b), isnan(b)), a, b)


def fmin(a: Any, b: Any) -> Tensor:
    """The smaller of both, or the one that is no NaN; of equals, the first has the gradient

    >>> tg.fmin([1, float("nan")], [0, 2]).tolist()
    [0.0, 2.0]
    """
    return where(logical_or(le(a, b), isnan(b)), a, b)


def float_power(a: Any, b: Any) -> Tensor:
    """a ** b in float64

    >>> tg.float_power(Tensor([2]), 3).tolist()
    [8.0]
    """
    return pow(
        *(astype(x, np.float64) if isinstance(x, Tensor | np.ndarray) else x for x in (a, b))
    )


def nan_to_num(
    x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """x with NaN and infinities replaced, these by the largest and least number of the dtype unless
    given; no gradient passes there

    >>> tg.nan_to_num([float("nan"), 1], 7).tolist()
    [7.0, 1.0]
    """
    x = as_tensor(x)
    if x.dtype.kind != "f":
        return positive(x)
    limits = np.finfo(x.dtype)
    x = where(isnan(x), nan, x)
    x = where(eq(x, np.inf), limits.max if posinf is None else posinf, x)
    return where(eq(x, -np.inf), limits.min if neginf is None else neginf, x)

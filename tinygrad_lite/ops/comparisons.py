"""Comparisons, logic and bits, element by element: what has no derivative."""

import math
from typing import Any

import numpy as np

from tinygrad_lite.tensor import Tensor, elementwise, op


@elementwise
def eq(a, b):
    """a == b

    >>> (Tensor([1, 2]) == 2).tolist()
    [False, True]
    """
    return np.equal(a, b), None


@elementwise
def ne(a, b):
    """a != b

    >>> (Tensor([1, 2]) != 2).tolist()
    [True, False]
    """
    return np.not_equal(a, b), None


@elementwise
def lt(a, b):
    """a < b

    >>> (Tensor([1, 2]) < 2).tolist()
    [True, False]
    """
    return np.less(a, b), None


@elementwise
def le(a, b):
    """a <= b

    >>> (Tensor([1, 2]) <= 1).tolist()
    [True, False]
    """
    return np.less_equal(a, b), None


@elementwise
def gt(a, b):
    """a > b

    >>> (Tensor([1, 2]) > 1).tolist()
    [False, True]
    """
    return np.greater(a, b), None


@elementwise
def ge(a, b):
    """a >= b

    >>> (Tensor([1, 2]) >= 2).tolist()
    [False, True]
    """
    return np.greater_equal(a, b), None


@op
def logical_not(x):
    """Where x is 0

    >>> tg.logical_not([1, 0]).tolist()
    [False, True]
    """
    return np.logical_not(x), None


@elementwise
def logical_and(a, b):
    """Where both are not 0

    >>> tg.logical_and([1, 0], [1, 1]).tolist()
    [True, False]
    """
    return np.logical_and(a, b), None


@elementwise
def logical_or(a, b):
    """Where one of both, or both, are not 0

    >>> tg.logical_or([1, 0], [0, 0]).tolist()
    [True, False]
    """
    return np.logical_or(a, b), None


@elementwise
def logical_xor(a, b):
    """Where one of both is not 0, and the other is

    >>> tg.logical_xor([1, 0], [1, 1]).tolist()
    [False, True]
    """
    return np.logical_xor(a, b), None


@op
def bitwise_not(x):
    """Each bit the other way round; not, of booleans

    >>> (~Tensor([6])).tolist()
    [-7]
    """
    _check_whole("bitwise_not", x)
    return np.bitwise_not(x), None


@elementwise
def bitwise_and(a, b):
    """a & b, bit by bit

    >>> (Tensor([6]) & 3).tolist()
    [2]
    """
    _check_whole("bitwise_and", a, b)
    return np.bitwise_and(a, b), None


@elementwise
def bitwise_or(a, b):
    """a | b, bit by bit

    >>> (Tensor([6]) | 3).tolist()
    [7]
    """
    _check_whole("bitwise_or", a, b)
    return np.bitwise_or(a, b), None


@elementwise
def bitwise_xor(a, b):
    """a ^ b, bit by bit

    >>> (Tensor([6]) ^ 3).tolist()
    [5]
    """
    _check_whole("bitwise_xor", a, b)
    return np.bitwise_xor(a, b), None


@elementwise
def bitwise_left_shift(a, b):
    """a times 2 to the b, of integers

    >>> (Tensor([6]) << 1).tolist()
    [12]
    """
    _check_whole("bitwise_left_shift", a, b)
    return np.left_shift(a, b), None


@elementwise
def bitwise_right_shift(a, b):
    """a divided by 2 to the b and rounded down, of integers

    >>> (Tensor([6]) >> 1).tolist()
    [3]
    """
    _check_whole("bitwise_right_shift", a, b)
    return np.right_shift(a, b), None


def _check_whole(name, *operands):
    kinds = [np.result_type(x) for x in operands]
    if any(kind.kind not in "iub" for kind in kinds):
        raise TypeError(
            f"{name}: integers and booleans have bits that can be joined.\n"
            f"  got {', '.join(map(str, kinds))}\n"
            "  try x.astype('int64'), or logical_and, logical_or, logical_not of numbers"
        )


@op
def isnan(x):
    """Where x is NaN

    >>> tg.isnan([1, float("nan")]).tolist()
    [False, True]
    """
    return np.isnan(x), None


@op
def isinf(x):
    """Where x is infinite

    >>> tg.isinf([1, float("inf")]).tolist()
    [False, True]
    """
    return np.isinf(x), None


@op
def isfinite(x):
    """Where x is neither infinite nor NaN

    >>> tg.isfinite([1, float("inf")]).tolist()
    [True, False]
    """
    return np.isfinite(x), None


@op
def signbit(x):
    """Whether x is negative, also -0

    >>> tg.signbit([-1, 1]).tolist()
    [True, False]
    """
    whole = np.result_type(x).kind in "iub"
    return (np.less(x, 0) if whole else np.signbit(x)), None


def isposinf(x: Any) -> Tensor:
    """Whether x is inf

    >>> tg.isposinf([1, float("inf")]).tolist()
    [False, True]
    """
    return eq(x, math.inf)


def isneginf(x: Any) -> Tensor:
    """Whether x is -inf

    >>> tg.isneginf([1, -float("inf")]).tolist()
    [False, True]
    """
    return eq(x, -math.inf)


def allclose(
    a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether all |a - b| <= atol + rtol |b|

    >>> tg.allclose(Tensor([1.0, 2.0]), Tensor([1.0, 2.0 + 1e-7]))
    True
    """
    return bool(np.all(isclose(a, b, rtol, atol, equal_nan).data))


def equal(a: Tensor, b: Tensor) -> bool:
    """Whether both have one shape and the same numbers

    >>> tg.equal(Tensor([1, 2]), Tensor([1, 2]))
    True
    """
    return a.shape == b.shape and bool(np.all(eq(a, b).data))


@op
def isin(x, among):
    """Whether each element is one of `among`

    >>> tg.isin(Tensor([1, 2, 3]), Tensor([2])).tolist()
    [False, True, False]
    """
    return np.isin(x, among), None


@elementwise
def isclose(a, b, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether |a - b| <= atol + rtol |b|

    >>> tg.isclose([1, 2], [1, 2.1]).tolist()
    [True, False]
    """
    return np.isclose(a, b, rtol, atol, equal_nan), None

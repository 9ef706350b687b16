"""Elementary functions that LLVM can vectorise inside a kernel's loop.

`np.exp` in a compiled loop calls a scalar library function for each element. The float32
versions here are plain arithmetic, so the loop around them becomes vector code. In float64
(gradient checks) they are the library's own functions, accurate to the last bits; the same
functions are what runs under `NUMBA_DISABLE_JIT=1`.
"""

import functools
import math

import numpy as np
from numba import types
from numba.extending import overload

from tinygrad_lite.kernels.functions import FASTMATH, inlined

# Each sum here has one product in it, so that there is one way to fuse the two (see compile.py).
POLYNOMIAL = {*FASTMATH, "contract"}

_LOG2_E = np.float32(1.44269504)
_LN2_HIGH = np.float32(0.693359375)  # few mantissa bits: n * _LN2_HIGH is exact
_LN2_LOW = np.float32(-2.12194440e-4)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_LARGEST = np.float32(88.72283)  # the last whose exp is a float32
_SMALLEST = np.float32(-87.33654)  # exp of less is below the smallest normal float32
_ZERO = np.float32(0.0)
_INFINITY = np.float32(np.inf)
_LN2 = np.float32(math.log(2))
_SQRT_2_LESS_1 = np.float32(math.sqrt(2) - 1)

# Taylor coefficients 1/2!, ..., 1/7!: |r| <= ln(2)/2, so the remainder is below 5e-9.
_C2, _C3, _C4, _C5, _C6, _C7 = (np.float32(1.0 / math.factorial(n)) for n in range(2, 8))


def exp(x):
    """e**x; in float32 within 2 units in the last place, but results below 1.2e-38, the smallest
    normal number, become 0."""
    return np.exp(x)


@functools.partial(inlined, fastmath=POLYNOMIAL)
def _exp_float32(x):
    """exp(x) = 2**n * exp(r) with n = round(x / ln 2) and |r| <= ln(2)/2."""
    clamped = min(max(x, _SMALLEST), _LARGEST)
    n = np.floor(clamped * _LOG2_E + _HALF)
    r = clamped - n * _LN2_HIGH - n * _LN2_LOW
    p = _C7
    p = p * r + _C6
    p = p * r + _C5
    p = p * r + _C4
    p = p * r + _C3
    p = p * r + _C2
    p = p * r * r + r + _ONE
    # n more in the exponent field is 2**n times as much; p < 1 where n = 128.
    y = np.int32(np.float32(p).view(np.int32) + (np.int32(n) << 23)).view(np.float32)
    y = _ZERO if x < _SMALLEST else y
    y = _INFINITY if x > _LARGEST else y
    return y if x == x else x


@overload(exp, jit_options={"fastmath": POLYNOMIAL})
def _overload_exp(x):
    if x == types.float32:
        return lambda x: _exp_float32(x)
    return lambda x: math.exp(x)


def logistic(x):
    """1 / (1 + e**-x); in float32 within 3 units in the last place, but 0 below -88.7"""
    return 1 / (1 + np.exp(-x))


@overload(logistic, jit_options={"fastmath": POLYNOMIAL})
def _overload_logistic(x):
    if x == types.float32:
        return lambda x: _ONE / (_ONE + _exp_float32(-x))
    return lambda x: 1.0 / (1.0 + math.exp(-x))


def logistic_pair(x):
    """(logistic(x), logistic(-x)), which is 1 less the first but without cancellation; in float32
    what is below 1.2e-38 is 0."""
    return logistic(x), logistic(-x)


@functools.partial(inlined, fastmath=POLYNOMIAL)
def _logistic_pair_float32(x):
    e = _exp_float32(-abs(x))
    larger = _ONE / (_ONE + e)
    smaller = e * larger
    is_below = x < _ZERO
    return smaller if is_below else larger, larger if is_below else smaller


@overload(logistic_pair, jit_options={"fastmath": POLYNOMIAL})
def _overload_logistic_pair(x):
    if x == types.float32:
        return lambda x: _logistic_pair_float32(x)
    return lambda x: (1.0 / (1.0 + math.exp(-x)), 1.0 / (1.0 + math.exp(x)))


def log1p(x):
    """log(1 + x) for 0 <= x <= 1; in float32 within 2 units in the last place"""
    return np.log1p(x)


@functools.partial(inlined, fastmath=POLYNOMIAL)
def _log1p_float32(x):
    """log(1 + f), with x = f or 1 + x = 2 * (1 + f), so that 1 + f <= sqrt(2); the polynomial is
    that of `logf` in Cephes (Moshier 1989)."""
    halve = x > _SQRT_2_LESS_1
    f = _HALF * x - _HALF if halve else x
    p = np.float32(7.0376836292e-2)
    p = p * f - np.float32(1.1514610310e-1)
    p = p * f + np.float32(1.1676998740e-1)
    p = p * f - np.float32(1.2420140846e-1)
    p = p * f + np.float32(1.4249322787e-1)
    p = p * f - np.float32(1.6668057665e-1)
    p = p * f + np.float32(2.0000714765e-1)
    p = p * f - np.float32(2.4999993993e-1)
    p = p * f + np.float32(3.3333331174e-1)
    p = p * f - _HALF
    y = f * f * p + f
    return y + _LN2 if halve else y


@overload(log1p, jit_options={"fastmath": POLYNOMIAL})
def _overload_log1p(x):
    if x == types.float32:
        return lambda x: _log1p_float32(x)
    return lambda x: math.log1p(x)


def normal(x):
    """(Phi(x), exp(-x^2 / 2)): the normal distribution up to x, and its density but for a factor;
    in float32 with an absolute error of Phi below 3e-7."""
    f = x.dtype.type
    return f(0.5 * math.erfc(-x * math.sqrt(0.5))), np.exp(-f(0.5) * x * x)


@functools.partial(inlined, fastmath=POLYNOMIAL)
def _normal_float32(x):
    """Phi(x) = (1 + erf(x / sqrt 2)) / 2 with erf by Abramowitz and Stegun (1964), 7.1.26, whose
    exponential is the density's."""
    t = _ONE / (_ONE + np.float32(0.3275911 * math.sqrt(0.5)) * abs(x))
    e = _exp_float32(-_HALF * x * x)
    p = np.float32(0.5 * 1.061405429)
    p = p * t - np.float32(0.5 * 1.453152027)
    p = p * t + np.float32(0.5 * 1.421413741)
    p = p * t - np.float32(0.5 * 0.284496736)
    p = p * t + np.float32(0.5 * 0.254829592)
    tail = p * t * e
    return (tail if x < _ZERO else _ONE - tail), e


@overload(normal, jit_options={"fastmath": POLYNOMIAL})
def _overload_normal(x):
    if x == types.float32:
        return lambda x: _normal_float32(x)
    return lambda x: (0.5 * math.erfc(-x * math.sqrt(0.5)), math.exp(-0.5 * x * x))

"""The Gamma function's logarithm with its derivatives, and the inverse of the error function.

Kernels compute in float64, and round once.
"""

import math
from typing import Any

import numpy as np

from tinygrad_lite.kernels.arrays import asking
from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.ops.elementwise import floating, where
from tinygrad_lite.ops.transcendental import erfc, filled_by, log1p, xlogy
from tinygrad_lite.tensor import Tensor, as_tensor, op

ASYMPTOTIC = 10.0  # from here on, series in 1 / x^2 have all digits of float64 after a few terms
MOST_STEPS = 10_000  # towards it, from below
# Bernoulli numbers B2, B4, ..., B16  (Abramowitz, Stegun 23.1)
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


@kernel
def log_gamma_kernel(chunk, y, x, order):
    """y = the derivative of that order of log |Gamma(x)|; MOST_STEPS below 0, or lower, NaN from
    the second order on"""
    part = part_of(x.size, chunk)
    y, x = y[part], x[part]
    for i in range(x.size):
        v = float(x[i])
        pole = v <= 0 and v == math.floor(v)
        if v != v:
            y[i] = v
        elif order == 0:
            y[i] = math.inf if pole or math.isinf(v) else math.lgamma(v)
        elif pole:
            if order == 1:
                y[i] = -math.copysign(math.inf, v) if v == 0 else math.nan
            else:
                y[i] = math.inf if order % 2 == 0 else math.nan
        elif math.isinf(v):
            y[i] = v if order == 1 and v > 0 else math.nan if v < 0 else 0.0
        elif order == 1:
            total = 0.0
            if v < 0:  # psi(1 - x) - psi(x) = pi / tan(pi x)
                total = -math.pi / math.tan(math.pi * (v - math.floor(v + 0.5)))
                v = 1 - v
            while v < ASYMPTOTIC:
                total -= 1 / v
                v += 1
            square, power = 1 / (v * v), 1.0
            total += math.log(v) - 0.5 / v
            for k in range(len(BERNOULLI)):
                power *= square
                total -= BERNOULLI[k] / (2 * k + 2) * power
            y[i] = total
        elif v < -MOST_STEPS:
            y[i] = math.nan
        else:
            # (-1)^s (s - 1)! times the sum of (x + k)^-s, by Euler and Maclaurin from ASYMPTOTIC on
            total = 0.0
            while v < ASYMPTOTIC + order:
                total += 1 / v**order  # a negative power of a tiny number raises in Numba
                v += 1
            total += 1 / v ** (order - 1) / (order - 1) + 0.5 / v**order
            rising = order / v ** (order + 1)
            factorial = 2.0
            for k in range(len(BERNOULLI)):
                total += BERNOULLI[k] / factorial * rising
                rising *= (order + 2 * k + 1) * (order + 2 * k + 2) / (v * v)
                factorial *= (2 * k + 3) * (2 * k + 4)
            scale = 1.0 if order % 2 == 0 else -1.0
            for k in range(2, order):
                scale *= k
            y[i] = scale * total


@kernel
def erfinv_kernel(chunk, y, x):
    """Winitzki's formula (2008), and three of Halley's steps, each with three times the digits"""
    part = part_of(x.size, chunk)
    y, x = y[part], x[part]
    for i in range(x.size):
        v = abs(float(x[i]))
        rest = 1 - v
        if not rest > 0:
            y[i] = math.copysign(math.inf, x[i]) if rest == 0 else math.nan
            continue
        log = math.log1p(-v) + math.log1p(v)
        half = 2 / (math.pi * 0.147) + 0.5 * log
        z = math.sqrt(max(0.0, math.sqrt(half * half - log / 0.147) - half))
        for _ in range(3):
            # beyond 0.5 what is left to 1 has more digits than what is there
            wrong = math.erf(z) - v if v < 0.5 else rest - math.erfc(z)
            slope = 2 / math.sqrt(math.pi) * math.exp(-z * z)
            z -= wrong / (slope + z * wrong)
        y[i] = math.copysign(z, x[i])


@asking
def log_gamma_of(x, order):
    return filled_by(log_gamma_kernel, x, order)


@asking
def erfinv_of(x):
    return filled_by(erfinv_kernel, x)


@op
def _log_gamma(x, order):
    x = floating(x)
    return log_gamma_of(x, order), lambda g: (g * log_gamma_of(x, order + 1),)


def lgamma(x: Tensor) -> Tensor:
    """log |Gamma(x)|; infinite at 0, -1, -2, ...

    >>> tg.lgamma([1, 5]).tolist()
    [0.0, 3.1781]
    """
    return _log_gamma(x, 0)


def digamma(x: Tensor) -> Tensor:
    """The derivative of lgamma, psi(x)  (Abramowitz, Stegun 6.3)

    >>> tg.digamma([1, 2]).tolist()
    [-0.5772, 0.4228]
    """
    return _log_gamma(x, 1)


def polygamma(n: int, x: Tensor) -> Tensor:
    """The derivative of order n of digamma; NaN below -10,000  (Abramowitz, Stegun 6.4)

    >>> tg.polygamma(1, Tensor([1.0])).tolist()
    [1.6449]
    """
    if not isinstance(n, int) or n < 0:
        raise ValueError(f"polygamma: the order is a whole number from 0 up.\n  got {n}\n  try 1")
    return _log_gamma(x, n + 1)


def mvlgamma(x: Tensor, p: int) -> Tensor:
    """log of the Gamma function in p dimensions, for x above (p - 1) / 2

    >>> tg.mvlgamma(Tensor([2.0]), 2).tolist()
    [0.4516]
    """
    if p < 1:
        raise ValueError(f"mvlgamma: there is a dimension.\n  got p={p}\n  try 1")
    total = lgamma(x)
    for j in range(1, p):
        total = total + lgamma(x - j / 2)
    return total + p * (p - 1) / 4 * math.log(math.pi)


@op
def erfinv(x):
    """The number of which x is the error function; infinite at -1 and 1, NaN beyond

    >>> tg.erfinv([0, 0.5]).tolist()
    [0.0, 0.4769]
    """
    x = floating(x)
    y = erfinv_of(x)
    return y, lambda g: (g * (np.exp(y * y) * (0.5 * math.sqrt(math.pi))),)


def ndtr(x: Tensor) -> Tensor:
    """The share of the normal distribution below x: erfc(-x / sqrt(2)) / 2

    >>> tg.ndtr(Tensor([0.0, 1.0])).tolist()
    [0.5, 0.8413]
    """
    return erfc(x * -math.sqrt(0.5)) * 0.5


def ndtri(p: Tensor) -> Tensor:
    """The x below which a share p of the normal distribution is, the inverse of ndtr

    >>> tg.ndtri(Tensor([0.5, 0.8413])).tolist()
    [0.0, 0.9998]
    """
    p = p if p.dtype.kind == "f" else p.float()
    return erfinv(p * 2 - 1) * math.sqrt(2)


def entr(x: Tensor) -> Tensor:
    """-x log(x), 0 at 0 and -inf below

    >>> tg.entr(Tensor([0.0, 0.5, 1.0])).tolist()
    [-0.0, 0.3466, -0.0]
    """
    return where(x < 0, -math.inf, -xlogy(x, where(x < 0, 1, x)))


def xlog1py(a: Any, b: Any) -> Tensor:
    """a log(1 + b), exact for small b, and 0 where a is 0

    >>> tg.xlog1py([0, 1], [-1, 1]).tolist()
    [0.0, 0.6931]
    """
    a = as_tensor(a)
    b = as_tensor(b)
    return a * log1p(where((a == 0) & ((b <= -1) | (b == math.inf)), 0, b))

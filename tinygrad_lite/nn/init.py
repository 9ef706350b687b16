"""Initial values, written into a parameter: nn.init.kaiming_uniform_(layer.weight, rng=rng).

Each draws from `rng`, a number or a numpy.random.Generator, and returns its tensor.
"""

import math
from typing import Any

import numpy as np

from tinygrad_lite.ops.indexing import setitem
from tinygrad_lite.tensor import Tensor, no_grad

GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4,
         "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0}  # fmt: skip


def _filled(x: Tensor, values: Any) -> Tensor:
    with no_grad():
        setitem(x, ..., np.asarray(values, x.dtype))
    return x


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By what a layer's weights are larger if this activation follows"""
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in GAINS:
        raise ValueError(
            f"init: the nonlinearity is one of leaky_relu, {', '.join(GAINS)}.\n"
            f"  got {nonlinearity!r}\n  try 'relu'"
        )
    return GAINS[nonlinearity]


def _fans(x: Tensor) -> tuple[int, int]:
    """Inputs of an output, and outputs of an input"""
    if x.ndim < 2:
        raise ValueError(
            "init: fans are of weights with two axes or more.\n"
            f"  got shape {x.shape}\n  try uniform_ or normal_"
        )
    window = math.prod(x.shape[2:])
    return x.shape[1] * window, x.shape[0] * window


def constant_(x: Tensor, value: float) -> Tensor:
    return _filled(x, np.full(x.shape, value))


def zeros_(x: Tensor) -> Tensor:
    return constant_(x, 0.0)


def ones_(x: Tensor) -> Tensor:
    return constant_(x, 1.0)


def eye_(x: Tensor) -> Tensor:
    """Ones on the diagonal of a matrix"""
    return _filled(x, np.eye(*x.shape))


def uniform_(x: Tensor, low: float = 0.0, high: float = 1.0, *, rng: Any) -> Tensor:
    return _filled(x, np.random.default_rng(rng).uniform(low, high, x.shape))


def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0, *, rng: Any) -> Tensor:
    return _filled(x, np.random.default_rng(rng).normal(mean, std, x.shape))


def trunc_normal_(
    x: Tensor, mean: float = 0.0, std: float = 1.0, low: float = -2.0, high: float = 2.0, *,
    rng: Any,
) -> Tensor:  # fmt: skip
    """Normal, and drawn again where it lies outside of low and high"""
    if not low < high or max(low - mean, mean - high) > 3 * std:
        raise ValueError(
            "trunc_normal_: the limits leave room for the distribution.\n"
            f"  got mean {mean}, std {std} between {low} and {high}\n  try limits around the mean"
        )
    rng = np.random.default_rng(rng)
    values = rng.normal(mean, std, x.shape)
    while (outside := (values < low) | (values > high)).any():
        values[outside] = rng.normal(mean, std, int(outside.sum()))
    return _filled(x, values)


def xavier_uniform_(x: Tensor, gain: float = 1.0, *, rng: Any) -> Tensor:
    """Bound gain * sqrt(6 / (fan_in + fan_out))  (Glorot, Bengio 2010)"""
    bound = gain * math.sqrt(6 / sum(_fans(x)))
    return uniform_(x, -bound, bound, rng=rng)


def xavier_normal_(x: Tensor, gain: float = 1.0, *, rng: Any) -> Tensor:
    """Deviation gain * sqrt(2 / (fan_in + fan_out))"""
    return normal_(x, 0.0, gain * math.sqrt(2 / sum(_fans(x))), rng=rng)


def _kaiming_std(x: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(
            f"init: the mode is 'fan_in' or 'fan_out'.\n  got {mode!r}\n  try 'fan_in'"
        )
    fan = _fans(x)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    x: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", *, rng: Any
) -> Tensor:
    """Bound gain * sqrt(3 / fan)  (He and others 2015)"""
    bound = math.sqrt(3) * _kaiming_std(x, a, mode, nonlinearity)
    return uniform_(x, -bound, bound, rng=rng)


def kaiming_normal_(
    x: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", *, rng: Any
) -> Tensor:
    """Deviation gain / sqrt(fan)"""
    return normal_(x, 0.0, _kaiming_std(x, a, mode, nonlinearity), rng=rng)


def orthogonal_(x: Tensor, gain: float = 1.0, *, rng: Any) -> Tensor:
    """Rows, or columns, of length `gain` at right angles to each other  (Saxe and others 2013)"""
    _fans(x)
    rows, columns = x.shape[0], x.size // max(x.shape[0], 1)
    drawn = np.random.default_rng(rng).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    q = q * np.sign(np.diagonal(r))  # each such matrix alike
    return _filled(x, gain * (q.T if rows < columns else q).reshape(x.shape))


def sparse_(x: Tensor, sparsity: float, std: float = 0.01, *, rng: Any) -> Tensor:
    """Normal, with this share of zeros in each column"""
    rng, (rows, columns) = np.random.default_rng(rng), x.shape
    values = rng.normal(0.0, std, x.shape)
    for column in range(columns):
        values[rng.permutation(rows)[: math.ceil(sparsity * rows)], column] = 0
    return _filled(x, values)


def dirac_(x: Tensor) -> Tensor:
    """A convolution that passes its channels on, as many as there are"""
    values = np.zeros(x.shape)
    middle = tuple(n // 2 for n in x.shape[2:])
    for channel in range(min(x.shape[:2])):
        values[(channel, channel, *middle)] = 1
    return _filled(x, values)

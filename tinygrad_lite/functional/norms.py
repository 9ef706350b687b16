"""Norms over a batch, or over groups of channels."""

import math
from typing import Any

import numpy as np

from tinygrad_lite.fused.batchnorm import _batchnorm, _moments
from tinygrad_lite.ops.elementwise import astype
from tinygrad_lite.ops.indexing import setitem
from tinygrad_lite.ops.reductions import mean
from tinygrad_lite.ops.transcendental import rsqrt
from tinygrad_lite.tensor import Tensor, as_tensor, no_grad


def _by_channel(x: Tensor, values: Tensor) -> Tensor:
    """(C,) beside x (B, C, ...)"""
    return values.reshape(1, -1, *[1] * (x.ndim - 2))


def _check_channels(name: str, x: Tensor, *values: Any) -> None:
    """ValueError unless each, where there is one, is (C,): kernels read and write as many"""
    for value in values:
        if value is not None and np.shape(value) != x.shape[1:2]:
            raise ValueError(
                f"{name}: weight, bias and running statistics have a number for each channel, the"
                f" second axis of x.\n  got {np.shape(value)} for x {x.shape}\n"
                f"  try shape {x.shape[1:2]}"
            )


def _move(running: Tensor | None, now: Tensor, momentum: Any) -> None:
    """Move running statistics (C,), where there are some, towards those of now"""
    if running is not None:
        with no_grad():
            new = running * (1 - momentum) + now.reshape(-1) * momentum
            setitem(running, ..., astype(new, running.dtype))


def batch_norm(
    x: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """x (B, C, ...) with each channel normalised: over the batch and its places while training,
    which also moves the running statistics (C,) by `momentum` towards these; else by the running
    ones. Then scaled and moved by weight and bias (C,)  (Ioffe, Szegedy 2015)

    >>> tg.batch_norm(Tensor([[1.0], [3.0]]), None, None, training=True).tolist()
    [[-1.0], [1.0]]
    """
    x = as_tensor(x)
    if x.ndim < 2:
        raise ValueError(
            f"batch_norm: x has a batch and channels.\n  got shape {x.shape}\n  try x.unsqueeze(0)"
        )
    _check_channels("batch_norm", x, running_mean, running_var, weight, bias)
    if training or running_mean is None or running_var is None:
        axes = (0, *range(2, x.ndim))
        count = math.prod(x.shape[i] for i in axes)
        if training and count < 2:
            raise ValueError(
                "batch_norm: while training there are two values or more in each channel.\n"
                f"  got shape {x.shape}\n  try a larger batch, or eval()"
            )
        moments = _moments(x.detach())
        if training:
            _move(running_mean, moments[0], momentum)
            _move(running_var, moments[1] * (count / (count - 1)), momentum)
        return _batchnorm(x, weight, bias, moments, eps=eps)
    centred = x - _by_channel(x, running_mean)
    scale = rsqrt(_by_channel(x, running_var) + eps)
    if weight is not None:
        scale = scale * _by_channel(x, weight)
    y = centred * scale
    return y if bias is None else y + _by_channel(x, bias)


def group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """x (B, C, ...) with each of num_groups groups of channels normalised for itself  (Wu, He
    2018), then scaled and moved by weight and bias (C,)

    >>> tg.group_norm(Tensor([[1.0, 3.0]]), 1).tolist()
    [[-1.0, 1.0]]
    """
    x = as_tensor(x)
    if x.ndim < 2 or num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(
            "group_norm: groups divide the channels, the second axis of x.\n"
            f"  got {num_groups} groups for shape {x.shape}\n  try num_groups=1"
        )
    _check_channels("group_norm", x, weight, bias)
    each = math.prod(x.shape[1:]) // num_groups
    grouped = x.reshape(x.shape[0], num_groups, each)
    centred = grouped - mean(grouped, -1, True)
    y = centred * rsqrt(mean(centred * centred, -1, True) + eps)
    y = y.reshape(x.shape)
    y = y if weight is None else y * _by_channel(x, weight)
    return y if bias is None else y + _by_channel(x, bias)


def instance_norm(
    x: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None,
    weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """x (B, C, ...) with each channel of each example normalised for itself  (Ulyanov and others
    2016); with use_input_stats=False by running statistics, as batch_norm

    >>> tg.instance_norm(Tensor([[[1.0, 3.0]]])).tolist()
    [[[-1.0, 1.0]]]
    """
    x = as_tensor(x)
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    if math.prod(x.shape[2:]) < 2:
        raise ValueError(
            "instance_norm: there are two places or more in each channel.\n"
            f"  got shape {x.shape}\n  try larger images, or group_norm"
        )
    _check_channels("instance_norm", x, running_mean, running_var, weight, bias)
    axes = tuple(range(2, x.ndim))
    middle = mean(x, axes, True)
    centred = x - middle
    spread = mean(centred * centred, axes, True)
    count = math.prod(x.shape[2:])
    _move(running_mean, mean(middle, 0), momentum)
    _move(running_var, mean(spread, 0) * (count / (count - 1)), momentum)
    y = centred * rsqrt(spread + eps)
    y = y if weight is None else y * _by_channel(x, weight)
    return y if bias is None else y + _by_channel(x, bias)


def local_response_norm(
    x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x / (k + alpha * mean of x^2 over `size` neighbouring channels)^beta  (Krizhevsky 2012)

    >>> tg.local_response_norm(tg.ones(1, 2, 1), 2).tolist()
    [[[1.0], [0.9999]]]
    """
    widths = [(0, 0), (size // 2, (size - 1) // 2), *[(0, 0)] * (x.ndim - 2)]
    squares = (x * x).pad(widths).unfold(1, size, 1)
    return x / (mean(squares, -1) * alpha + k) ** beta

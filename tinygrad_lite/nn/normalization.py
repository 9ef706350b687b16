"""Norms over a batch, or over groups of channels, as modules."""

from typing import Any

import numpy as np

from tinygrad_lite.functional.norms import batch_norm, group_norm, instance_norm
from tinygrad_lite.nn.module import Buffer, Module, Parameter
from tinygrad_lite.tensor import Tensor


class _Statistics(Module):
    """Parameters and running statistics (C,) of a norm over x with one of `axes` numbers of axes"""

    axes: tuple[int, ...] = ()

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool,
        track_running_stats: bool,
    ):  # fmt: skip
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(np.ones(num_features)) if affine else None
        self.bias = Parameter(np.zeros(num_features)) if affine else None
        kept, n = track_running_stats, num_features
        self.running_mean = Buffer(np.zeros(n, np.float32)) if kept else None
        self.running_var = Buffer(np.ones(n, np.float32)) if kept else None
        self.num_batches_tracked = Buffer(np.zeros((), np.int64)) if kept else None

    def check(self, x: Tensor) -> None:
        if x.ndim not in self.axes or x.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__}: x has the channels that are normalised, its second axis.\n"
                f"  got shape {x.shape} for {self.num_features} channels\n"
                f"  try x of {' or '.join(map(str, self.axes))} axes"
            )


class _BatchNorm(_Statistics):
    """See tg.batch_norm. momentum=None: running statistics are the mean of all batches"""

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = True, track_running_stats: bool = True,
    ):  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats)

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        momentum: Any = self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1 / self.num_batches_tracked.float()
        return batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training,
            momentum, self.eps,
        )  # fmt: skip


class BatchNorm1d(_BatchNorm):
    """x (B, C) or (B, C, T)"""

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """x (B, C, H, W)"""

    axes = (4,)


class BatchNorm3d(_BatchNorm):
    """x (B, C, D, H, W)"""

    axes = (5,)


class GroupNorm(Module):
    """x (B, C, ...), see tg.group_norm"""

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True):
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(
                "GroupNorm: groups divide the channels.\n"
                f"  got {num_groups} groups of {num_channels} channels\n  try num_groups=1"
            )
        self.num_groups, self.eps = num_groups, eps
        self.weight = Parameter(np.ones(num_channels)) if affine else None
        self.bias = Parameter(np.zeros(num_channels)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class _InstanceNorm(_Statistics):
    """See tg.instance_norm"""

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False,
    ):  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats)

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        own = self.training or self.running_mean is None
        return instance_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, own,
            self.momentum or 0.0, self.eps,
        )  # fmt: skip


class InstanceNorm1d(_InstanceNorm):
    """x (B, C, T)"""

    axes = (3,)


class InstanceNorm2d(_InstanceNorm):
    """x (B, C, H, W)"""

    axes = (4,)


class InstanceNorm3d(_InstanceNorm):
    """x (B, C, D, H, W)"""

    axes = (5,)

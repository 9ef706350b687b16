"""Convolutions and pooling as modules.

Initial weights and biases are uniform with bound 1/sqrt(inputs of an output), as PyTorch's.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_lite.fused import convolution as f
from tinygrad_lite.fused import pooling as p
from tinygrad_lite.fused.convolution import Sizes, sizes_of
from tinygrad_lite.nn.module import Module, Parameter
from tinygrad_lite.ops.padding import pad
from tinygrad_lite.tensor import Tensor

PADDINGS = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate",
            "circular": "circular"}  # fmt: skip


class _Conv(Module):
    """Weight (O, C / groups, *kernel) and bias (O,)"""

    axes = 0

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1,
        padding: Any = 0, dilation: Sizes = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", *, rng: Any,
    ):  # fmt: skip
        _check_groups(type(self).__name__, in_channels, out_channels, groups)
        if padding_mode not in PADDINGS:
            raise ValueError(
                f"{type(self).__name__}: the padding mode is one of {', '.join(PADDINGS)}.\n"
                f"  got {padding_mode!r}\n  try 'zeros'"
            )
        kernel = sizes_of("kernel_size", kernel_size, self.axes)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.padding_mode = padding_mode
        shape = (out_channels, in_channels // groups, *kernel)
        self.weight, self.bias = _drawn(shape, out_channels, bias, rng)

    def forward(self, x: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = self._padded(x), 0
        convolve = (f.conv1d, f.conv2d, f.conv3d)[self.axes - 1]
        return convolve(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _padded(self, x: Tensor) -> Tensor:
        kernel = self.weight.shape[2:]
        if self.padding == "same":
            spaces = sizes_of("dilation", self.dilation, self.axes)
            whole = [d * (k - 1) for d, k in zip(spaces, kernel, strict=True)]
            pairs = [(n // 2, n - n // 2) for n in whole]
        elif self.padding == "valid":
            return x
        else:
            pairs = [(n, n) for n in sizes_of("padding", self.padding, self.axes)]
        return pad(x, [*[(0, 0)] * (x.ndim - self.axes), *pairs], mode=PADDINGS[self.padding_mode])


class Conv1d(_Conv):
    """x (B, C, T) -> (B, O, T')"""

    axes = 1


class Conv2d(_Conv):
    """x (B, C, H, W) -> (B, O, H', W')"""

    axes = 2


class Conv3d(_Conv):
    """x (B, C, D, H, W) -> (B, O, D', H', W')"""

    axes = 3


class _ConvTranspose(Module):
    """Weight (C, O / groups, *kernel) and bias (O,)"""

    axes = 0

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1,
        padding: Sizes = 0, output_padding: Sizes = 0, groups: int = 1, bias: bool = True,
        dilation: Sizes = 1, *, rng: Any,
    ):  # fmt: skip
        _check_groups(type(self).__name__, in_channels, out_channels, groups)
        kernel = sizes_of("kernel_size", kernel_size, self.axes)
        self.stride, self.padding, self.output_padding = stride, padding, output_padding
        self.groups, self.dilation = groups, dilation
        shape = (in_channels, out_channels // groups, *kernel)
        self.weight, self.bias = _drawn(shape, out_channels, bias, rng)

    def forward(self, x: Tensor) -> Tensor:
        convolve = (f.conv_transpose1d, f.conv_transpose2d, f.conv_transpose3d)[self.axes - 1]
        return convolve(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding,
            self.groups, self.dilation,
        )  # fmt: skip


class ConvTranspose1d(_ConvTranspose):
    """x (B, C, T) -> (B, O, T')"""

    axes = 1


class ConvTranspose2d(_ConvTranspose):
    """x (B, C, H, W) -> (B, O, H', W')"""

    axes = 2


class ConvTranspose3d(_ConvTranspose):
    """x (B, C, D, H, W) -> (B, O, D', H', W')"""

    axes = 3


def _check_groups(name: str, inputs: int, outputs: int, groups: int) -> None:
    if groups < 1 or inputs % groups or outputs % groups:
        raise ValueError(
            f"{name}: groups divide the channels of x and of the output.\n"
            f"  got {groups} groups of {inputs} and {outputs} channels\n  try groups=1"
        )


def _drawn(shape: Sequence[int], outputs: int, bias: bool, rng: Any) -> Any:
    rng, bound = np.random.default_rng(rng), 1 / math.sqrt(max(math.prod(shape[1:]), 1))
    weight = Parameter(rng.uniform(-bound, bound, shape))
    return weight, Parameter(rng.uniform(-bound, bound, outputs)) if bias else None


class _Pool(Module):
    """Settings of a pooling function, in its order"""

    function: Any = None

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, *args: Any, **more: Any):
        self.settings, self.more = (kernel_size, stride, *args), more

    def forward(self, x: Tensor) -> Any:
        return type(self).function(x, *self.settings, **self.more)


class _MaxPool(_Pool):
    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
        dilation: Sizes = 1, return_indices: bool = False, ceil_mode: bool = False,
    ):  # fmt: skip
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode, return_indices)


class MaxPool1d(_MaxPool):
    """See tg.max_pool1d"""

    function = staticmethod(p.max_pool1d)


class MaxPool2d(_MaxPool):
    """See tg.max_pool2d"""

    function = staticmethod(p.max_pool2d)


class MaxPool3d(_MaxPool):
    """See tg.max_pool3d"""

    function = staticmethod(p.max_pool3d)


class AvgPool1d(_Pool):
    """See tg.avg_pool1d"""

    function = staticmethod(p.avg_pool1d)


class AvgPool2d(_Pool):
    """See tg.avg_pool2d"""

    function = staticmethod(p.avg_pool2d)


class AvgPool3d(_Pool):
    """See tg.avg_pool3d"""

    function = staticmethod(p.avg_pool3d)


class _Adaptive(Module):
    axes, function = 0, staticmethod(p.adaptive_avg_pool)

    def __init__(self, output_size: Any):
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return type(self).function(x, self.output_size, self.axes)


class AdaptiveAvgPool1d(_Adaptive):
    """Means of windows of about the same length, see tg.adaptive_avg_pool"""

    axes = 1


class AdaptiveAvgPool2d(_Adaptive):
    """Means of windows of about the same length, see tg.adaptive_avg_pool"""

    axes = 2


class AdaptiveMaxPool1d(_Adaptive):
    """The largest of windows of about the same length, see tg.adaptive_max_pool"""

    axes, function = 1, staticmethod(p.adaptive_max_pool)


class AdaptiveMaxPool2d(_Adaptive):
    """The largest of windows of about the same length, see tg.adaptive_max_pool"""

    axes, function = 2, staticmethod(p.adaptive_max_pool)

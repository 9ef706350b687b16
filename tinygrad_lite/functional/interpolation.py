"""Images, or rows, made larger or smaller: nearest neighbours, lines and curves."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_lite.functional.images import cubic_weights
from tinygrad_lite.fused.pooling import adaptive_avg_pool
from tinygrad_lite.kernels.watch import constant
from tinygrad_lite.ops.elementwise import add, mul
from tinygrad_lite.ops.indexing import index_select
from tinygrad_lite.ops.movement import clone, permute, reshape
from tinygrad_lite.tensor import Tensor

LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}
CURVED = {**LINEAR, "bicubic": 2}
MODES = ("nearest", "nearest-exact", "area", *CURVED)


def interpolate(
    x: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:  # fmt: skip
    """x (B, C, ...) with its other axes made `size` long, or scale_factor times as long.

    mode            nearest, nearest-exact (from the middle of each place), area (means), linear,
                    bilinear, trilinear (for one, two and three axes), bicubic
    align_corners   the first and the last place stay where they are; else the edges of places do

    >>> tg.interpolate(Tensor([[[1.0, 2.0]]]), scale_factor=2).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """
    axes = x.ndim - 2
    if mode not in MODES or CURVED.get(mode, axes) != axes or (size is None) == (
        scale_factor is None
    ):  # fmt: skip
        raise ValueError(
            "interpolate: a mode that suits the axes, and either a size or a factor.\n"
            f"  got mode={mode!r} for {axes} axes, size={size}, scale_factor={scale_factor}\n"
            f"  try mode='{['linear', 'bilinear', 'trilinear'][min(max(axes, 1), 3) - 1]}',"
            " scale_factor=2"
        )
    if align_corners is not None and mode not in CURVED:
        raise ValueError(
            "interpolate: corners are aligned where lines are drawn between places.\n"
            f"  got align_corners={align_corners} with mode={mode!r}\n  try mode='bilinear'"
        )
    factors = scale_factor if isinstance(scale_factor, Sequence) else [scale_factor] * axes
    if size is None:
        sizes = [math.floor(n * f) for n, f in zip(x.shape[2:], factors, strict=True)]
    else:
        sizes = list(size) if isinstance(size, Sequence) else [size] * axes
        factors = [None] * axes
    if min([*sizes, *x.shape[2:]], default=1) < 1 or len(sizes) != axes:
        raise ValueError(
            "interpolate: each axis has one place or more, before and after.\n"
            f"  got {x.shape[2:]} and {sizes}\n  try a larger size"
        )
    if mode == "area":
        return adaptive_avg_pool(x, sizes, axes)
    given = x
    for axis, (m, factor) in enumerate(zip(sizes, factors, strict=True), 2):
        n = x.shape[axis]
        # PyTorch looks at the factor then in these two modes alone
        if m == n and (factor in (None, 1) or mode not in ("bicubic", "nearest-exact")):
            continue
        # places of the output, in places of the input
        step = 1 / factor if factor else n / m
        if mode == "nearest":
            places = np.minimum(np.floor(counted(m) * np.float32(step)), n - 1)
            x = index_select(x, axis, constant(places.astype(np.int64)))
        elif mode == "nearest-exact":
            half = np.float32(0.5)
            places = np.minimum(np.floor((counted(m) + half) * np.float32(step)), n - 1)
            x = index_select(x, axis, constant(places.astype(np.int64)))
        else:
            if align_corners:
                at = np.arange(m) * ((n - 1) / (m - 1) if m > 1 else 0.0)
            else:
                at = (np.arange(m) + 0.5) * step - 0.5
            if mode == "bicubic":
                x = _curved(x, axis, at)
                continue
            at = np.maximum(at, 0)
            low = np.minimum(np.floor(at).astype(np.int64), n - 1)
            share = (at - low).astype(x.dtype if x.dtype.kind == "f" else np.float32)
            x = _between(x, axis, low, np.minimum(low + 1, n - 1), share)
    return clone(x) if x is given else x


def counted(m: int) -> np.ndarray:
    """0, ..., m - 1 in float32, in which PyTorch computes places too"""
    return np.arange(m, dtype=np.float32)


def _between(x: Tensor, axis: int, low: Any, high: Any, share: Any) -> Tensor:
    """(1 - share) * x[low] + share * x[high] along an axis"""
    shape = [-1 if i == axis else 1 for i in range(x.ndim)]
    upper, lower = (constant(s.reshape(shape)) for s in (share, 1 - share))
    below, above = (index_select(x, axis, constant(places)) for places in (low, high))
    return add(mul(below, lower), mul(above, upper))


def _curved(x: Tensor, axis: int, at: np.ndarray) -> Tensor:
    """x along an axis at places between its own, by the four around each"""
    start = np.floor(at).astype(np.int64)
    total = None
    for k, weight in enumerate(cubic_weights(at - start), -1):
        taken = index_select(x, axis, constant(np.clip(start + k, 0, x.shape[axis] - 1)))
        shape = [-1 if i == axis else 1 for i in range(x.ndim)]
        kind = x.dtype if x.dtype.kind == "f" else np.float32
        term = mul(taken, constant(weight.reshape(shape).astype(kind)))
        total = term if total is None else add(total, term)
    assert total is not None
    return total


def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """(..., C r^2, H, W) -> (..., C, H r, W r)  (Shi and others 2016)

    >>> tg.pixel_shuffle(tg.arange(4.0).reshape(1, 4, 1, 1), 2).tolist()
    [[[[0.0, 1.0], [2.0, 3.0]]]]
    """
    *batch, channels, h, w = x.shape
    r = upscale_factor
    if channels % (r * r):
        raise ValueError(
            "pixel_shuffle: the channels are a multiple of the factor's square.\n"
            f"  got {channels} for a factor {r}\n  try {r * r} channels"
        )
    x = reshape(x, math.prod(batch), channels // (r * r), r, r, h, w)
    return reshape(permute(x, 0, 1, 4, 2, 5, 3), *batch, channels // (r * r), h * r, w * r)


def pixel_unshuffle(x: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H r, W r) -> (..., C r^2, H, W): the inverse of pixel_shuffle

    >>> tg.pixel_unshuffle(tg.arange(4.0).reshape(1, 1, 2, 2), 2).shape
    (1, 4, 1, 1)
    """
    *batch, channels, h, w = x.shape
    r = downscale_factor
    if h % r or w % r:
        raise ValueError(
            "pixel_unshuffle: height and width are multiples of the factor.\n"
            f"  got {(h, w)} for a factor {r}\n  try a padded x"
        )
    x = reshape(x, math.prod(batch), channels, h // r, r, w // r, r)
    return reshape(permute(x, 0, 1, 3, 5, 2, 4), *batch, channels * r * r, h // r, w // r)

"""Patches of images as columns and back, and images looked at between their places."""

import itertools
import math
from typing import Any

import numpy as np

from tinygrad_lite.kernels.watch import constant
from tinygrad_lite.ops.comparisons import ge, le, logical_and
from tinygrad_lite.ops.elementwise import abs, clip, floor, fmod, round, where
from tinygrad_lite.ops.indexing import gather, index_select
from tinygrad_lite.ops.movement import expand, reshape
from tinygrad_lite.ops.scatter import index_add
from tinygrad_lite.tensor import Tensor


def _both(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _patches(
    height: int, width: int, kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> tuple[np.ndarray, tuple[int, int]]:
    """(kernel places, patches): which place of the padded image each of a patch is, and its size"""
    (kh, kw), (dh, dw), (ph, pw), (sh, sw) = map(_both, (kernel_size, dilation, padding, stride))
    full = height + 2 * ph, width + 2 * pw
    rows = np.arange(0, full[0] - dh * (kh - 1), sh)
    columns = np.arange(0, full[1] - dw * (kw - 1), sw)
    if min(kh, kw, dh, dw, sh, sw) < 1 or min(ph, pw) < 0 or not len(rows) * len(columns):
        raise ValueError(
            "im2col: a patch fits into the padded image, and each step leads on.\n"
            f"  got kernel_size={kernel_size}, dilation={dilation}, padding={padding},"
            f" stride={stride} for {(height, width)}\n  try a smaller kernel"
        )
    down = (dh * np.arange(kh))[:, None] + rows  # (kh, patches down)
    across = (dw * np.arange(kw))[:, None] + columns
    places = down[:, None, :, None] * full[1] + across[None, :, None, :]
    return places.reshape(kh * kw, -1), full


def im2col(
    x: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """x (B, C, H, W) -> (B, C kh kw, patches): each patch as a column; PyTorch's F.unfold

    >>> tg.im2col(tg.arange(4.0).reshape(1, 1, 2, 2), 2).tolist()
    [[[0.0], [1.0], [2.0], [3.0]]]
    """
    *batch, channels, height, width = x.shape
    places, _ = _patches(height, width, kernel_size, dilation, padding, stride)
    (ph, pw), flat = _both(padding), constant(places.reshape(-1))
    padded = x.pad([*[(0, 0)] * (x.ndim - 2), (ph, ph), (pw, pw)])
    taken = index_select(reshape(padded, *batch, channels, math.prod(padded.shape[-2:])), -1, flat)
    return reshape(taken, *batch, channels * places.shape[0], places.shape[1])


def col2im(
    x: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
    stride: Any = 1,
) -> Tensor:  # fmt: skip
    """x (B, C kh kw, patches) -> (B, C, H, W): the sums of what patches have in each place;
    PyTorch's F.fold

    >>> tg.col2im(tg.ones(1, 4, 1), (2, 2), 2).tolist()
    [[[[1.0, 1.0], [1.0, 1.0]]]]
    """
    height, width = _both(output_size)
    places, full = _patches(height, width, kernel_size, dilation, padding, stride)
    *batch, rows, patches = x.shape
    if rows % len(places) or patches != places.shape[1]:
        raise ValueError(
            "col2im: there is a row for each place of a patch, and a column for each patch.\n"
            f"  got {(rows, patches)} for {places.shape}\n  try the settings of im2col"
        )
    channels = rows // len(places)
    image = Tensor(constant(np.zeros((*batch, channels, math.prod(full)), x.dtype)))
    spread = reshape(x, *batch, channels, places.size)
    image = index_add(image, -1, constant(places.reshape(-1)), spread)
    ph, pw = _both(padding)
    return reshape(image, *batch, channels, *full)[..., ph : ph + height, pw : pw + width]


def cubic_weights(t: Any) -> list:
    """Weights of the four places around a point that is t (0 to 1) beyond the second  (Keys 1981,
    with a = -0.75)"""
    a = -0.75

    def near(s: Any) -> Any:
        return ((a + 2) * s - (a + 3)) * s * s + 1

    def far(s: Any) -> Any:
        return ((a * s - 5 * a) * s + 8 * a) * s - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def grid_sample(
    x: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
    align_corners: bool = False,
) -> Tensor:  # fmt: skip
    """x (B, C, H, W) or (B, C, D, H, W) looked at where `grid` (B, ..., 2 or 3) says, as (x, y) or
    (x, y, z), each from -1, the first edge, to 1 -> (B, C, ...)  (Jaderberg and others 2015)

    mode            bilinear, nearest, or of images bicubic
    padding_mode    what is beyond the edges: zeros, the border, its reflection
    align_corners   -1 and 1 are the middles of the first and last place, not their outer edges

    >>> tg.grid_sample(Tensor([[[[1.0, 3.0]]]]), tg.zeros(1, 1, 1, 2)).tolist()
    [[[[2.0]]]]
    """
    axes = x.ndim - 2
    modes, paddings = (
        ("bilinear", "nearest", "bicubic")[: 5 - axes],
        ("zeros", "border", "reflection"),
    )
    if (
        axes not in (2, 3) or grid.ndim != x.ndim or grid.shape[-1] != axes
        or grid.shape[0] != x.shape[0] or mode not in modes or padding_mode not in paddings
        or not all(x.shape[2:])
    ):  # fmt: skip
        raise ValueError(
            "grid_sample: x (B, C, H, W) and grid (B, h, w, 2), or with a depth; modes"
            f" {', '.join(modes)}; padding {', '.join(paddings)}.\n"
            f"  got {x.shape}, {grid.shape}, {mode!r}, {padding_mode!r}\n  try mode='bilinear'"
        )
    sizes, at = x.shape[2:], []
    for k, n in enumerate(sizes):  # the last coordinate is that of the first axis
        place = grid[..., axes - 1 - k]
        middle = (place + 1) * ((n - 1) / 2) if align_corners else ((place + 1) * n - 1) / 2
        at.append(middle if mode == "bicubic" else _inside(middle, n, padding_mode, align_corners))
    if mode == "nearest":
        return _looked_up(x, [round(a) for a in at])
    starts = [floor(a) for a in at]
    if mode == "bilinear":
        shares = [a - s for a, s in zip(at, starts, strict=True)]
        weights, first = [[1 - t, t] for t in shares], 0
    else:
        weights = [cubic_weights(a - s) for a, s in zip(at, starts, strict=True)]
        first = -1
    total = None
    for steps in itertools.product(range(len(weights[0])), repeat=axes):
        corner = [s + (i + first) for s, i in zip(starts, steps, strict=True)]
        if mode == "bicubic":
            corner = [
                round(_inside(c, n, padding_mode, align_corners))
                for c, n in zip(corner, sizes, strict=True)
            ]
        weight = weights[0][steps[0]]
        for w, i in zip(weights[1:], steps[1:], strict=True):
            weight = weight * w[i]
        term = _looked_up(x, corner) * weight.unsqueeze(1)
        total = term if total is None else total + term
    assert total is not None
    return total


def _inside(at: Tensor, n: int, padding_mode: str, align_corners: bool) -> Tensor:
    """Places brought into an axis of n places, unless zeros are beyond it"""
    if padding_mode == "zeros":
        return at
    if padding_mode == "reflection":
        low, span = (0.0, n - 1.0) if align_corners else (-0.5, float(n))
        if span == 0:
            return at * 0
        beyond = abs(at - low)
        rest, turns = fmod(beyond, span), floor(beyond.detach() / span)
        at = where(turns % 2 == 0, rest + low, span - rest + low)
    return clip(at, 0.0, n - 1.0)


def _looked_up(x: Tensor, places: list[Tensor]) -> Tensor:
    """x (B, C, ...) at places (B, ...), one list an axis; zeros beyond the edges"""
    there, flat = None, None
    for place, n in zip(places, x.shape[2:], strict=True):
        whole = place.detach()
        inside = logical_and(ge(whole, 0), le(whole, n - 1))
        number = where(inside, whole, 0).long()
        there = inside if there is None else logical_and(there, inside)
        flat = number if flat is None else flat * n + number
    assert there is not None
    assert flat is not None
    rows = reshape(x, *x.shape[:2], math.prod(x.shape[2:]))
    index = expand(reshape(flat, flat.shape[0], 1, -1), (*x.shape[:2], math.prod(flat.shape[1:])))
    taken = reshape(gather(rows, -1, index), *x.shape[:2], *flat.shape[1:])
    return where(there.unsqueeze(1), taken, 0)

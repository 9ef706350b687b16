"""Pooling over one, two or three axes: the largest, or the mean, of each window.

Windows are given for each axis by where they begin, where they end and how many places they count,
so that paddings, ceil_mode and adaptive sizes are all the same to the kernels:

y[o] = max, or sum / count, of x[start[o] : end[o] : step] over each axis
dx: the gradient goes to the place of the maximum (the first of equals), or to all places alike
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_lite.fused.convolution import Sizes, sizes_of, three
from tinygrad_lite.kernels.arrays import contiguous, float_dtype
from tinygrad_lite.kernels.pooling import (
    max_pool_backward,
    max_pool_kernel,
    mean_pool_backward,
    mean_pool_kernel,
)
from tinygrad_lite.kernels.watch import constant
from tinygrad_lite.ops.scatter import scatter
from tinygrad_lite.tensor import Tensor, as_tensor, op

Windows = Sequence[list[tuple[int, int, int]]]


def _table(windows: Windows) -> Any:
    most = max(map(len, windows))
    return constant(np.array(
        [[*axis, *[(0, 0, 1)] * (most - len(axis))] for axis in windows], np.int64
    ).reshape(3, most, 3))  # fmt: skip


@op
def _max_pool(x, windows, steps):
    """x (B, C, D, H, W) -> (B, C, D', H', W') and the places; see `max_pool2d`"""
    y, places = _max_pooled(x, windows, steps)

    def vjp(g):
        dx = np.empty(x.shape, g.dtype, like=g)
        rows = x.shape[0] * x.shape[1]
        if dx.size:
            max_pool_backward(
                dx.reshape(rows, -1), contiguous(g).reshape(rows, -1), places.reshape(rows, -1)
            )
        return (dx,)

    return y, vjp


@op
def _max_places(x, windows, steps):
    return _max_pooled(x, windows, steps)[1], None


def _max_pooled(x, windows, steps):
    x = contiguous(x)
    shape = (*x.shape[:2], *map(len, windows))
    y, places = np.empty(shape, x.dtype, like=x), np.empty(shape, np.int64, like=x)
    if y.size:
        rows = x.shape[0] * x.shape[1]
        max_pool_kernel(
            y.reshape(rows, *shape[2:]), places.reshape(rows, *shape[2:]),
            x.reshape(rows, *x.shape[2:]), _table(windows), constant(np.array(steps, np.int64)),
        )  # fmt: skip
    return y, places


def _mean_pooled(x, windows, divisor):
    x = contiguous(x, float_dtype(x))
    y = np.empty((*x.shape[:2], *map(len, windows)), x.dtype, like=x)
    if y.size:
        rows = x.shape[0] * x.shape[1]
        mean_pool_kernel(
            y.reshape(rows, *y.shape[2:]), x.reshape(rows, *x.shape[2:]), _table(windows), divisor
        )
    return y


def _mean_shared(g, windows, divisor, shape):
    dx = np.empty(shape, g.dtype, like=g)
    if dx.size:
        rows, g = shape[0] * shape[1], contiguous(g)
        mean_pool_backward(
            dx.reshape(rows, *shape[2:]), g.reshape(rows, *g.shape[2:]), _table(windows), divisor
        )
    return dx


@op
def _mean_pool(x, windows, divisor):
    shape = x.shape
    return _mean_pooled(x, windows, divisor), lambda g: (_mean_shared(g, windows, divisor, shape),)


@op
def _mean_spread(g, windows, divisor, shape):
    """The gradient to x, of a shape, of _mean_pool"""
    return _mean_shared(g, windows, divisor, shape), lambda h: (_mean_pooled(h, windows, divisor),)


# --- windows ----------------------------------------------------------------------------------


def _windows(
    name: str, size: Sequence[int], kernel: Sequence[int], stride: Sequence[int],
    padding: Sequence[int], dilation: Sequence[int], ceil_mode: bool, counts_padding: bool,
) -> list[list[tuple[int, int, int]]]:  # fmt: skip
    """(start, end, count) of each window of each axis"""
    found = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        reach = d * (k - 1) + 1
        if min(k, s, d) < 1 or not 0 <= p <= k // 2 or reach > n + 2 * p:
            raise ValueError(
                f"{name}: a window fits into the padded x, padding is at most half of it, and each"
                " step leads on.\n"
                f"  got kernel {k}, stride {s}, padding {p}, dilation {d} for an axis of {n}\n"
                f"  try kernel {min(max(k, 1), n)}, stride 1, padding 0"
            )
        room = n + 2 * p - reach
        outputs = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (outputs - 1) * s >= n + p:  # the last window begins inside of x
            outputs -= 1
        axis = []
        for start in (o * s - p for o in range(outputs)):
            end = min(start + reach, n + p)
            first = start + -(-max(0, -start) // d) * d
            if first >= min(end, n):
                raise ValueError(
                    f"{name}: each window meets an element of x.\n"
                    f"  got kernel {k}, padding {p}, dilation {d} for an axis of {n}\n"
                    "  try padding 0"
                )
            within = max(0, min(end, n) - max(start, 0))
            axis.append((first, min(end, n), end - start if counts_padding else max(1, within)))
        found.append(axis)
    return found


def _adaptive(size: Sequence[int], outputs: Sequence[int]) -> list[list[tuple[int, int, int]]]:
    """Windows of about the same length, from floor(o n / m) to ceil((o + 1) n / m)"""
    found = []
    for n, m in zip(size, outputs, strict=True):
        if n == 0 < m:
            raise ValueError(
                "adaptive pooling: each window meets an element of x.\n"
                f"  got an axis of 0 for {m} windows\n  try output_size 0 for it"
            )
        edges = [(o * n // m, -(-(o + 1) * n // m)) for o in range(m)]
        found.append([(a, b, b - a) for a, b in edges])
    return found


def _prepared(name: str, x: Any, axes: int) -> tuple[Tensor, bool]:
    x = as_tensor(x)
    if x.ndim not in (axes + 1, axes + 2):
        raise ValueError(
            f"{name}: x is (B, C, ...) or (C, ...), with {axes} axes that are pooled.\n"
            f"  got shape {x.shape}\n  try x.unsqueeze(0)"
        )
    alone = x.ndim == axes + 1
    x = x.unsqueeze(0) if alone else x
    return x.reshape(*x.shape[:2], *(1,) * (3 - axes), *x.shape[2:]), alone


def _unprepared(y: Tensor, axes: int, alone: bool) -> Tensor:
    y = y.reshape(*y.shape[:2], *y.shape[5 - axes :])
    return y.squeeze(0) if alone else y


def _pool(
    name: str, axes: int, x: Any, kernel: Sizes, stride: Sizes | None, padding: Sizes,
    dilation: Sizes, ceil_mode: bool, counts_padding: bool,
) -> tuple[Tensor, bool, list, tuple]:  # fmt: skip
    x, alone = _prepared(name, x, axes)
    sizes = sizes_of("kernel_size", kernel, axes)
    steps = sizes if stride is None else sizes_of("stride", stride, axes)
    edges, spaces = sizes_of("padding", padding, axes), sizes_of("dilation", dilation, axes)
    windows = _windows(
        name, x.shape[2:], three(sizes, 1), three(steps, 1), three(edges, 0), three(spaces, 1),
        ceil_mode, counts_padding,
    )  # fmt: skip
    return x, alone, windows, three(spaces, 1)


def _max(name: str, axes: int, x: Any, kernel: Sizes, stride: Sizes | None, padding: Sizes,
         dilation: Sizes, ceil_mode: bool, return_indices: bool) -> Any:  # fmt: skip
    x, alone, windows, steps = _pool(name, axes, x, kernel, stride, padding, dilation, ceil_mode,
                                     False)  # fmt: skip
    y = _unprepared(_max_pool(x, windows, steps), axes, alone)
    if not return_indices:
        return y
    return y, _unprepared(_max_places(x, windows, steps), axes, alone)


def max_pool1d(x: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
               dilation: Sizes = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Any:  # fmt: skip
    """The largest of each window of x (B, C, T); with return_indices, also where it is

    >>> tg.max_pool1d([[1, 5, 3, 2]], 2).tolist()
    [[5, 3]]
    """
    return _max("max_pool1d", 1, x, kernel_size, stride, padding, dilation, ceil_mode,
                return_indices)  # fmt: skip


def max_pool2d(x: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
               dilation: Sizes = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Any:  # fmt: skip
    """The largest of each window of x (B, C, H, W); with return_indices, also where it is: the
    place in an image seen as one row

    >>> tg.max_pool2d([[[1, 2], [3, 4]]], 2).tolist()
    [[[4]]]
    """
    return _max("max_pool2d", 2, x, kernel_size, stride, padding, dilation, ceil_mode,
                return_indices)  # fmt: skip


def max_pool3d(x: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
               dilation: Sizes = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Any:  # fmt: skip
    """The largest of each window of x (B, C, D, H, W); with return_indices, also where it is

    >>> tg.max_pool3d(tg.ones(1, 2, 2, 2), 2).tolist()
    [[[[1.0]]]]
    """
    return _max("max_pool3d", 3, x, kernel_size, stride, padding, dilation, ceil_mode,
                return_indices)  # fmt: skip


def _mean(name: str, axes: int, x: Any, kernel: Sizes, stride: Sizes | None, padding: Sizes,
          ceil_mode: bool, count_include_pad: bool,
          divisor_override: int | None = None) -> Tensor:  # fmt: skip
    x, alone, windows, _ = _pool(name, axes, x, kernel, stride, padding, 1, ceil_mode,
                                 count_include_pad)  # fmt: skip
    if divisor_override == 0:
        raise ValueError(f"{name}: nothing is divided by 0.\n  got divisor_override=0\n  try None")
    return _unprepared(_mean_pool(x, windows, float(divisor_override or 0)), axes, alone)


def avg_pool1d(x: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
               ceil_mode: bool = False, count_include_pad: bool = True) -> Tensor:  # fmt: skip
    """The mean of each window of x (B, C, T); zeros of the padding count unless told otherwise

    >>> tg.avg_pool1d([[1, 2, 3, 4]], 2).tolist()
    [[1.5, 3.5]]
    """
    return _mean("avg_pool1d", 1, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(x: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
               ceil_mode: bool = False, count_include_pad: bool = True,
               divisor_override: int | None = None) -> Tensor:  # fmt: skip
    """The mean of each window of x (B, C, H, W), or its sum divided by divisor_override

    >>> tg.avg_pool2d([[[1, 2], [3, 4]]], 2).tolist()
    [[[2.5]]]
    """
    return _mean("avg_pool2d", 2, x, kernel_size, stride, padding, ceil_mode, count_include_pad,
                 divisor_override)  # fmt: skip


def avg_pool3d(x: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
               ceil_mode: bool = False, count_include_pad: bool = True,
               divisor_override: int | None = None) -> Tensor:  # fmt: skip
    """The mean of each window of x (B, C, D, H, W), or its sum divided by divisor_override

    >>> tg.avg_pool3d(tg.ones(1, 2, 2, 2), 2).tolist()
    [[[[1.0]]]]
    """
    return _mean("avg_pool3d", 3, x, kernel_size, stride, padding, ceil_mode, count_include_pad,
                 divisor_override)  # fmt: skip


def adaptive_avg_pool(x: Any, output_size: Any, axes: int) -> Tensor:
    """The means of output_size windows of about the same length over the last `axes` axes of x (B,
    C, ...); None keeps an axis"""
    x, alone = _prepared("adaptive_avg_pool", x, axes)
    windows = _adaptive(x.shape[2:], _outputs(x, output_size, axes))
    return _unprepared(_mean_pool(x, windows, 0.0), axes, alone)


def adaptive_max_pool(x: Any, output_size: Any, axes: int, return_indices: bool = False) -> Any:
    """The largest of each of such windows; with return_indices, also where it is"""
    x, alone = _prepared("adaptive_max_pool", x, axes)
    windows = _adaptive(x.shape[2:], _outputs(x, output_size, axes))
    y = _unprepared(_max_pool(x, windows, (1, 1, 1)), axes, alone)
    if not return_indices:
        return y
    return y, _unprepared(_max_places(x, windows, (1, 1, 1)), axes, alone)


def _outputs(x: Tensor, given: Any, axes: int) -> tuple[int, ...]:
    sizes = tuple(given) if isinstance(given, tuple | list) else (given,) * axes
    sizes = tuple(n if m is None else m for n, m in zip(x.shape[5 - axes :], sizes, strict=True))
    return three(sizes_of("output_size", sizes, axes), 1)


def adaptive_avg_pool1d(x: Any, output_size: Any) -> Tensor:
    """See adaptive_avg_pool

    >>> tg.adaptive_avg_pool1d([[1, 2, 3, 4, 5]], 2).tolist()
    [[2.0, 4.0]]
    """
    return adaptive_avg_pool(x, output_size, 1)


def adaptive_avg_pool2d(x: Any, output_size: Any) -> Tensor:
    """See adaptive_avg_pool

    >>> tg.adaptive_avg_pool2d([[[1, 2], [3, 4]]], 1).tolist()
    [[[2.5]]]
    """
    return adaptive_avg_pool(x, output_size, 2)


def adaptive_avg_pool3d(x: Any, output_size: Any) -> Tensor:
    """See adaptive_avg_pool

    >>> tg.adaptive_avg_pool3d(tg.ones(1, 2, 2, 2), 1).tolist()
    [[[[1.0]]]]
    """
    return adaptive_avg_pool(x, output_size, 3)


def adaptive_max_pool1d(x: Any, output_size: Any, return_indices: bool = False) -> Any:
    """See adaptive_max_pool

    >>> tg.adaptive_max_pool1d([[1, 2, 3, 4, 5]], 2).tolist()
    [[3, 5]]
    """
    return adaptive_max_pool(x, output_size, 1, return_indices)


def adaptive_max_pool2d(x: Any, output_size: Any, return_indices: bool = False) -> Any:
    """See adaptive_max_pool

    >>> tg.adaptive_max_pool2d([[[1, 2], [3, 4]]], 1).tolist()
    [[[4]]]
    """
    return adaptive_max_pool(x, output_size, 2, return_indices)


def adaptive_max_pool3d(x: Any, output_size: Any, return_indices: bool = False) -> Any:
    """See adaptive_max_pool

    >>> tg.adaptive_max_pool3d(tg.ones(1, 2, 2, 2), 1).tolist()
    [[[[1.0]]]]
    """
    return adaptive_max_pool(x, output_size, 3, return_indices)


def _unpool(axes: int, x: Tensor, indices: Tensor, kernel: Sizes, stride: Sizes | None,
            padding: Sizes, output_size: Sequence[int] | None) -> Tensor:  # fmt: skip
    kernels = sizes_of("kernel_size", kernel, axes)
    steps = kernels if stride is None else sizes_of("stride", stride, axes)
    edges, before = sizes_of("padding", padding, axes), x.shape[: x.ndim - axes]
    given = x.shape[x.ndim - axes :]
    size = [(n - 1) * s - 2 * p + k for n, s, p, k in
            zip(given, steps, edges, kernels, strict=True)]  # fmt: skip
    if output_size is not None:
        wanted = list(output_size)[-axes:]
        if any(not n - s < m < n + s for n, m, s in zip(size, wanted, steps, strict=True)):
            raise ValueError(
                f"max_unpool{axes}d: the output is what was pooled, larger or smaller by less than"
                f" a stride.\n  got output_size={wanted}\n  try {size}"
            )
        size = wanted
    empty = Tensor(constant(np.zeros((*before, math.prod(size)), x.dtype)))
    rows = (t.reshape(*before, math.prod(given)) for t in (indices, x))
    return scatter(empty, -1, *rows).reshape(*before, *size)


def max_unpool1d(
    x: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Numbers put back to where max_pool1d found them, zeros elsewhere

    >>> tg.max_unpool1d(Tensor([[5.0]]), Tensor([[1]]), 2).tolist()
    [[0.0, 5.0]]
    """
    return _unpool(1, x, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    x: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Numbers put back to where max_pool2d found them, zeros elsewhere

    >>> tg.max_unpool2d(Tensor([[[5.0]]]), Tensor([[[3]]]), 2).tolist()
    [[[0.0, 0.0], [0.0, 5.0]]]
    """
    return _unpool(2, x, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    x: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Numbers put back to where max_pool3d found them, zeros elsewhere

    >>> tg.max_unpool3d(Tensor([[[[5.0]]]]), Tensor([[[[7]]]]), 2).shape
    (1, 2, 2, 2)
    """
    return _unpool(3, x, indices, kernel_size, stride, padding, output_size)

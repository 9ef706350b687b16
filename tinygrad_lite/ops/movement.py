"""Ops that move elements: reshape, permute, index, join, cut, pad, repeat.

A view of the data where NumPy can give one. Shapes and axes may be given one by one or as a tuple:
`x.reshape(2, 3)` and `x.reshape((2, 3))`.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_lite.broadcasting import unbroadcast, unified
from tinygrad_lite.kernels.arrays import contiguous
from tinygrad_lite.kernels.watch import constant, procedure
from tinygrad_lite.ops.axes import takes_axis
from tinygrad_lite.ops.elementwise import where
from tinygrad_lite.tensor import Tensor, op


def _numbers(given: tuple) -> tuple[int, ...]:
    """(2, 3) of f(2, 3) and of f((2, 3))"""
    return tuple(given[0]) if len(given) == 1 and isinstance(given[0], tuple | list) else given


@op
def reshape(x, *shape):
    """Another shape with the same elements in the same order; one size may be -1."""
    y = contiguous(x).reshape(_numbers(shape))
    return y, lambda g: (contiguous(g).reshape(x.shape),)


@op
def permute(x, *axes):
    """Axes in another order, as numpy.transpose: x.permute(0, 2, 1)"""
    order = np.lib.array_utils.normalize_axis_tuple(_numbers(axes), np.ndim(x), "axes")
    back = sorted(range(len(order)), key=order.__getitem__)
    return np.transpose(x, order), lambda g: (np.transpose(g, back),)


@op
def transpose(x, axis_0=-2, axis_1=-1):
    """Two axes exchanged"""
    return np.swapaxes(x, axis_0, axis_1), lambda g: (np.swapaxes(g, axis_0, axis_1),)


@op
def expand(x, *shape):
    """Axes of size 1 (and new axes in front) repeated to `shape`; -1 keeps a size."""
    shape = _numbers(shape)
    extra = len(shape) - np.ndim(x)
    shape = tuple(np.shape(x)[i - extra] if n == -1 else n for i, n in enumerate(shape))
    return np.broadcast_to(x, shape), lambda g: (unbroadcast(g, np.shape(x)),)


@takes_axis
@op
def flip(x, axis):
    """Elements in reverse order along one axis or several"""
    return np.flip(x, axis), lambda g: (np.flip(g, axis),)


@op
def getitem(x, index):
    """x[index] as in NumPy: basic and advanced indexing, also with integer or boolean Tensors"""
    parts = index if isinstance(index, tuple) else (index,)
    parts = tuple(i.data if isinstance(i, Tensor) else i for i in parts)
    basic = all(isinstance(i, int | np.integer | slice | None | type(...)) for i in parts)

    def vjp(g):
        dx = np.zeros_like(x)
        if basic:
            dx[parts] = g
        else:  # the same element may have been taken more than once
            np.add.at(dx, parts, g)
        return (dx,)

    return x[parts], vjp


@op
def _cat(*arrays, axis):
    joined = unified(list(arrays))
    sizes = [np.shape(a)[axis] for a in arrays]
    ends = list(itertools.accumulate(sizes))[:-1]
    return np.concatenate(joined, axis), lambda g: np.split(g, ends, axis)


@op
def _pad(x, widths, value):
    inside = tuple(slice(low, low + n) for (low, _), n in zip(widths, x.shape, strict=True))
    return np.pad(x, widths, constant_values=value), lambda g: (g[inside],)


@op
def tril(x, diagonal=0):
    """The lower triangle of the last two axes; zeros above the diagonal"""
    return np.tril(x, diagonal), lambda g: (np.tril(g, diagonal),)


@op
def triu(x, diagonal=0):
    """The upper triangle of the last two axes; zeros below the diagonal"""
    return np.triu(x, diagonal), lambda g: (np.triu(g, diagonal),)


@op
def one_hot(x, num_classes):
    """(..., num_classes) float32: 1 at the position that x, an integer array, names"""
    _check_classes(x, num_classes)
    classes = np.arange(num_classes, like=x)
    return np.equal(x[..., None], classes).astype(np.float32), None


@procedure
def _check_classes(x, num_classes):
    if np.size(x) and (np.min(x) < 0 or np.max(x) >= num_classes):
        raise IndexError(
            "one_hot: every class must lie between 0 and num_classes - 1.\n"
            f"  got {np.min(x)} to {np.max(x)} with num_classes={num_classes}\n"
            f"  try num_classes={np.max(x) + 1}"
        )


@takes_axis
def squeeze(x: Any, axis: int | tuple | None = None) -> Tensor:
    """Without axes of size 1: all of them, or those named; a named axis of another size stays."""
    shape = np.shape(x.data if isinstance(x, Tensor) else x)
    given = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = np.lib.array_utils.normalize_axis_tuple(tuple(given), len(shape), "axis")
    return reshape(x, *[n for i, n in enumerate(shape) if not (i in axes and n == 1)])


@takes_axis
def unsqueeze(x: Any, axis: int) -> Tensor:
    """With a new axis of size 1 at `axis`"""
    shape = list(np.shape(x.data if isinstance(x, Tensor) else x))
    (position,) = np.lib.array_utils.normalize_axis_tuple(axis, len(shape) + 1, "axis")
    return reshape(x, *shape[:position], 1, *shape[position:])


def flatten(x: Tensor, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """The axes from start_axis to end_axis joined into one"""
    if x.ndim == 0:
        return reshape(x, 1)
    start, end = start_axis % x.ndim, end_axis % x.ndim
    joined = int(np.prod(x.shape[start : end + 1], dtype=int))
    return reshape(x, *x.shape[:start], joined, *x.shape[end + 1 :])


@takes_axis
def cat(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Joined along an axis that exists"""
    if len(tensors) == 0:
        raise ValueError("cat: at least one tensor is needed.\n  got []\n  try cat([x, y])")
    shapes = [np.shape(t) for t in tensors]
    if any(not -len(shape) <= axis < len(shape) for shape in shapes):
        raise ValueError(
            "cat: each tensor must have the axis along which they are joined.\n"
            f"  got axis={axis} for shapes {', '.join(map(str, shapes))}\n  try stack(tensors)"
        )
    return _cat(*tensors, axis=axis)


@takes_axis
def stack(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Joined along a new axis"""
    return cat([unsqueeze(t, axis) for t in tensors], axis)


@takes_axis
def split(x: Tensor, sizes: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Cut along an axis into parts of one size (the last may be smaller) or of the sizes given"""
    n = x.shape[axis]
    if isinstance(sizes, int):
        if sizes < 1:
            raise ValueError(f"split: a part has at least one element.\n  got {sizes}\n  try 1")
        parts = [min(sizes, n - start) for start in range(0, n, sizes)]
    else:
        parts = list(sizes)
        if sum(parts) != n:
            raise ValueError(
                "split: the sizes must add up to the length of the axis.\n"
                f"  got {parts}, together {sum(parts)}, for {n}\n  try split(size, axis)"
            )
    ends = np.cumsum([0, *parts])
    before = (slice(None),) * (axis % x.ndim)
    return [getitem(x, (*before, slice(int(a), int(b)))) for a, b in itertools.pairwise(ends)]


@takes_axis
def chunk(x: Tensor, chunks: int, axis: int = 0) -> list[Tensor]:
    """Cut along an axis into `chunks` parts of one size (the last may be smaller)"""
    if chunks < 1:
        raise ValueError(f"chunk: at least one chunk is needed.\n  got {chunks}\n  try 1")
    return split(x, max(1, -(-x.shape[axis] // chunks)), axis)


def repeat(x: Tensor, *repeats: Any) -> Tensor:
    """The whole tensor repeated along each axis, as numpy.tile: x.repeat(2, 3)"""
    times = _numbers(repeats)
    shape = (1,) * (len(times) - x.ndim) + x.shape
    split_shape = [n for size in shape for n in (1, size)]
    spread = [n for count, size in zip(times, shape, strict=True) for n in (count, size)]
    joined = [count * size for count, size in zip(times, shape, strict=True)]
    return reshape(expand(reshape(x, *split_shape), *spread), *joined)


def pad(x: Tensor, padding: Sequence, value: float = 0.0) -> Tensor:
    """Surrounded with `value`.

    padding   (before, after) pairs, one for each axis; or, as in PyTorch, flat numbers
              (before, after, before, after, ...) from the last axis backwards
    """
    flat = all(isinstance(n, int) for n in padding)
    pairs = [tuple(p) for p in padding] if not flat else []
    if flat:
        pairs = [(padding[i], padding[i + 1]) for i in range(0, len(padding) - 1, 2)][::-1]
        pairs = [(0, 0)] * (x.ndim - len(pairs)) + pairs
    if (
        len(pairs) != x.ndim
        or any(n < 0 for pair in pairs for n in pair)
        or len(padding) % 2 * flat
    ):
        raise ValueError(
            "pad: a width from 0 up is needed before and after each padded axis.\n"
            f"  got {padding} for shape {x.shape}\n  try {[(1, 1)] * x.ndim}"
        )
    return _pad(x, pairs, value)


@takes_axis
def gather(x: Tensor, axis: int, index: Any) -> Tensor:
    """out[i, j, k] = x[i, index[i, j, k], k] for axis 1, and so on; index is an integer array with
    as many axes as x"""
    index = index if isinstance(index, Tensor) else Tensor(index)
    if index.size == 0:
        return reshape(getitem(reshape(x, -1), slice(0)), *index.shape)
    if not -x.ndim <= axis < x.ndim or index.ndim != x.ndim or index.dtype.kind not in "iu":
        raise ValueError(
            "gather: x has the axis, and the index, of integers, has as many axes as x.\n"
            f"  got axis={axis} and an index {index.shape} of {index.dtype} for shape {x.shape}\n"
            "  try x[index]"
        )
    axis = axis % x.ndim
    _check_places(index.data, x.shape[axis])
    grid: list[Any] = [constant(a) for a in np.ogrid[tuple(slice(n) for n in index.shape)]]
    grid[axis] = index
    return getitem(x, tuple(grid))


@procedure
def _check_places(index, n):
    if np.min(index) < 0 or np.max(index) >= n:
        raise IndexError(
            f"gather: every index must lie between 0 and {n - 1}.\n"
            f"  got {np.min(index)} to {np.max(index)}\n  try numpy.mod(index, {n})"
        )


def diagonal_mask(t_query: int, t_key: int) -> np.ndarray:
    """(t_query, t_key) bool: which keys a query must not see; the last query sees every key."""
    return np.triu(np.ones((t_query, t_key), bool), 1 + t_key - t_query)


def causal_mask(scores: Tensor) -> Tensor:
    """Scores (..., t_query, t_key) with -inf where the key lies in the query's future"""
    return where(constant(diagonal_mask(*scores.shape[-2:])), -np.inf, scores)

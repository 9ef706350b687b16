"""Ops that move elements: reshape, permute, join, cut, turn, repeat.

A view of the data where NumPy can give one. Shapes and axes may be given one by one or as a tuple:
`x.reshape(2, 3)` and `x.reshape((2, 3))`.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_lite.broadcasting import unbroadcast
from tinygrad_lite.kernels.arrays import contiguous
from tinygrad_lite.kernels.watch import constant
from tinygrad_lite.ops.axes import place_of, takes_axis
from tinygrad_lite.ops.elementwise import where
from tinygrad_lite.ops.indexing import _placed, getitem
from tinygrad_lite.tensor import Tensor, op


def _numbers(given: tuple) -> tuple[int, ...]:
    """(2, 3) of f(2, 3) and of f((2, 3))"""
    return tuple(given[0]) if len(given) == 1 and isinstance(given[0], tuple | list) else given


@op
def reshape(x, *shape):
    """Another shape with the same elements in the same order; one size may be -1.

    >>> Tensor([1, 2, 3, 4]).reshape(2, 2).tolist()
    [[1, 2], [3, 4]]
    """
    y = contiguous(x).reshape(_numbers(shape))
    return y, lambda g: (contiguous(g).reshape(x.shape),)


@op
def permute(x, *axes):
    """Axes in another order, as numpy.transpose: x.permute(0, 2, 1)

    >>> tg.ones(2, 3, 4).permute(2, 0, 1).shape
    (4, 2, 3)
    """
    order = np.lib.array_utils.normalize_axis_tuple(_numbers(axes), np.ndim(x), "axes")
    back = sorted(range(len(order)), key=order.__getitem__)
    return np.transpose(x, order), lambda g: (np.transpose(g, back),)


@op
def transpose(x, axis_0=-2, axis_1=-1):
    """Two axes exchanged

    >>> Tensor([[1, 2], [3, 4]]).transpose().tolist()
    [[1, 3], [2, 4]]
    """
    return np.swapaxes(x, axis_0, axis_1), lambda g: (np.swapaxes(g, axis_0, axis_1),)


@op
def expand(x, *shape):
    """Axes of size 1 (and new axes in front) repeated to `shape`; -1 keeps a size.

    >>> Tensor([1, 2]).expand(2, 2).tolist()
    [[1, 2], [1, 2]]
    """
    shape = _numbers(shape)
    extra = len(shape) - np.ndim(x)
    if -1 in shape[: max(extra, 0)]:
        raise ValueError(
            "expand: -1 keeps the size of an axis that x has; new axes come first.\n"
            f"  got {shape} for shape {np.shape(x)}\n  try the sizes of the new axes"
        )
    shape = tuple(np.shape(x)[i - extra] if n == -1 else n for i, n in enumerate(shape))
    return np.broadcast_to(x, shape), lambda g: (unbroadcast(g, np.shape(x)),)


@takes_axis
@op
def flip(x, axis):
    """Elements in reverse order along one axis or several

    >>> Tensor([1, 2, 3]).flip(0).tolist()
    [3, 2, 1]
    """
    return np.flip(x, axis), lambda g: (np.flip(g, axis),)


def _check_matrices(name, x):
    if np.ndim(x) < 2:
        raise ValueError(
            f"{name}: x has two axes or more.\n  got shape {np.shape(x)}\n  try x.diag_embed()"
        )


@op
def tril(x, diagonal=0):
    """The lower triangle of the last two axes; zeros above the diagonal

    >>> tg.tril(tg.ones(2, 2)).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    _check_matrices("tril", x)
    return np.tril(x, diagonal), lambda g: (np.tril(g, diagonal),)


@op
def triu(x, diagonal=0):
    """The upper triangle of the last two axes; zeros below the diagonal

    >>> tg.triu(tg.ones(2, 2)).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    _check_matrices("triu", x)
    return np.triu(x, diagonal), lambda g: (np.triu(g, diagonal),)


@takes_axis
def squeeze(x: Any, axis: int | tuple | None = None) -> Tensor:
    """Without axes of size 1: all of them, or those named; a named axis of another size stays.

    >>> tg.ones(1, 3, 1).squeeze().shape
    (3,)
    """
    shape = np.shape(x.data if isinstance(x, Tensor) else x)
    given = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = np.lib.array_utils.normalize_axis_tuple(tuple(given), len(shape), "axis")
    return reshape(x, *[n for i, n in enumerate(shape) if not (i in axes and n == 1)])


@takes_axis
def unsqueeze(x: Any, axis: int) -> Tensor:
    """With a new axis of size 1 at `axis`

    >>> tg.ones(3).unsqueeze(0).shape
    (1, 3)
    """
    shape = list(np.shape(x.data if isinstance(x, Tensor) else x))
    (position,) = np.lib.array_utils.normalize_axis_tuple(axis, len(shape) + 1, "axis")
    return reshape(x, *shape[:position], 1, *shape[position:])


def flatten(x: Tensor, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """The axes from start_axis to end_axis joined into one

    >>> tg.ones(2, 3, 4).flatten(1).shape
    (2, 12)
    """
    if x.ndim == 0:
        return reshape(x, 1)
    start, end = place_of(start_axis, x.ndim), place_of(end_axis, x.ndim)
    if start > end:
        raise ValueError(
            "flatten: the axes that are joined are in their order.\n"
            f"  got {start_axis} to {end_axis} of shape {x.shape}\n  try flatten({end}, {start})"
        )
    joined = int(np.prod(x.shape[start : end + 1], dtype=int))
    return reshape(x, *x.shape[:start], joined, *x.shape[end + 1 :])


def repeat(x: Tensor, *repeats: Any) -> Tensor:
    """The whole tensor repeated along each axis, as numpy.tile: x.repeat(2, 3)

    >>> Tensor([1, 2]).repeat(2).tolist()
    [1, 2, 1, 2]
    """
    times = _numbers(repeats)
    shape = (1,) * (len(times) - x.ndim) + x.shape
    split_shape = [n for size in shape for n in (1, size)]
    spread = [n for count, size in zip(times, shape, strict=True) for n in (count, size)]
    joined = [count * size for count, size in zip(times, shape, strict=True)]
    if math.prod(times) == 1:  # what is repeated is a copy, also once
        return clone(reshape(x, *joined))
    return reshape(expand(reshape(x, *split_shape), *spread), *joined)


@op
def clone(x):
    """A copy, in memory of its own

    >>> Tensor([1, 2]).clone().tolist()
    [1, 2]
    """
    return x.copy(), lambda g: (g,)


@takes_axis
@op
def roll(x, shifts, axis=None):
    """Elements moved on by `shifts` places along an axis, or several, those at the end to the
    beginning; without axis, of x seen as one row

    >>> tg.roll(Tensor([1, 2, 3]), 1).tolist()
    [3, 1, 2]
    """
    back = tuple(-s for s in shifts) if isinstance(shifts, tuple | list) else -shifts
    return np.roll(x, shifts, axis), lambda g: (np.roll(g, back, axis),)


view = reshape  # never a copy where the memory allows it, and where it does not, one


def view_as(x: Any, other: Tensor) -> Tensor:
    """x in the shape of another

    >>> Tensor([1, 2, 3, 4]).view_as(tg.ones(2, 2)).tolist()
    [[1, 2], [3, 4]]
    """
    return reshape(x, other.shape)


def expand_as(x: Any, other: Tensor) -> Tensor:
    """x expanded to the shape of another

    >>> Tensor([1, 2]).expand_as(tg.ones(2, 2)).tolist()
    [[1, 2], [1, 2]]
    """
    return expand(x, other.shape)


def ravel(x: Any) -> Tensor:
    """All elements in one row

    >>> Tensor([[1, 2], [3, 4]]).ravel().tolist()
    [1, 2, 3, 4]
    """
    return reshape(x, -1)


@takes_axis
def unflatten(x: Tensor, axis: int, sizes: Sequence[int]) -> Tensor:
    """With an axis made several of these sizes, of which one may be -1

    >>> tg.ones(6).unflatten(0, (2, 3)).shape
    (2, 3)
    """
    (axis,) = np.lib.array_utils.normalize_axis_tuple(axis, x.ndim, "axis")
    sizes, n = tuple(sizes), x.shape[axis]
    known = int(np.prod([s for s in sizes if s != -1], dtype=int))
    if sizes.count(-1) == 1 and known:
        sizes = tuple(n // known if s == -1 else s for s in sizes)
    if int(np.prod(sizes, dtype=int)) != n or min(sizes, default=0) < 0:
        raise ValueError(
            "unflatten: the sizes multiply to the length of the axis.\n"
            f"  got {sizes} for an axis of {n}\n  try {(1, n)}"
        )
    return reshape(x, *x.shape[:axis], *sizes, *x.shape[axis + 1 :])


def movedim(x: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Axes moved to other places, the others in their order

    >>> tg.movedim(tg.ones(2, 3, 4), 0, 2).shape
    (3, 4, 2)
    """
    order = np.moveaxis(np.empty([1] * x.ndim), source, destination)  # which checks them
    given = source if isinstance(source, tuple | list) else (source,)
    to = destination if isinstance(destination, tuple | list) else (destination,)
    places = {place_of(t, x.ndim): place_of(g, x.ndim) for t, g in zip(to, given, strict=True)}
    rest = iter(i for i in range(order.ndim) if i not in places.values())
    return permute(x, *[places[i] if i in places else next(rest) for i in range(x.ndim)])


def swapaxes(x: Tensor, axis_0: int, axis_1: int) -> Tensor:
    """Two axes exchanged

    >>> tg.ones(2, 3, 4).swapaxes(0, 2).shape
    (4, 3, 2)
    """
    return transpose(x, axis_0, axis_1)


def tile(x: Tensor, *times: Any) -> Tensor:
    """The whole tensor repeated along each axis; fewer numbers are for the last axes

    >>> tg.tile(Tensor([1, 2]), 2).tolist()
    [1, 2, 1, 2]
    """
    given = _numbers(times)
    return repeat(x, *[1] * (x.ndim - len(given)), *given)


@takes_axis
def repeat_interleave(x: Tensor, repeats: Any, axis: int | None = None) -> Tensor:
    """Each element along an axis `repeats` times, one number or one for each of them; without axis,
    of x seen as one row

    >>> Tensor([1, 2]).repeat_interleave(2).tolist()
    [1, 1, 2, 2]
    """
    if axis is None:
        x, axis = reshape(x, -1), 0
    (axis,) = np.lib.array_utils.normalize_axis_tuple(axis, x.ndim, "axis")
    times = repeats.numpy() if isinstance(repeats, Tensor) else repeats
    places = np.repeat(np.arange(x.shape[axis]), times)
    return getitem(x, (*[slice(None)] * axis, constant(places)))


@takes_axis
def unfold(x: Tensor, axis: int, size: int, step: int) -> Tensor:
    """Windows of `size` elements along an axis, each `step` after the one before; what is in a
    window becomes the last axis

    >>> Tensor([1, 2, 3, 4]).unfold(0, 2, 1).tolist()
    [[1, 2], [2, 3], [3, 4]]
    """
    if x.ndim == 0:
        return unfold(reshape(x, 1), 0, size, step)[0]
    (axis,) = np.lib.array_utils.normalize_axis_tuple(axis, x.ndim, "axis")
    n = x.shape[axis]
    if step < 1 or not 0 <= size <= n:
        raise ValueError(
            "unfold: a window fits into the axis, and each step leads on.\n"
            f"  got size={size} and step={step} for an axis of {n}\n  try unfold(axis, {n}, 1)"
        )
    starts = np.arange(0, n - size + 1, step)
    windows = constant(starts[:, None] + np.arange(size))
    return movedim(getitem(x, (*[slice(None)] * axis, windows)), axis + 1, -1)


def diagonal(x: Tensor, offset: int = 0, axis_0: int = 0, axis_1: int = 1) -> Tensor:
    """The elements x[i, i + offset] of two axes, which become the last

    >>> tg.diagonal(Tensor([[1, 2], [3, 4]])).tolist()
    [1, 4]
    """
    moved = movedim(x, (axis_0, axis_1), (-2, -1))
    rows, columns = _diagonal_places(moved.shape[-2], moved.shape[-1], offset)
    return getitem(moved, (..., rows, columns))


def _diagonal_places(n: int, m: int, offset: int) -> tuple[Any, Any]:
    length = max(0, min(n + min(offset, 0), m - max(offset, 0)))
    along = np.arange(length)
    return constant(along - min(offset, 0)), constant(along + max(offset, 0))


def diag_embed(x: Tensor, offset: int = 0, axis_0: int = -2, axis_1: int = -1) -> Tensor:
    """The last axis as the diagonal of two new ones, zeros elsewhere

    >>> tg.diag_embed(Tensor([[1, 2]])).tolist()
    [[[1, 0], [0, 2]]]
    """
    n = x.shape[-1] + abs(offset)
    rows, columns = _diagonal_places(n, n, offset)
    empty = Tensor(constant(np.zeros((*x.shape[:-1], n, n), x.dtype)))
    return movedim(_placed(empty, x, (..., rows, columns)), (-2, -1), (axis_0, axis_1))


def diag(x: Tensor, diagonal: int = 0) -> Tensor:
    """The matrix with the vector x on a diagonal, or that diagonal of the matrix x

    >>> tg.diag(Tensor([1, 2])).tolist()
    [[1, 0], [0, 2]]
    """
    if x.ndim not in (1, 2):
        raise ValueError(
            f"diag: x is a vector or a matrix.\n  got shape {x.shape}\n  try x.diag_embed()"
        )
    return diag_embed(x, diagonal) if x.ndim == 1 else _diagonal(x, diagonal)


_diagonal = diagonal


def trace(x: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix

    >>> Tensor([[1, 2], [3, 4]]).trace().tolist()
    5
    """
    if x.ndim != 2:
        raise ValueError(
            f"trace: x is a matrix.\n  got shape {x.shape}\n  try x.diagonal(0, -2, -1).sum(-1)"
        )
    return diagonal(x).sum()


def rot90(x: Tensor, k: int = 1, axes: Sequence[int] = (0, 1)) -> Tensor:
    """Turned k times by 90 degrees, from the first axis towards the second

    >>> Tensor([[1, 2], [3, 4]]).rot90().tolist()
    [[2, 4], [1, 3]]
    """
    first, second = (place_of(axis, x.ndim) for axis in axes)
    if first == second:
        raise ValueError(f"rot90: two axes are needed.\n  got {axes}\n  try (0, 1)")
    if k % 4 == 2:
        return flip(x, (first, second))
    if k % 2 == 0:
        return clone(x)
    turned = transpose(x, first, second)
    return flip(turned, first if k % 4 == 1 else second)


def broadcast_tensors(*tensors: Any) -> list[Tensor]:
    """Each expanded to the shape that all have together

    >>> [y.tolist() for y in tg.broadcast_tensors(tg.ones(2, 1), tg.zeros(2))]
    [[[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]
    """
    shape = np.broadcast_shapes(*[np.shape(t) for t in tensors])
    return [expand(t, shape) for t in tensors]


def meshgrid(*tensors: Tensor, indexing: str = "ij") -> list[Tensor]:
    """Vectors as coordinates of a grid, each with an axis for each of them; indexing="xy" exchanges
    the first two axes

    >>> [y.tolist() for y in tg.meshgrid(Tensor([1, 2]), Tensor([3, 4]))]
    [[[1, 1], [2, 2]], [[3, 4], [3, 4]]]
    """
    if indexing not in ("ij", "xy"):
        raise ValueError(f"meshgrid: indexing is 'ij' or 'xy'.\n  got {indexing!r}\n  try 'ij'")
    vectors = [reshape(t, -1) for t in tensors]
    shape = [len(t) for t in vectors]
    grids = [
        expand(reshape(t, *[len(t) if i == place else 1 for i in range(len(shape))]), shape)
        for place, t in enumerate(vectors)
    ]
    swaps = indexing == "xy" and len(shape) > 1
    return [transpose(t, 0, 1) for t in grids] if swaps else grids


def diagonal_mask(t_query: int, t_key: int) -> np.ndarray:
    """(t_query, t_key) bool: which keys a query must not see; the last query sees every key."""
    return np.triu(np.ones((t_query, t_key), bool), 1 + t_key - t_query)


def causal_mask(scores: Tensor) -> Tensor:
    """Scores (..., t_query, t_key) with -inf where the key lies in the query's future"""
    return where(constant(diagonal_mask(*scores.shape[-2:])), -np.inf, scores)


def sum_to_size(x: Tensor, *shape: Any) -> Tensor:
    """Summed over the axes along which a tensor of `shape` would be broadcast to x

    >>> tg.ones(2, 3).sum_to_size(1, 3).tolist()
    [[2.0, 2.0, 2.0]]
    """
    shape = _numbers(shape)
    if np.broadcast_shapes(x.shape, shape) != x.shape:
        raise ValueError(
            "sum_to_size: a tensor of the shape can be broadcast to x.\n"
            f"  got {shape} for {x.shape}\n  try x.sum(axis)"
        )
    return _summed_to(x, shape)


@op
def _summed_to(x, shape):
    y = unbroadcast(x, shape)
    return x.copy() if y is x else y, lambda g: (np.broadcast_to(g, x.shape),)


def flipud(x: Tensor) -> Tensor:
    """Rows in reverse order

    >>> tg.flipud(Tensor([[1], [2]])).tolist()
    [[2], [1]]
    """
    return flip(x, 0)


def fliplr(x: Tensor) -> Tensor:
    """Columns in reverse order

    >>> tg.fliplr(Tensor([[1, 2]])).tolist()
    [[2, 1]]
    """
    return flip(x, 1)


def atleast_1d(x: Any) -> Tensor:
    """With an axis of size 1 where there is none

    >>> tg.atleast_1d(Tensor(3.0)).tolist()
    [3.0]
    """
    return reshape(x, *_shaped(x, 1))


def atleast_2d(x: Any) -> Tensor:
    """With axes of size 1 in front, where there are less than two

    >>> tg.atleast_2d(Tensor([1.0, 2.0])).tolist()
    [[1.0, 2.0]]
    """
    return reshape(x, *_shaped(x, 2))


def atleast_3d(x: Any) -> Tensor:
    """With axes of size 1 around, where there are less than three: (n,) becomes (1, n, 1) and
    (n, m) becomes (n, m, 1)

    >>> tg.atleast_3d(Tensor([[1.0, 2.0]])).tolist()
    [[[1.0], [2.0]]]
    """
    shape = _shaped(x, 2)
    return reshape(x, *shape, 1) if len(shape) == 2 else reshape(x, *shape)


def _shaped(x: Any, axes: int) -> tuple[int, ...]:
    shape = np.shape(x.data if isinstance(x, Tensor) else x)
    return (*[1] * (axes - len(shape)), *shape)


def diagflat(x: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements of x on a diagonal

    >>> tg.diagflat(Tensor([1, 2])).tolist()
    [[1, 0], [0, 2]]
    """
    return diag_embed(reshape(x, -1), offset)


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """x (B, C, ...) with one channel of each group, then the next of each  (ShuffleNet, 2017)

    >>> tg.channel_shuffle(tg.arange(4.0).reshape(1, 4, 1, 1), 2).flatten().tolist()
    [0.0, 2.0, 1.0, 3.0]
    """
    if groups < 1 or x.shape[1] % groups:
        raise ValueError(
            "channel_shuffle: groups divide the channels, the second axis of x.\n"
            f"  got {groups} groups for shape {x.shape}\n  try groups=1"
        )
    split = reshape(x, x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])
    return reshape(transpose(split, 1, 2), *x.shape)

"""Ops that join tensors along an axis, and that cut one."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_lite.broadcasting import unified
from tinygrad_lite.ops.axes import place_of, takes_axis
from tinygrad_lite.ops.indexing import getitem
from tinygrad_lite.ops.movement import atleast_3d, reshape, unsqueeze
from tinygrad_lite.tensor import Tensor, op


@op
def _cat(*arrays, axis):
    joined = unified(list(arrays))
    sizes = [np.shape(a)[axis] for a in arrays]
    ends = list(itertools.accumulate(sizes))[:-1]
    return np.concatenate(joined, axis), lambda g: np.split(g, ends, axis)


@takes_axis
def cat(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Joined along an axis that exists

    >>> tg.cat([Tensor([1, 2]), Tensor([3])]).tolist()
    [1, 2, 3]
    """
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
    """Joined along a new axis

    >>> tg.stack([Tensor([1, 2]), Tensor([3, 4])]).tolist()
    [[1, 2], [3, 4]]
    """
    return cat([unsqueeze(t, axis) for t in tensors], axis)


def hstack(tensors: Sequence[Any]) -> Tensor:
    """Joined along the second axis; vectors along their only one

    >>> tg.hstack([Tensor([1, 2]), Tensor([3])]).tolist()
    [1, 2, 3]
    """
    wide = [reshape(t, 1) if np.ndim(t) == 0 else t for t in tensors]
    return cat(wide, 0 if np.ndim(wide[0]) == 1 else 1)


def vstack(tensors: Sequence[Any]) -> Tensor:
    """Joined along the first axis; vectors as rows

    >>> tg.vstack([Tensor([1, 2]), Tensor([3, 4])]).tolist()
    [[1, 2], [3, 4]]
    """
    return cat([reshape(t, 1, -1) if np.ndim(t) < 2 else t for t in tensors], 0)


@takes_axis
def split(x: Tensor, sizes: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Cut along an axis into parts of one size (the last may be smaller) or of the sizes given

    >>> [y.tolist() for y in Tensor([1, 2, 3]).split(2)]
    [[1, 2], [3]]
    """
    n = x.shape[axis]
    if isinstance(sizes, int):
        if sizes < 1:
            raise ValueError(f"split: a part has at least one element.\n  got {sizes}\n  try 1")
        parts = [min(sizes, n - start) for start in range(0, max(n, 1), sizes)]
    else:
        parts = list(sizes)
        if sum(parts) != n:
            raise ValueError(
                "split: the sizes must add up to the length of the axis.\n"
                f"  got {parts}, together {sum(parts)}, for {n}\n  try split(size, axis)"
            )
    ends = np.cumsum([0, *parts])
    before = (slice(None),) * place_of(axis, x.ndim)
    return [getitem(x, (*before, slice(int(a), int(b)))) for a, b in itertools.pairwise(ends)]


@takes_axis
def chunk(x: Tensor, chunks: int, axis: int = 0) -> list[Tensor]:
    """Cut along an axis into `chunks` parts of one size (the last may be smaller)

    >>> [y.tolist() for y in Tensor([1, 2, 3]).chunk(2)]
    [[1, 2], [3]]
    """
    if chunks < 1:
        raise ValueError(f"chunk: at least one chunk is needed.\n  got {chunks}\n  try 1")
    n = x.shape[axis]
    return split(x, -(-n // chunks) if n else [0] * chunks, axis)


@takes_axis
def tensor_split(x: Tensor, parts: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Cut into so many parts, the first ones longer by one if need be, or before these places

    >>> [y.tolist() for y in tg.tensor_split(Tensor([1, 2, 3]), 2)]
    [[1, 2], [3]]
    """
    n = x.shape[axis]
    if isinstance(parts, int):
        sizes = [n // parts + (i < n % parts) for i in range(parts)]
        ends = list(itertools.accumulate(sizes))[:-1]
    else:
        ends = list(parts)
    before = (slice(None),) * place_of(axis, x.ndim)
    edges = itertools.pairwise([0, *ends, n])
    return [getitem(x, (*before, slice(a, b))) for a, b in edges]


@takes_axis
def unbind(x: Tensor, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, without it

    >>> [y.tolist() for y in Tensor([[1, 2], [3, 4]]).unbind()]
    [[1, 2], [3, 4]]
    """
    before = (slice(None),) * place_of(axis, x.ndim)
    return tuple(getitem(x, (*before, i)) for i in range(x.shape[axis]))


@takes_axis
def narrow(x: Tensor, axis: int, start: int, length: int) -> Tensor:
    """`length` slices along an axis from `start` on

    >>> Tensor([1, 2, 3]).narrow(0, 1, 2).tolist()
    [2, 3]
    """
    n = x.shape[axis]
    start += n if start < 0 else 0
    if not 0 <= start <= start + length <= n:
        raise ValueError(
            "narrow: the part lies within the axis.\n"
            f"  got {length} from {start} on, of {n}\n  try narrow(axis, 0, {n})"
        )
    return getitem(x, (*[slice(None)] * place_of(axis, x.ndim), slice(start, start + length)))


@takes_axis
def select(x: Tensor, axis: int, index: int) -> Tensor:
    """One slice along an axis, without it

    >>> Tensor([[1, 2], [3, 4]]).select(0, 1).tolist()
    [3, 4]
    """
    return getitem(x, (*[slice(None)] * place_of(axis, x.ndim), index))


def dstack(tensors: Sequence[Any]) -> Tensor:
    """Joined along the third axis; vectors and matrices with axes of size 1 for it

    >>> tg.dstack([Tensor([1, 2]), Tensor([3, 4])]).tolist()
    [[[1, 3], [2, 4]]]
    """
    return cat([atleast_3d(t) for t in tensors], 2)


def column_stack(tensors: Sequence[Any]) -> Tensor:
    """Joined along the second axis; numbers and vectors as columns

    >>> tg.column_stack([Tensor([1, 2]), Tensor([3, 4])]).tolist()
    [[1, 3], [2, 4]]
    """
    return cat([reshape(t, -1, 1) if np.ndim(t) < 2 else t for t in tensors], 1)


def hsplit(x: Tensor, parts: int | Sequence[int]) -> list[Tensor]:
    """Cut along the second axis, a vector along its only one, see tensor_split

    >>> [y.tolist() for y in tg.hsplit(tg.ones(1, 2), 2)]
    [[[1.0]], [[1.0]]]
    """
    return _cut("hsplit", x, parts, 1 if x.ndim > 1 else 0, 1)


def vsplit(x: Tensor, parts: int | Sequence[int]) -> list[Tensor]:
    """Cut along the first axis, see tensor_split

    >>> [y.tolist() for y in tg.vsplit(tg.ones(2, 1), 2)]
    [[[1.0]], [[1.0]]]
    """
    return _cut("vsplit", x, parts, 0, 2)


def dsplit(x: Tensor, parts: int | Sequence[int]) -> list[Tensor]:
    """Cut along the third axis, see tensor_split

    >>> [y.tolist() for y in tg.dsplit(tg.ones(1, 1, 2), 2)]
    [[[[1.0]]], [[[1.0]]]]
    """
    return _cut("dsplit", x, parts, 2, 3)


def _cut(name: str, x: Tensor, parts: Any, axis: int, least: int) -> list[Tensor]:
    """tensor_split, where a number of parts divides the axis"""
    if x.ndim < least or (isinstance(parts, int) and (parts < 1 or x.shape[axis] % parts)):
        raise ValueError(
            f"{name}: x has {least} axes or more, and parts of one size.\n"
            f"  got {parts} parts for shape {x.shape}\n  try x.tensor_split(parts, axis)"
        )
    return tensor_split(x, parts, axis)

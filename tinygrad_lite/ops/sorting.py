"""Order along an axis: sort, argsort, topk, and what follows. NaN is the largest number."""

import math
from typing import Any, NamedTuple

import numpy as np

from tinygrad_lite.ops.axes import place_of, takes_axis
from tinygrad_lite.ops.indexing import gather, getitem
from tinygrad_lite.ops.movement import clone
from tinygrad_lite.tensor import Tensor, op


class Ordered(NamedTuple):
    """Elements, and where they were along their axis, int64"""

    values: Tensor
    indices: Tensor


@takes_axis
@op
def argsort(x, axis=-1, descending=False):
    """Where the smallest (or largest) element is, then the next, int64; equals in their order

    >>> tg.argsort([3, 1, 2]).tolist()
    [1, 2, 0]
    """
    if x.ndim == 0:
        return np.zeros((), np.int64, like=x), None
    if not descending:
        return np.argsort(x, axis=axis, kind="stable"), None
    places = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(places, axis), None


@takes_axis
def sort(x: Tensor, axis: int = -1, descending: bool = False) -> Ordered:
    """The elements in order along an axis

    >>> [y.tolist() for y in tg.sort(Tensor([3, 1, 2]))]
    [[1, 2, 3], [1, 2, 0]]
    """
    places = argsort(x, axis, descending)
    return Ordered(gather(x, axis, places) if x.ndim else clone(x), places)


@takes_axis
def topk(x: Tensor, k: int, axis: int = -1, largest: bool = True) -> Ordered:
    """The k largest (or smallest) elements along an axis in order

    >>> [y.tolist() for y in tg.topk(Tensor([3, 1, 2]), 2)]
    [[3, 2], [0, 2]]
    """
    n = x.shape[axis] if x.ndim else 1
    if not 0 <= k <= n:
        raise ValueError(f"topk: there are k elements.\n  got k={k} of {n}\n  try k={n}")
    if x.ndim == 0:
        return sort(x) if k else sort(x.reshape(1)[:0])
    before = (slice(None),) * place_of(axis, x.ndim)
    places = getitem(argsort(x, axis, largest), (*before, slice(k)))
    return Ordered(gather(x, axis, places), places)


@takes_axis
def kthvalue(x: Tensor, k: int, axis: int = -1, keepdim: bool = False) -> Ordered:
    """The k-th smallest element along an axis, k from 1 up

    >>> [y.tolist() for y in Tensor([3, 1, 2]).kthvalue(2)]
    [2, 2]
    """
    n = x.shape[axis] if x.ndim else 1
    if not 1 <= k <= n:
        raise ValueError(f"kthvalue: k lies between 1 and {n}.\n  got {k}\n  try 1")
    if x.ndim == 0:
        return sort(x)
    kth: Any = slice(k - 1, k) if keepdim else k - 1
    part = (*[slice(None)] * place_of(axis, x.ndim), kth)
    values, places = sort(x, axis)
    return Ordered(getitem(values, part), getitem(places, part))


def msort(x: Tensor) -> Tensor:
    """The elements in order along the first axis

    >>> Tensor([3, 1, 2]).msort().tolist()
    [1, 2, 3]
    """
    return sort(x, 0)[0]


@op
def searchsorted(ordered, values, right=False):
    """int64: before which element of `ordered` each value belongs, so that the order holds; after
    equals where right. `ordered` (n,), or (..., n) for values (..., m)

    >>> tg.searchsorted(Tensor([1, 3, 5]), Tensor([3, 4])).tolist()
    [1, 2]
    """
    side: Any = "right" if right else "left"
    if np.ndim(ordered) == 1:
        return np.asarray(np.searchsorted(ordered, values, side)), None
    if np.shape(ordered)[:-1] != np.shape(values)[:-1]:
        raise ValueError(
            "searchsorted: one order, or one for each row of values.\n"
            f"  got {np.shape(ordered)} and {np.shape(values)}\n  try ordered of shape (n,)"
        )
    rows = [a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) for a in (ordered, values)]
    found = [np.searchsorted(a, v, side) for a, v in zip(*rows, strict=True)]
    return np.asarray(found, np.int64).reshape(values.shape), None

"""Statistics of what is seen: medians and quantiles, what is counted, found and told apart.

What picks elements has their gradients; counts and places have none.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from tinygrad_lite.kernels.watch import constant
from tinygrad_lite.ops.axes import place_of, takes_axis
from tinygrad_lite.ops.comparisons import eq, isinf
from tinygrad_lite.ops.elementwise import lerp, minimum, where
from tinygrad_lite.ops.indexing import gather, getitem
from tinygrad_lite.ops.joining import cat
from tinygrad_lite.ops.movement import clone, movedim, reshape
from tinygrad_lite.ops.random import check_probabilities
from tinygrad_lite.ops.reductions import max as max_
from tinygrad_lite.ops.reductions import min as min_
from tinygrad_lite.ops.reductions import norm
from tinygrad_lite.ops.reductions import sum as sum_
from tinygrad_lite.ops.scatter import index_add
from tinygrad_lite.ops.sorting import Ordered, searchsorted, sort
from tinygrad_lite.tensor import Tensor, as_tensor, op


@takes_axis
def nansum(x: Tensor, axis: Any = None, keepdim: bool = False) -> Tensor:
    """The sum of what is a number

    >>> tg.nansum(Tensor([1.0, float("nan"), 3.0])).tolist()
    4.0
    """
    return sum_(where(x == x, x, 0), axis, keepdim)


@takes_axis
def nanmean(x: Tensor, axis: Any = None, keepdim: bool = False) -> Tensor:
    """The mean of what is a number

    >>> tg.nanmean(Tensor([1.0, float("nan"), 3.0])).tolist()
    2.0
    """
    return nansum(x, axis, keepdim) / sum_(eq(x, x).astype(x.dtype), axis, keepdim)


class Extremes(NamedTuple):
    """The least and the largest element"""

    min: Tensor
    max: Tensor


@takes_axis
def aminmax(x: Tensor, axis: Any = None, keepdim: bool = False) -> Extremes:
    """`min` and `max`

    >>> [y.tolist() for y in tg.aminmax(Tensor([3.0, 1.0, 2.0]))]
    [1.0, 3.0]
    """
    return Extremes(min_(x, axis, keepdim), max_(x, axis, keepdim))


@op
def _middle(x, skip_nan):
    """(..., 1) int64: along the last axis, the place of the lower median; of a NaN where there is
    one, unless these are skipped"""
    places = np.argsort(x, axis=-1, kind="stable")  # NaN last
    missing = np.sum(np.not_equal(x, x), axis=-1, keepdims=True, dtype=np.int64)
    n = x.shape[-1]
    kth = np.maximum(n - missing - 1, 0) // 2
    if not skip_nan:  # the first of them
        kth = np.where(missing > 0, n - missing, kth)
    return np.take_along_axis(places, kth, -1), None


@takes_axis
def median(x: Tensor, axis: int | None = None, keepdim: bool = False) -> Any:
    """The middle one of the elements in order, of two the lower; NaN if one is. With an axis, also
    where it is, as (values, indices)

    >>> tg.median(Tensor([3.0, 1.0, 2.0])).tolist()
    2.0
    """
    return _median(x, axis, keepdim, False)


@takes_axis
def nanmedian(x: Tensor, axis: int | None = None, keepdim: bool = False) -> Any:
    """`median` of what is a number

    >>> tg.nanmedian(Tensor([1.0, float("nan"), 3.0])).tolist()
    1.0
    """
    return _median(x, axis, keepdim, True)


def _median(x: Tensor, axis: int | None, keepdim: bool, skip_nan: bool) -> Any:
    if axis is None:
        return _median(reshape(x, -1), 0, False, skip_nan)[0]
    if x.ndim == 0:
        return Ordered(clone(x), Tensor(constant(np.zeros((), np.int64))))
    if x.shape[axis] == 0:
        raise ValueError(f"median: there is an element.\n  got shape {x.shape}\n  try another axis")
    moved = movedim(x, axis, -1)
    places = _middle(moved, skip_nan)
    found = (movedim(t, -1, axis) for t in (gather(moved, -1, places), places))
    return Ordered(*(t if keepdim else t.squeeze(axis) for t in found))


QUANTILES = ("linear", "lower", "higher", "midpoint", "nearest")


@takes_axis
def quantile(
    x: Tensor, q: Any, axis: int | None = None, keepdim: bool = False, interpolation: str = "linear"
) -> Tensor:
    """What a share q of the elements is below, between those beside it as `interpolation` says;
    NaN if an element is. Of several q, (n,), the results stand on a new first axis

    >>> tg.quantile(Tensor([1.0, 2.0, 3.0]), 0.25).tolist()
    1.5
    """
    return _quantile(x, q, axis, keepdim, interpolation, False)


@takes_axis
def nanquantile(
    x: Tensor, q: Any, axis: int | None = None, keepdim: bool = False, interpolation: str = "linear"
) -> Tensor:
    """`quantile` of what is a number

    >>> tg.nanquantile(Tensor([1.0, float("nan"), 3.0]), 0.5).tolist()
    2.0
    """
    return _quantile(x, q, axis, keepdim, interpolation, True)


def _quantile(
    x: Tensor, q: Any, axis: int | None, keepdim: bool, interpolation: str, skip_nan: bool
) -> Tensor:
    if interpolation not in QUANTILES or np.ndim(q) > 1 or x.size == 0 or x.dtype.kind != "f":
        raise ValueError(
            "quantile: x holds fractions, q is a number or a row of them, and the interpolation is"
            f" one of {', '.join(QUANTILES)}.\n"
            f"  got {x.shape} of {x.dtype}, q={q}, {interpolation!r}\n  try quantile(x, 0.5)"
        )
    shares = q if isinstance(q, Tensor) else Tensor(constant(np.asarray(q, np.float64)))
    check_probabilities(shares.data, "quantile")
    shape = [*shares.shape]
    if axis is None or not x.ndim:
        rows, kept = reshape(x, -1), [1] * x.ndim
    else:
        rows, kept = movedim(x, axis, -1), [*x.shape]
        kept[axis] = 1
    shape += kept if keepdim else [*rows.shape[:-1]]
    ordered, n = sort(rows, -1)[0], rows.shape[-1]  # NaN last
    count = (rows == rows).sum(-1, True)
    last = (count - 1).clip(min=0) if skip_nan else count * 0 + (n - 1)
    at = last.double() * reshape(shares, -1).double()  # (..., shares)
    if interpolation == "midpoint":
        at = (at.floor() + at.ceil()) * 0.5
    elif interpolation != "linear":
        at = {"lower": at.floor, "higher": at.ceil, "nearest": at.round}[interpolation]()
    low = at.detach().floor()
    below, above = (
        gather(ordered, -1, minimum(place, last).long()) for place in (low, at.detach().ceil())
    )
    same = (below == above) & isinf(below)  # of which the difference is no number
    start, end = (where(same, 0, t) for t in (below, above))
    values = where(same, below, lerp(start, end, (at - low).astype(x.dtype)))
    gone = count == 0 if skip_nan else count < n
    return reshape(movedim(where(gone, np.nan, values), -1, 0), *shape)


@takes_axis
def mode(x: Tensor, axis: int = -1, keepdim: bool = False) -> Ordered:
    """The element that is there most often along an axis, the least of equals; its last place

    >>> [y.tolist() for y in tg.mode(Tensor([1, 2, 2]))]
    [2, 2]
    """
    if x.ndim == 0:
        return Ordered(clone(x), Tensor(constant(np.zeros((), np.int64))))
    moved = movedim(x, axis, -1)
    places = _most_frequent(moved)
    found = (movedim(t, -1, axis) for t in (gather(moved, -1, places), places))
    return Ordered(*(t if keepdim else t.squeeze(axis) for t in found))


@op
def _most_frequent(x):
    """(..., 1) int64: the last place of the most frequent element along the last axis"""
    order = np.argsort(x, axis=-1, kind="stable")
    ordered = np.take_along_axis(x, order, -1)
    numbers = np.broadcast_to(np.arange(x.shape[-1], like=x), x.shape)
    first = np.not_equal(ordered[..., 1:], ordered[..., :-1])
    start = np.zeros(x.shape, np.int64, like=x)
    start[..., 1:] = np.where(first, numbers[..., 1:], 0)
    run = numbers - np.maximum.accumulate(start, axis=-1)  # how often it was there before
    longest = np.argmax(run, axis=-1, keepdims=True)
    return np.take_along_axis(order, longest, -1), None


@takes_axis
def diff(x: Tensor, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """Each element less the one before it along an axis, n times

    >>> tg.diff(Tensor([1, 4, 9])).tolist()
    [3, 5]
    """
    if n == 0:
        return clone(x)
    parts = [t for t in (prepend, x, append) if t is not None]
    x = cat(parts, axis) if len(parts) > 1 else x
    for _ in range(n):
        before = (slice(None),) * place_of(axis, x.ndim)
        after = getitem(x, (*before, slice(1, None)))
        ahead = getitem(x, (*before, slice(None, -1)))
        x = after ^ ahead if x.dtype.kind == "b" else after - ahead
    return x


@takes_axis
def trapezoid(y: Tensor, x: Any = None, dx: Any = 1, axis: int = -1) -> Tensor:
    """The integral of y along an axis by straight lines between its places, at x or dx apart

    >>> tg.trapezoid(Tensor([1.0, 2.0, 3.0])).tolist()
    4.0
    """
    return sum_(_trapezia(y, x, dx, axis), axis)


@takes_axis
def cumulative_trapezoid(y: Tensor, x: Any = None, dx: Any = 1, axis: int = -1) -> Tensor:
    """The integrals up to each place but the first, see trapezoid

    >>> tg.cumulative_trapezoid(Tensor([1.0, 2.0, 3.0])).tolist()
    [1.5, 4.0]
    """
    return _trapezia(y, x, dx, axis).cumsum(axis)


def _trapezia(y: Tensor, x: Any, dx: Any, axis: int) -> Tensor:
    before = (slice(None),) * place_of(axis, y.ndim)
    pairs = getitem(y, (*before, slice(1, None))) + getitem(y, (*before, slice(None, -1)))
    if x is None:
        return pairs * (dx * 0.5) if y.dtype.kind == "f" else pairs * dx / 2
    x = as_tensor(x)
    if x.ndim == 1:
        x = reshape(x, *[-1 if i == place_of(axis, y.ndim) else 1 for i in range(y.ndim)])
    return pairs * diff(x, 1, axis) / 2


@takes_axis
def renorm(x: Tensor, p: float, axis: int, maxnorm: float) -> Tensor:
    """x with each slice along an axis whose p-norm is above maxnorm scaled down to it

    >>> tg.renorm(Tensor([[3.0, 4.0]]), 2, 0, 1.0).tolist()
    [[0.6, 0.8]]
    """
    axes = tuple(i for i in range(x.ndim) if i != place_of(axis, x.ndim))
    norms = norm(x, p, axes, True)
    return x * where(norms > maxnorm, maxnorm / (norms + 1e-7), 1)


# --- counted and found: no gradients ------------------------------------------------------------


def bincount(x: Tensor, weights: Any = None, minlength: int = 0) -> Tensor:
    """(n,) integers from 0 up -> how often each number is there, or the sum of its weights, which
    have gradients

    >>> tg.bincount(Tensor([0, 2, 2])).tolist()
    [1, 0, 2]
    """
    counts = _counted(x, minlength)
    if weights is None:
        return counts
    weights = as_tensor(weights)
    if weights.shape != x.shape:
        raise ValueError(
            "bincount: there is a weight for each number.\n"
            f"  got shapes {weights.shape} and {x.shape}\n  try weights=None"
        )
    weights = weights if weights.dtype.kind == "f" else weights.double()
    return index_add(counts.astype(weights.dtype) * 0, 0, x, weights)


@op
def _counted(x, minlength):
    return np.bincount(x, minlength=minlength), None


@op
def histc(x, bins=100, min=0, max=0):
    """How many elements are in each of so many bins of one width from min to max, or, where these
    are equal, from the least to the largest element

    >>> tg.histc(Tensor([1.0, 2.0, 2.5]), 2, 1, 3).tolist()
    [1.0, 2.0]
    """
    low, high = (np.min(x), np.max(x)) if min == max and x.size else (min, max)
    low, high = (low - 1, high + 1) if low == high else (low, high)
    if not np.isfinite(low) or not np.isfinite(high):
        raise ValueError(
            f"histc: bins have finite edges.\n  got {low} to {high}\n  try histc(x, bins, min, max)"
        )
    inside = x[np.logical_and(x >= low, x <= high)]
    return np.histogram(inside, bins, (low, high))[0].astype(x.dtype), None


def bucketize(x: Any, boundaries: Any, right: bool = False) -> Tensor:
    """int64: between which of the boundaries (n,), in order, each element is

    >>> tg.bucketize(Tensor([1, 5, 9]), Tensor([2, 6])).tolist()
    [0, 1, 2]
    """
    return searchsorted(boundaries, x, right)


def unique(
    x: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
    axis: int | None = None,
) -> Any:  # fmt: skip
    """The elements, or the slices along an axis, each once and in order; if asked for, also which
    of them each one is, and how often each is there

    >>> tg.unique(Tensor([2, 1, 2])).tolist()
    [1, 2]
    """
    found = np.unique(x.data, return_inverse=True, return_counts=True, axis=axis)
    values, inverse, counts = found[0], found[1], found[2]
    shape = x.shape if axis is None else (-1,)
    wanted = [values, *[inverse.reshape(shape)] * return_inverse, *[counts] * return_counts]
    made = tuple(Tensor(np.asarray(part)) for part in wanted)
    return made if len(made) > 1 else made[0]


def unique_consecutive(
    x: Tensor, return_inverse: bool = False, return_counts: bool = False, axis: int | None = None
) -> Any:
    """The same of elements one behind the other alone: each run of equals once

    >>> tg.unique_consecutive(Tensor([1, 1, 2, 1])).tolist()
    [1, 2, 1]
    """
    rows = x.data.reshape(-1) if axis is None else np.moveaxis(x.data, axis, 0)
    flat = rows.reshape(len(rows), math.prod(rows.shape[1:]))
    new = np.ones(len(rows), bool)
    new[1:] = np.any(flat[1:] != flat[:-1], axis=1)
    starts = np.flatnonzero(new)
    values = rows[new] if axis is None else np.moveaxis(rows[new], 0, axis)
    inverse = (np.cumsum(new) - 1).reshape(x.shape if axis is None else -1)
    counts = np.diff(np.append(starts, len(rows)))
    wanted = [values, *[inverse] * return_inverse, *[counts] * return_counts]
    made = tuple(Tensor(np.ascontiguousarray(part)) for part in wanted)
    return made if len(made) > 1 else made[0]


def unravel_index(places: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Places in a tensor of `shape` seen as one row, as an index for each axis

    >>> [y.tolist() for y in tg.unravel_index(Tensor([3]), (2, 2))]
    [[1], [1]]
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    rest, found = places.long(), []
    for n in shape[::-1]:
        found.append(rest % n)
        rest = rest // n
    return tuple(found[::-1])

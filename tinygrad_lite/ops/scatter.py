"""Ops that put elements into a copy of a tensor: scatter, and its kin."""

from typing import Any

import numpy as np

from tinygrad_lite.kernels.watch import constant, procedure
from tinygrad_lite.ops.axes import place_of, takes_axis
from tinygrad_lite.ops.elementwise import div, maximum, where
from tinygrad_lite.ops.indexing import (
    _added,
    _along,
    _checked,
    _fits,
    _grid,
    _parts,
    _placed,
    check_mask,
    getitem,
)
from tinygrad_lite.ops.movement import _diagonal_places, movedim, reshape
from tinygrad_lite.tensor import Tensor, as_tensor, op


@takes_axis
def scatter(x: Tensor, axis: int, index: Any, source: Any) -> Tensor:
    """x with out[i, index[i, j, k], k] = source[i, j, k] for axis 1, and so on. `source` is a
    number or at least as large as index; of two for one place, the last counts.

    >>> tg.scatter(tg.zeros(3), 0, Tensor([2]), Tensor([5.0])).tolist()
    [0.0, 0.0, 5.0]
    """
    index = _checked("scatter", x, axis, index)
    return _placed(x, _part(source, index), _grid(x, axis, index))


@takes_axis
def scatter_add(x: Tensor, axis: int, index: Any, source: Any) -> Tensor:
    """x with out[i, index[i, j, k], k] += source[i, j, k] for axis 1, and so on

    >>> tg.scatter_add(tg.zeros(3), 0, Tensor([2, 2]), Tensor([5.0, 6.0])).tolist()
    [0.0, 0.0, 11.0]
    """
    index = _checked("scatter_add", x, axis, index)
    return _added(x, _part(source, index), _grid(x, axis, index))


@takes_axis
def scatter_reduce(
    x: Tensor, axis: int, index: Any, source: Tensor, reduce: str, include_self: bool = True
) -> Tensor:
    """x with each element that `index` names, see scatter, replaced by the sum, prod, mean, amax or
    amin of itself (unless include_self is False) and what of `source` goes there

    >>> tg.scatter_reduce(tg.zeros(3), 0, Tensor([2, 2]), Tensor([5.0, 6.0]), "amax").tolist()
    [0.0, 0.0, 6.0]
    """
    names = ("sum", "prod", "mean", "amax", "amin")
    if reduce not in names:
        raise ValueError(
            f"scatter_reduce: the reduction is one of {', '.join(names)}.\n"
            f"  got {reduce!r}\n  try 'sum'"
        )
    index = _checked("scatter_reduce", x, axis, index)
    places, values = _grid(x, axis, index), _part(source, index)
    if not include_self:
        neutral = {"sum": 0, "mean": 0, "prod": 1}.get(reduce)
        if neutral is None:
            neutral = _extreme_of(x.dtype, reduce == "amin")
        x = _placed(x, neutral, places)
    if reduce in ("sum", "mean"):
        total = _added(x, values, places)
        if reduce == "sum":
            return total
        ones = Tensor(constant(np.ones(index.shape, x.dtype)))
        zeros = Tensor(constant(np.zeros(x.shape, x.dtype)))
        count = _added(zeros, ones, places) + (1 if include_self else 0)
        count = maximum(count, 1)
        return div(total, count) if x.dtype.kind == "f" else total // count
    if reduce == "prod":
        return _multiplied(x, values, places)
    return _extreme_at(x, values, places, reduce == "amax")


def _extreme_of(dtype, largest):
    if dtype.kind == "f":
        return np.inf if largest else -np.inf
    info = (True, False) if dtype.kind == "b" else (np.iinfo(dtype).max, np.iinfo(dtype).min)
    return info[0] if largest else info[1]


@op
def _extreme_at(x, values, index, largest):
    """x, and at x[index] the extreme of x and values; equal ones share the gradient."""
    _fits(x, values, "scatter_reduce")
    parts = _parts(index)
    y = x.copy()
    (np.maximum if largest else np.minimum).at(y, parts, values)

    def vjp(g):
        own, given = np.equal(x, y).astype(x.dtype), np.equal(values, y[parts]).astype(x.dtype)
        count = own.copy()
        np.add.at(count, parts, given)
        share = g / np.maximum(count, 1)
        return lambda: share * own, lambda: share[parts] * given

    return y, vjp


@op
def _multiplied(x, values, index):
    """x, and at x[index] the product of x and values; exact gradients also where there are zeros"""
    _fits(x, values, "scatter_reduce")
    parts = _parts(index)
    y = x.copy()
    np.multiply.at(y, parts, values)

    def vjp(g):
        zeros, others = np.equal(x, 0).astype(np.int64), np.where(np.equal(x, 0), 1, x)
        others = others.astype(x.dtype)
        np.add.at(zeros, parts, np.equal(values, 0).astype(np.int64))
        np.multiply.at(others, parts, np.where(np.equal(values, 0), 1, values).astype(x.dtype))

        def of(factor, product, count):
            """The product of all factors but this one"""
            none = np.equal(factor, 0)
            rest = product / np.where(none, 1, factor)
            return np.where(np.equal(count, none.astype(np.int64)), rest, 0)

        return (lambda: g * of(x, others, zeros),
                lambda: g[parts] * of(values, others[parts], zeros[parts]))  # fmt: skip

    return y, vjp


@takes_axis
def index_add(x: Tensor, axis: int, index: Any, source: Any, alpha: float = 1) -> Tensor:
    """x with alpha times the slices of `source` added to those that `index` (n,) names

    >>> tg.index_add(tg.zeros(3), 0, Tensor([0, 2, 2]), tg.ones(3)).tolist()
    [1.0, 0.0, 2.0]
    """
    _check_slices("index_add", x, axis, index, source)
    return _added(x, source if alpha == 1 else source * alpha, _along(x, axis, index))


@takes_axis
def index_copy(x: Tensor, axis: int, index: Any, source: Any) -> Tensor:
    """x with the slices that `index` (n,) names replaced by those of `source`

    >>> tg.zeros(3).index_copy(0, Tensor([2]), Tensor([5.0])).tolist()
    [0.0, 0.0, 5.0]
    """
    _check_slices("index_copy", x, axis, index, source)
    return _placed(x, source, _along(x, axis, index))


@takes_axis
def index_fill(x: Tensor, axis: int, index: Any, value: Any) -> Tensor:
    """x with `value` in the slices that `index` (n,) names

    >>> tg.zeros(3).index_fill(0, Tensor([2]), 5).tolist()
    [0.0, 0.0, 5.0]
    """
    return _placed(x, value, _along(x, axis, index))


def _check_slices(name: str, x: Tensor, axis: int, index: Any, source: Any) -> None:
    """ValueError unless `source` has a slice of x for each number of the index"""
    wanted = list(x.shape)
    if x.ndim:
        wanted[axis] = int(np.prod(np.shape(index), dtype=int))
    if list(np.shape(source)) != wanted:
        raise ValueError(
            f"{name}: the source has a slice for each number of the index.\n"
            f"  got {np.shape(source)} for x {x.shape}, axis {axis}, index {np.shape(index)}\n"
            f"  try a source {tuple(wanted)}"
        )


def _part(source: Any, index: Tensor) -> Any:
    """What of `source` goes where an index (n, m, ...) says: its first (n, m, ...) elements"""
    if not isinstance(source, Tensor | np.ndarray) or np.ndim(source) == 0:
        return source
    shape = np.shape(source)
    if len(shape) != index.ndim or any(n < m for n, m in zip(shape, index.shape, strict=True)):
        raise ValueError(
            "scatter: there is an element of the source for each place.\n"
            f"  got a source {shape} for an index {index.shape}\n  try source.expand(index.shape)"
        )
    return getitem(source, tuple(slice(n) for n in index.shape))


@takes_axis
def index_reduce(
    x: Tensor, axis: int, index: Any, source: Tensor, reduce: str, include_self: bool = True
) -> Tensor:
    """x with each slice that `index` (n,) names replaced by the prod, mean, amax or amin of itself
    (unless include_self is False) and the slices of `source` that go there

    >>> tg.index_reduce(tg.ones(2), 0, Tensor([0, 0]), Tensor([2.0, 3.0]), "prod").tolist()
    [6.0, 1.0]
    """
    _check_slices("index_reduce", x, axis, index, source)
    index = as_tensor(index)
    if x.ndim == 0:
        return scatter_reduce(x.reshape(1), 0, index, source.reshape(1), reduce,
                              include_self).reshape(())  # fmt: skip
    shape = [-1 if i == place_of(axis, x.ndim) else 1 for i in range(x.ndim)]
    places = reshape(index, *shape).expand(source.shape)
    return scatter_reduce(x, axis, places, source, reduce, include_self)


def index_put(x: Tensor, indices: tuple, values: Any, accumulate: bool = False) -> Tensor:
    """x with x[indices] = values, or with values added there

    >>> tg.index_put(tg.zeros(3), (Tensor([1]),), Tensor([5.0])).tolist()
    [0.0, 5.0, 0.0]
    """
    return (_added if accumulate else _placed)(x, values, tuple(indices))


def put(x: Tensor, index: Any, source: Any, accumulate: bool = False) -> Tensor:
    """x with the elements that `index` names, by their place in x seen as one row, replaced by
    those of `source`, or with these added

    >>> tg.put(tg.zeros(2, 2), Tensor([3]), Tensor([5.0])).tolist()
    [[0.0, 0.0], [0.0, 5.0]]
    """
    index = as_tensor(index)
    flat = index_put(reshape(x, -1), (reshape(index, -1),), reshape(source, -1), accumulate)
    return reshape(flat, *x.shape)


def masked_scatter(x: Tensor, mask: Any, source: Tensor) -> Tensor:
    """x with the first elements of `source` where the mask is true, in their order

    >>> tg.masked_scatter(tg.zeros(3), Tensor([True, False, True]), Tensor([5.0, 6.0])).tolist()
    [5.0, 0.0, 6.0]
    """
    mask = check_mask("masked_scatter", mask)
    shape = np.broadcast_shapes(x.shape, mask.shape)
    mask, x = mask.expand(shape), x.expand(shape)
    _check_count(mask.data, source.size)
    if source.size == 0:
        return x.clone()
    places = (reshape(mask, -1).cumsum(0) - 1).clip(0, source.size - 1)
    return where(mask, getitem(reshape(source, -1), reshape(places, *shape)), x)


@procedure
def _check_count(mask, most):
    if np.count_nonzero(mask) > most:
        raise ValueError(
            "masked_scatter: there is an element of the source for each place.\n"
            f"  got {most} for {np.count_nonzero(mask)} places\n  try a larger source"
        )


@takes_axis
def select_scatter(x: Tensor, source: Any, axis: int, index: int) -> Tensor:
    """x with one slice along an axis replaced

    >>> tg.select_scatter(tg.zeros(2, 2), tg.ones(2), 0, 1).tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """
    place = place_of(axis, x.ndim)
    _check_source("select_scatter", source, (*x.shape[:place], *x.shape[place + 1 :]))
    return _placed(x, source, (*[slice(None)] * place, index))


@takes_axis
def slice_scatter(
    x: Tensor, source: Any, axis: int = 0, start: int | None = None, end: int | None = None,
    step: int = 1,
) -> Tensor:  # fmt: skip
    """x with x[start:end:step] along an axis replaced

    >>> tg.slice_scatter(tg.zeros(3), tg.ones(2), 0, 1).tolist()
    [0.0, 1.0, 1.0]
    """
    place, part = place_of(axis, x.ndim), slice(start, end, step)
    count = len(range(*part.indices(x.shape[place])))
    shape = (*x.shape[:place], count, *x.shape[place + 1 :])
    _check_source("slice_scatter", source, shape)
    return _placed(x, source, (*[slice(None)] * place, part))


def _check_source(name: str, source: Any, shape: tuple[int, ...]) -> None:
    """ValueError unless there is an element of the source for each place"""
    if np.shape(source) != shape:
        raise ValueError(
            f"{name}: there is an element of the source for each that is replaced.\n"
            f"  got a source {np.shape(source)} for {shape}\n  try source.expand{shape}"
        )


def diagonal_scatter(
    x: Tensor, source: Any, offset: int = 0, axis_0: int = 0, axis_1: int = 1
) -> Tensor:
    """x with the elements x[i, i + offset] of two axes replaced by the last axis of `source`

    >>> tg.diagonal_scatter(tg.zeros(2, 2), Tensor([1.0, 2.0])).tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    moved = movedim(x, (axis_0, axis_1), (-2, -1))
    places = _diagonal_places(moved.shape[-2], moved.shape[-1], offset)
    _check_source("diagonal_scatter", source, (*moved.shape[:-2], len(places[0])))
    return movedim(_placed(moved, source, (..., *places)), (-2, -1), (axis_0, axis_1))

"""Ops that pick elements, and that put them: x[index], gather, scatter and their kin."""

from typing import Any

import numpy as np

from tinygrad_lite.broadcasting import unbroadcast
from tinygrad_lite.kernels.watch import constant, procedure
from tinygrad_lite.ops.axes import takes_axis
from tinygrad_lite.ops.elementwise import div, maximum
from tinygrad_lite.tensor import Tensor, is_grad_enabled, op


@op
def getitem(x, index):
    """x[index] as in NumPy: basic and advanced indexing, also with integer or boolean Tensors"""
    parts = _parts(index)

    def vjp(g):
        dx = np.zeros_like(x)
        if _is_basic(parts):
            dx[parts] = g
        else:  # the same element may have been taken more than once
            np.add.at(dx, parts, g)
        return (dx,)

    return x[parts], vjp


def _parts(index):
    """An index as a tuple of numbers, slices and arrays"""
    parts = index if isinstance(index, tuple) else (index,)
    return tuple(i.data if isinstance(i, Tensor) else i for i in parts)


def _is_basic(parts):
    """Whether no element can be named twice"""
    return all(isinstance(i, int | np.integer | slice | None | type(...)) for i in parts)


@op
def _placed(x, values, index):
    """A copy of x with x[index] = values; of values for one place, the last counts."""
    parts = _parts(index)
    y = x.copy()
    y[parts] = values

    def vjp(g):
        def dx():
            rest = g.copy()
            rest[parts] = 0
            return rest

        def dvalues():
            taken = g[parts]
            if not _is_basic(parts):
                taken = np.where(_last(x.shape, parts, taken), taken, 0)
            return unbroadcast(taken, np.shape(values))

        return dx, dvalues

    return y, vjp


def _last(shape, parts, taken):
    """Which of the values that were put into an array of `shape` none after it has replaced"""
    numbers = np.arange(taken.size, like=taken).reshape(taken.shape)
    holder = np.zeros(shape, np.int64, like=taken)
    holder[parts] = numbers
    return np.equal(holder[parts], numbers)


@op
def _added(x, values, index):
    """A copy of x to which values have been added at x[index], as often as a place is named"""
    parts = _parts(index)
    y = x.copy()
    np.add.at(y, parts, values)
    return y, lambda g: (g, lambda: unbroadcast(g[parts], np.shape(values)))


def setitem(x: Tensor, index: Any, value: Any) -> None:
    """x[index] = value: the data changes where it is, and so do views of it. Where gradients are
    noted for x or for the value, x becomes a result of its own, and views of it stay as they are.
    RuntimeError for what is learned, outside no_grad(), and for gradients into a view; TypeError
    for fractions among integers."""
    given = np.result_type(value.data if isinstance(value, Tensor) else np.asarray(value))
    if given.kind == "f" and x.dtype.kind != "f":
        raise TypeError(
            "assignment: fractions do not fit into a tensor of integers.\n"
            f"  got {given} for a tensor of {x.dtype}\n  try x.float(), or value.astype('int64')"
        )
    _change(x, index, value, lambda data, *given: data.__setitem__(*given), _placed)


def add_at(x: Tensor, index: Any, values: Any) -> None:
    """x[index] += values, as often as a place is named; in the way of setitem"""
    _change(x, index, values, np.add.at, _added)


def _change(x: Tensor, index: Any, value: Any, write: Any, made: Any) -> None:
    """write(data, index, value), or where gradients are noted x = made(x, value, index)"""
    noted = is_grad_enabled() and (x.requires_grad or getattr(value, "requires_grad", False))
    if not noted:
        data = x.data
        write(data, _parts(index), value.data if isinstance(value, Tensor) else value)
        x.data = data  # which a later backward through what was computed before notices
        return
    if x.is_leaf and x.requires_grad:
        raise RuntimeError(
            "assignment: what is learned changes where no gradients are noted.\n"
            "  got x[index] = value for a tensor with requires_grad=True\n"
            "  try with no_grad(): ..., or x.clone() for a result of its own"
        )
    if x._is_view:
        raise RuntimeError(
            "assignment: gradients go to a whole tensor, not to a view of one.\n"
            f"  got a tensor of shape {x.shape} that shares its memory\n"
            "  try x[i, j] = value in place of x[i][j] = value, or x.clone()"
        )
    before = Tensor._wrap(x.data)  # the Tensor that x is now
    before._node, before._version = x._node, x._version
    after = made(before, value, index)
    x._data, x._node, x._version = after._data, after._node, after._version


@takes_axis
def gather(x: Tensor, axis: int, index: Any) -> Tensor:
    """out[i, j, k] = x[i, index[i, j, k], k] for axis 1, and so on; index is an integer array with
    as many axes as x"""
    index = index if isinstance(index, Tensor) else Tensor(index)
    if index.size == 0:
        return getitem(x.reshape(-1), slice(0)).reshape(*index.shape)
    index = _checked("gather", x, axis, index)
    return getitem(x, _grid(x, axis, index))


@procedure
def _check_places(index, n, name):
    if np.min(index) < 0 or np.max(index) >= n:
        raise IndexError(
            f"{name}: every index must lie between 0 and {n - 1}.\n"
            f"  got {np.min(index)} to {np.max(index)}\n  try numpy.mod(index, {n})"
        )


def _grid(x: Tensor, axis: int, index: Any) -> tuple:
    """The places (i, index[i, j, k], k), ... that `index` names along an axis of x"""
    grid: list[Any] = [constant(a) for a in np.ogrid[tuple(slice(n) for n in index.shape)]]
    grid[axis % x.ndim] = index
    return tuple(grid)


def _checked(name: str, x: Tensor, axis: int, index: Any) -> Tensor:
    """`index` as a Tensor; ValueError unless it has as many axes as x, IndexError for places that
    x does not have"""
    index = index if isinstance(index, Tensor) else Tensor(index)
    if not -x.ndim <= axis < x.ndim or index.ndim != x.ndim or index.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: x has the axis, and the index, of integers, has as many axes as x.\n"
            f"  got axis={axis} and an index {index.shape} of {index.dtype} for shape {x.shape}\n"
            "  try x[index]"
        )
    if index.size:
        _check_places(index.data, x.shape[axis], name)
    return index


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
def scatter(x: Tensor, axis: int, index: Any, source: Any) -> Tensor:
    """x with out[i, index[i, j, k], k] = source[i, j, k] for axis 1, and so on. `source` is a
    number or at least as large as index; of two for one place, the last counts."""
    index = _checked("scatter", x, axis, index)
    return _placed(x, _part(source, index), _grid(x, axis, index))


@takes_axis
def scatter_add(x: Tensor, axis: int, index: Any, source: Any) -> Tensor:
    """x with out[i, index[i, j, k], k] += source[i, j, k] for axis 1, and so on"""
    index = _checked("scatter_add", x, axis, index)
    return _added(x, _part(source, index), _grid(x, axis, index))


@takes_axis
def scatter_reduce(
    x: Tensor, axis: int, index: Any, source: Tensor, reduce: str, include_self: bool = True
) -> Tensor:
    """x with each element that `index` names, see scatter, replaced by the sum, prod, mean, amax or
    amin of itself (unless include_self is False) and what of `source` goes there"""
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
def index_select(x: Tensor, axis: int, index: Any) -> Tensor:
    """The slices of x along an axis that `index` (n,) names"""
    return getitem(x, _along(x, axis, index))


@takes_axis
def index_add(x: Tensor, axis: int, index: Any, source: Any, alpha: float = 1) -> Tensor:
    """x with alpha times the slices of `source` added to those that `index` (n,) names"""
    _check_slices("index_add", x, axis, index, source)
    return _added(x, source if alpha == 1 else source * alpha, _along(x, axis, index))


@takes_axis
def index_copy(x: Tensor, axis: int, index: Any, source: Any) -> Tensor:
    """x with the slices that `index` (n,) names replaced by those of `source`"""
    _check_slices("index_copy", x, axis, index, source)
    return _placed(x, source, _along(x, axis, index))


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


@takes_axis
def index_fill(x: Tensor, axis: int, index: Any, value: Any) -> Tensor:
    """x with `value` in the slices that `index` (n,) names"""
    return _placed(x, value, _along(x, axis, index))


def _along(x: Tensor, axis: int, index: Any) -> tuple:
    (axis,) = np.lib.array_utils.normalize_axis_tuple(axis, x.ndim, "axis")
    return (
        *[slice(None)] * axis,
        index if isinstance(index, Tensor) else constant(np.asarray(index)),
    )


def take(x: Tensor, index: Any) -> Tensor:
    """Elements by their place in x seen as one row"""
    return getitem(x.reshape(-1), index)


def masked_select(x: Tensor, mask: Any) -> Tensor:
    """The elements of x where the mask is true, one behind the other"""
    mask = mask if isinstance(mask, Tensor) else Tensor(mask)
    shape = np.broadcast_shapes(x.shape, mask.shape)
    return getitem(x.expand(shape), mask.expand(shape))


@op
def nonzero(x):
    """(n, axes of x) int64: where x is not 0"""
    return np.argwhere(x), None


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

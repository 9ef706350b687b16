"""Ops that pick elements, and that put them: x[index], gather, scatter and their kin."""

from typing import Any

import numpy as np

from tinygrad_lite.broadcasting import is_array, unbroadcast
from tinygrad_lite.kernels.watch import constant, procedure
from tinygrad_lite.ops.axes import place_of, takes_axis
from tinygrad_lite.tensor import Tensor, as_tensor, is_grad_enabled, op


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
    """An index as a tuple of numbers, slices and arrays, which nobody changes before backward"""
    parts = index if isinstance(index, tuple) else (index,)
    return tuple(i.data if isinstance(i, Tensor) else _copied(i) for i in parts)


def _copied(part):
    if isinstance(part, list):
        return [_copied(i) for i in part]
    return part.copy() if isinstance(part, np.ndarray) else part


def _fits(x, values, name):
    """TypeError for fractions that are put among integers"""
    kind = getattr(values, "dtype", np.asarray(values).dtype if np.isscalar(values) else x.dtype)
    if np.dtype(kind).kind == "f" and x.dtype.kind != "f":
        raise TypeError(
            f"{name}: fractions do not fit into a tensor of integers.\n"
            f"  got {kind} for a tensor of {x.dtype}\n  try x.float(), or values.astype('int64')"
        )


def _is_basic(parts):
    """Whether no element can be named twice"""
    return all(isinstance(i, int | np.integer | slice | None | type(...)) for i in parts)


@op
def _placed(x, values, index):
    """A copy of x with x[index] = values; of values for one place, the last counts."""
    _fits(x, values, "scatter")
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
    _fits(x, values, "scatter_add")
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
    as many axes as x

    >>> tg.gather(Tensor([[1, 2], [3, 4]]), 1, Tensor([[1], [0]])).tolist()
    [[2], [3]]
    """
    index = _own(index)
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


def _own(index: Any) -> Tensor:
    """An index as a Tensor that shares no array with the caller, who may change that"""
    if isinstance(index, Tensor):
        return index
    return Tensor(index.copy() if isinstance(index, np.ndarray) else index)


def _grid(x: Tensor, axis: int, index: Any) -> tuple:
    """The places (i, index[i, j, k], k), ... that `index` names along an axis of x"""
    grid: list[Any] = [constant(a) for a in np.ogrid[tuple(slice(n) for n in index.shape)]]
    grid[place_of(axis, x.ndim)] = index
    return tuple(grid)


def _checked(name: str, x: Tensor, axis: int, index: Any) -> Tensor:
    """`index` as a Tensor; ValueError unless it has as many axes as x, IndexError for places that
    x does not have"""
    index = _own(index)
    if not -x.ndim <= axis < x.ndim or index.ndim != x.ndim or index.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: x has the axis, and the index, of integers, has as many axes as x.\n"
            f"  got axis={axis} and an index {index.shape} of {index.dtype} for shape {x.shape}\n"
            "  try x[index]"
        )
    if index.size:
        _check_places(index.data, x.shape[axis], name)
    return index


@takes_axis
def index_select(x: Tensor, axis: int, index: Any) -> Tensor:
    """The slices of x along an axis that `index` (n,), of integers, names

    >>> tg.index_select(Tensor([1, 2, 3]), 0, Tensor([2, 0])).tolist()
    [3, 1]
    """
    index = index if isinstance(index, Tensor) or is_array(index) else constant(np.asarray(index))
    if index.ndim > 1 or index.dtype.kind not in "iu":
        raise ValueError(
            "index_select: the index is a row of integers.\n"
            f"  got {index.dtype} {index.shape}\n  try x[index]"
        )
    return getitem(x, _along(x, axis, index))


def _along(x: Tensor, axis: int, index: Any) -> tuple:
    (axis,) = np.lib.array_utils.normalize_axis_tuple(axis, x.ndim, "axis")
    return (
        *[slice(None)] * axis,
        index if isinstance(index, Tensor) or is_array(index) else constant(np.asarray(index)),
    )


def take(x: Tensor, index: Any) -> Tensor:
    """Elements by their place in x seen as one row

    >>> tg.take(Tensor([[1, 2], [3, 4]]), Tensor([3, 0])).tolist()
    [4, 1]
    """
    return getitem(x.reshape(-1), index)


def check_mask(name: str, mask: Any) -> Tensor:
    """The mask as a Tensor; TypeError for numbers, which would be places"""
    mask = as_tensor(mask)
    if mask.dtype.kind != "b":
        raise TypeError(
            f"{name}: a mask says yes or no for each element.\n"
            f"  got a mask of {mask.dtype}\n  try mask.bool(), or x[index] for places"
        )
    return mask


def masked_select(x: Tensor, mask: Any) -> Tensor:
    """The elements of x where the mask is true, one behind the other

    >>> tg.masked_select(Tensor([1, 2, 3]), Tensor([True, False, True])).tolist()
    [1, 3]
    """
    mask = check_mask("masked_select", mask)
    shape = np.broadcast_shapes(x.shape, mask.shape)
    return getitem(x.expand(shape), mask.expand(shape))


@op
def nonzero(x):
    """(n, axes of x) int64: where x is not 0

    >>> tg.argwhere(Tensor([0, 3, 0, 5])).tolist()
    [[1], [3]]
    """
    return np.argwhere(x), None


argwhere = nonzero


@op
def one_hot(x, num_classes):
    """(..., num_classes) float32: 1 at the position that x, an integer array, names

    >>> tg.one_hot(Tensor([1, 0]), 3).tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
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

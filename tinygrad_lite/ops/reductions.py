"""Ops that reduce axes: sums, extremes, statistics.

`axis` is None (all axes), a number or a tuple; `keepdim` keeps reduced axes with size 1.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lite.kernels import sums
from tinygrad_lite.ops.axes import takes_axis
from tinygrad_lite.ops.elementwise import abs, astype, div, floating, maximum, sign, sub
from tinygrad_lite.ops.transcendental import exp, log
from tinygrad_lite.tensor import Tensor, op


def _axes(x, axis) -> tuple[int, ...]:
    """`axis` as a tuple of numbers from 0 up."""
    if axis is None:
        return tuple(range(np.ndim(x)))
    given = axis if isinstance(axis, tuple | list) else (axis,)
    return np.lib.array_utils.normalize_axis_tuple(given, np.ndim(x), "axis")


def _count(x, axis) -> int:
    return int(np.prod([np.shape(x)[i] for i in _axes(x, axis)], dtype=int))


def _kept(y, x, axis):
    """A reduced array with its reduced axes put back, size 1."""
    axes = _axes(x, axis)
    return np.reshape(y, [1 if i in axes else n for i, n in enumerate(np.shape(x))])


@takes_axis
@op
def sum(x, axis=None, keepdim=False):
    """The sum over an axis, several, or all; integers and booleans as int64

    >>> Tensor([[1, 2], [3, 4]]).sum(0).tolist()
    [4, 6]
    """
    y = sums.sum_axes(x, _axes(x, axis), keepdim)
    return y, lambda g: (np.broadcast_to(_kept(g, x, axis), np.shape(x)),)


def _sum_dtype(x):
    """Integers and booleans are added as int64."""
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.int64)


@takes_axis
@op
def max(x, axis=None, keepdim=False):
    """The largest element; equal ones share the gradient.

    >>> Tensor([1, 5, 3]).max().tolist()
    5
    """
    return _extreme(np.max, x, axis, keepdim)


@takes_axis
@op
def min(x, axis=None, keepdim=False):
    """The smallest element; equal ones share the gradient.

    >>> Tensor([1, 5, 3]).min().tolist()
    1
    """
    return _extreme(np.min, x, axis, keepdim)


def _extreme(function, x, axis, keepdim):
    y = function(x, axis=_axes(x, axis), keepdims=keepdim)

    def vjp(g):
        is_it = np.equal(x, _kept(y, x, axis)).astype(x.dtype)
        share = is_it / np.sum(is_it, axis=_axes(x, axis), keepdims=True)
        return (share * _kept(g, x, axis),)

    return y, vjp


@takes_axis
@op
def prod(x, axis=None, keepdim=False):
    """The product of the elements, with exact gradients also where elements are 0.

    >>> Tensor([2, 3, 4]).prod().tolist()
    24
    """
    axes = _axes(x, axis)
    y = np.prod(x, axis=axes, keepdims=keepdim, dtype=_sum_dtype(x))

    def vjp(g):
        # d(product)/dx[i] is the product of all others: of those before i times those after.
        rest = [i for i in range(x.ndim) if i not in axes]
        flat = np.transpose(x, (*rest, *axes))
        shape = flat.shape
        flat = flat.reshape(*shape[: len(rest)], _count(x, axis))
        before, after = np.ones_like(flat), np.ones_like(flat)
        np.cumprod(flat[..., :-1], axis=-1, out=before[..., 1:])
        np.cumprod(flat[..., :0:-1], axis=-1, out=after[..., -2::-1])
        back = sorted(range(x.ndim), key=[*rest, *axes].__getitem__)
        others = np.transpose((before * after).reshape(shape), back)
        return (others * _kept(g, x, axis),)

    return y, vjp


@takes_axis
@op
def argmax(x, axis=None, keepdim=False):
    """Where the largest element is (the first of equals), int64

    >>> Tensor([1, 5, 3]).argmax().tolist()
    1
    """
    return np.argmax(x, axis=axis, keepdims=keepdim), None


@takes_axis
@op
def argmin(x, axis=None, keepdim=False):
    """Where the smallest element is (the first of equals), int64

    >>> Tensor([1, 5, 3]).argmin().tolist()
    0
    """
    return np.argmin(x, axis=axis, keepdims=keepdim), None


@takes_axis
@op
def any(x, axis=None, keepdim=False):
    """Whether an element is not 0

    >>> Tensor([True, False]).any().tolist()
    True
    """
    return np.any(x, axis=_axes(x, axis), keepdims=keepdim), None


@takes_axis
@op
def all(x, axis=None, keepdim=False):
    """Whether no element is 0

    >>> Tensor([True, False]).all().tolist()
    False
    """
    return np.all(x, axis=_axes(x, axis), keepdims=keepdim), None


@takes_axis
@op
def count_nonzero(x, axis=None, keepdim=False):
    """How many elements are not 0, int64

    >>> Tensor([0, 3, 5]).count_nonzero().tolist()
    2
    """
    return np.sum(np.not_equal(x, 0), axis=_axes(x, axis), keepdims=keepdim, dtype=np.int64), None


def _in_float32(function: Callable) -> Callable:
    """float16 numbers, whose sums may be beyond 65,504 where the result is not, computed in float32
    and rounded at the end"""

    @functools.wraps(function)
    def call(x: Any, *args: Any, **settings: Any) -> Tensor:
        x = _tensor(x)
        if x.dtype != np.float16:
            return function(x, *args, **settings)
        return astype(function(astype(x, np.float32), *args, **settings), np.float16)

    return call


@takes_axis
@_in_float32
def mean(x: Any, axis: Any = None, keepdim: bool = False) -> Tensor:
    """The mean over an axis, several, or all

    >>> Tensor([[1.0, 2.0], [3.0, 4.0]]).mean(0).tolist()
    [2.0, 3.0]
    """
    x = _tensor(x)
    return div(sum(x, axis, keepdim), _count(x.data, axis))


@takes_axis
@_in_float32
def var(x: Any, axis: Any = None, keepdim: bool = False, correction: int = 1) -> Tensor:
    """Variance: the sum of squared deviations divided by (count - correction)

    >>> Tensor([1.0, 3.0]).var().tolist()
    2.0
    """
    x = _tensor(x)
    deviation = sub(x, mean(x, axis, True))
    count = np.maximum(_count(x.data, axis) - correction, 0)
    return div(sum(deviation * deviation, axis, keepdim), float(count))


@takes_axis
@_in_float32
def std(x: Any, axis: Any = None, keepdim: bool = False, correction: int = 1) -> Tensor:
    """Standard deviation: the square root of `var`; its derivative is 0 where it is 0.

    >>> Tensor([1.0, 3.0]).std().tolist()
    1.4142
    """
    return _deviation(var(x, axis, keepdim, correction))


@op
def _deviation(variance):
    y = np.sqrt(variance)
    return y, lambda g: (np.where(y == 0, 0, g / (2 * np.where(y == 0, 1, y))).astype(y.dtype),)


@takes_axis
def var_mean(
    x: Any, axis: Any = None, keepdim: bool = False, correction: int = 1
) -> tuple[Tensor, Tensor]:
    """`var` and `mean`

    >>> [y.tolist() for y in tg.var_mean(Tensor([1.0, 3.0]))]
    [2.0, 2.0]
    """
    return var(x, axis, keepdim, correction), mean(x, axis, keepdim)


@takes_axis
def std_mean(
    x: Any, axis: Any = None, keepdim: bool = False, correction: int = 1
) -> tuple[Tensor, Tensor]:
    """`std` and `mean`

    >>> [y.tolist() for y in tg.std_mean(Tensor([1.0, 3.0]))]
    [1.4142, 2.0]
    """
    return std(x, axis, keepdim, correction), mean(x, axis, keepdim)


@takes_axis
@_in_float32
def norm(x: Any, p: float = 2, axis: Any = None, keepdim: bool = False) -> Tensor:
    """(sum of |x|^p)^(1/p); p = inf: the largest |x|, -inf: the smallest, 0: how many are not 0.
    The derivative of a norm that is 0 is 0.

    >>> tg.norm(Tensor([3.0, 4.0])).tolist()
    5.0
    """
    x = _tensor(x)
    x = x if x.dtype.kind == "f" else astype(x, np.float32)
    if p == 2:  # without absolute values, which have no second derivative at 0
        return _deviation(sum(x * x, axis, keepdim))
    x = abs(x)
    if p == np.inf:
        return max(x, axis, keepdim)
    if p == -np.inf:
        return min(x, axis, keepdim)
    if p == 0:
        return sum(sign(x), axis, keepdim)
    if p == 1:
        return sum(x, axis, keepdim)
    zero = x == 0
    terms = x.masked_fill(zero, 1) ** p
    if p < 0:
        total, none = sum(terms, axis, keepdim), any(zero, axis, keepdim)
    else:
        total = sum(terms.masked_fill(zero, 0), axis, keepdim)
        none = total == 0
    return (total.masked_fill(none, 1) ** (1 / p)).masked_fill(none, 0)


@takes_axis
def normalize(x: Any, p: float = 2, axis: Any = 1, eps: float = 1e-12) -> Tensor:
    """x divided by its norm along an axis, or by eps where that is larger

    >>> tg.normalize(Tensor([[3.0, 4.0]])).tolist()
    [[0.6, 0.8]]
    """
    return div(x, maximum(norm(x, p, axis, True), eps))


@takes_axis
def logsumexp(x: Any, axis: Any = None, keepdim: bool = False) -> Tensor:
    """log(sum(exp(x))), without overflow; float32 for integers

    >>> tg.logsumexp([0, 0], 0).tolist()
    0.6931
    """
    x = _tensor(x)
    largest = _largest_finite(x, axis)
    total = sum(exp(sub(x, largest)), axis, keepdim)
    return log(total) + largest.reshape(total.shape)


@op
def _largest_finite(x, axis):
    """The largest element along `axis`, kept as an axis of size 1; 0 where it is infinite. It is
    subtracted and added again: no gradient passes through it."""
    x = floating(x)
    largest = np.max(x, axis=_axes(x, axis), keepdims=True, initial=-np.inf)
    return np.where(np.isfinite(largest), largest, 0).astype(x.dtype), None


def _tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else Tensor(x)

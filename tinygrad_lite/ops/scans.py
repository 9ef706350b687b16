"""Running sums, products and extremes along an axis."""

import numpy as np

from tinygrad_lite.kernels import sums
from tinygrad_lite.kernels.scans import reversed_products
from tinygrad_lite.ops.axes import place_of, takes_axis
from tinygrad_lite.ops.elementwise import floating
from tinygrad_lite.ops.indexing import gather
from tinygrad_lite.ops.sorting import Ordered
from tinygrad_lite.tensor import Tensor, op


@takes_axis
@op
def cumsum(x, axis=0):
    """y[i] = x[0] + ... + x[i] along an axis

    >>> tg.cumsum([1, 2, 3], 0).tolist()
    [1, 3, 6]
    """
    return sums.cumsum(x, axis), lambda g: (sums.cumsum(g, axis, reverse=True),)


@takes_axis
@op
def cumprod(x, axis=0):
    """y[i] = x[0] * ... * x[i] along an axis, with exact gradients also where elements are 0

    >>> tg.cumprod([1, 2, 3], 0).tolist()
    [1, 2, 6]
    """
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.int64)
    y = np.cumprod(x, axis=axis, dtype=dtype).reshape(x.shape)

    def vjp(g):
        # dx[i] = (product of those before i) * (g[i] + x[i+1] * (g[i+1] + x[i+2] * ...))
        if x.ndim == 0:
            return (g,)
        before = np.ones_like(y)
        cut = (slice(None),) * place_of(axis, x.ndim)
        before[(*cut, slice(1, None))] = y[(*cut, slice(None, -1))]
        return (before * reversed_products(g, x, axis),)

    return y, vjp


@takes_axis
def cummax(x: Tensor, axis: int = 0) -> Ordered:
    """The largest of x[0] to x[i], and where it is, the last of equals

    >>> [y.tolist() for y in tg.cummax(Tensor([1, 3, 2]), 0)]
    [[1, 3, 3], [0, 1, 1]]
    """
    return _running(x, axis, True)


@takes_axis
def cummin(x: Tensor, axis: int = 0) -> Ordered:
    """The smallest of x[0] to x[i], and where it is, the last of equals

    >>> [y.tolist() for y in tg.cummin(Tensor([2, 1, 3]), 0)]
    [[2, 1, 1], [0, 1, 1]]
    """
    return _running(x, axis, False)


def _running(x: Tensor, axis: int, largest: bool) -> Ordered:
    if x.ndim == 0:
        values, places = _running(x.reshape(1), 0, largest)
        return Ordered(values.reshape(()), places.reshape(()))
    places = _running_places(x, axis, largest)
    return Ordered(gather(x, axis, places), places)


@op
def _running_places(x, axis, largest):
    """Where the extreme of x[0] to x[i] is; NaN is more extreme than all numbers."""
    extremes = (np.maximum if largest else np.minimum).accumulate(x, axis=axis)
    shape = [-1 if i == place_of(axis, x.ndim) else 1 for i in range(x.ndim)]
    places = np.broadcast_to(np.arange(x.shape[axis], like=x).reshape(shape), x.shape)
    there = np.logical_or(np.equal(x, extremes), np.not_equal(x, x))
    return np.maximum.accumulate(np.where(there, places, 0), axis=axis), None


@takes_axis
@op
def logcumsumexp(x, axis=0):
    """y[i] = log(exp(x[0]) + ... + exp(x[i])) along an axis, without overflow

    >>> tg.logcumsumexp([0, 0], 0).tolist()
    [0.0, 0.6931]
    """
    x = floating(x)
    if x.ndim == 0:
        return x.copy(), lambda g: (g,)
    y = np.logaddexp.accumulate(x, axis=axis)

    def vjp(g):
        # dx[i] = exp(x[i]) * (sum of g[j] exp(-y[j]) for j from i on), each sign by itself
        dx = np.zeros_like(x)
        for sign in (1, -1):
            terms = np.where(sign * g > 0, np.log(np.where(sign * g > 0, sign * g, 1)) - y, -np.inf)
            summed = np.flip(np.logaddexp.accumulate(np.flip(terms, axis), axis=axis), axis)
            dx = dx + sign * np.exp(x + summed)
        return (dx,)

    return y, vjp

"""Products of vectors, matrices and batches of them, composed from `matmul`, and distances."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_lite.kernels.watch import constant
from tinygrad_lite.ops.axes import place_of, takes_axis
from tinygrad_lite.ops.indexing import getitem, index_select
from tinygrad_lite.ops.joining import cat, stack
from tinygrad_lite.ops.matmul import matmul
from tinygrad_lite.ops.movement import expand, meshgrid, permute, reshape, roll
from tinygrad_lite.ops.reductions import norm
from tinygrad_lite.ops.reductions import sum as sum_
from tinygrad_lite.tensor import Tensor, as_tensor


def outer(a: Tensor, b: Tensor) -> Tensor:
    """(n,), (m,) -> (n, m): each number of a times each of b

    >>> tg.outer(Tensor([1, 2]), Tensor([3, 4])).tolist()
    [[3, 4], [6, 8]]
    """
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(
            "outer: both are vectors.\n"
            f"  got shapes {a.shape} and {b.shape}\n  try a.ravel() and b.ravel()"
        )
    return reshape(a, -1, 1) * b


def inner(a: Tensor, b: Tensor) -> Tensor:
    """(..., k), (---, k) -> (..., ---): sums of products along the last axes

    >>> tg.inner(Tensor([1.0, 2.0]), Tensor([3.0, 4.0])).tolist()
    11.0
    """
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return tensordot(a, b, ([-1], [-1]))


@takes_axis
def tensordot(a: Tensor, b: Tensor, axis: Any = 2) -> Tensor:
    """Sums of products along so many last axes of a and first ones of b, or along two lists of
    axes; the others of a come first, then those of b. PyTorch's `dims`.

    >>> tg.tensordot(tg.ones(2, 3), tg.ones(3, 2), 1).tolist()
    [[3.0, 3.0], [3.0, 3.0]]
    """
    if isinstance(axis, int):
        axis = [range(a.ndim - axis, a.ndim), range(axis)]
    ours, theirs = ([*given] if isinstance(given, Sequence) else [given] for given in axis)
    ours, theirs = [place_of(i, a.ndim) for i in ours], [place_of(i, b.ndim) for i in theirs]
    if [a.shape[i] for i in ours] != [b.shape[i] for i in theirs]:
        raise ValueError(
            "tensordot: axes along which products are added have the same lengths.\n"
            f"  got axes {ours} of {a.shape} and {theirs} of {b.shape}\n  try other axes"
        )
    rows = [i for i in range(a.ndim) if i not in ours]
    columns = [i for i in range(b.ndim) if i not in theirs]
    count = math.prod(a.shape[i] for i in ours)
    left = reshape(permute(a, *rows, *ours), math.prod(a.shape[i] for i in rows), count)
    right = reshape(permute(b, *theirs, *columns), count, math.prod(b.shape[i] for i in columns))
    shape = [*(a.shape[i] for i in rows), *(b.shape[i] for i in columns)]
    return reshape(matmul(left, right), *shape)


def vdot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of two vectors

    >>> tg.vdot(Tensor([1.0, 2.0]), Tensor([3.0, 4.0])).tolist()
    11.0
    """
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(
            f"vdot: two vectors of one length.\n  got {a.shape} and {b.shape}\n  try a @ b"
        )
    return matmul(a, b)


def _plus(x: Any, product: Tensor, beta: float, alpha: float) -> Tensor:
    """beta x + alpha product; x, and what in it is no number, does not count where beta is 0"""
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return expand(product, np.broadcast_shapes(np.shape(x), product.shape))
    return (x if beta == 1 else x * beta) + product


def addmm(x: Any, a: Tensor, b: Tensor, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta x + alpha (a @ b), of matrices a (n, k) and b (k, m)

    >>> tg.addmm(Tensor([10.0, 20.0]), Tensor([[1.0, 2.0]]),
    ... Tensor([[1.0, 0.0], [0.0, 1.0]])).tolist()
    [[11.0, 22.0]]
    """
    return _plus(x, matmul(a, b), beta, alpha)


def addmv(x: Any, a: Tensor, v: Tensor, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta x + alpha (a @ v), of a matrix a (n, k) and a vector v (k,)

    >>> tg.addmv(Tensor([10.0, 20.0]), Tensor([[1.0, 2.0], [3.0, 4.0]]),
    ... Tensor([1.0, 1.0])).tolist()
    [13.0, 27.0]
    """
    return _plus(x, matmul(a, v), beta, alpha)


def addr(x: Any, v: Tensor, w: Tensor, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta x + alpha outer(v, w)

    >>> tg.addr(tg.zeros(2, 2), Tensor([1.0, 2.0]), Tensor([3.0, 4.0])).tolist()
    [[3.0, 4.0], [6.0, 8.0]]
    """
    return _plus(x, outer(v, w), beta, alpha)


def baddbmm(x: Any, a: Tensor, b: Tensor, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta x + alpha (a @ b), of batches a (B, n, k) and b (B, k, m)

    >>> tg.baddbmm(tg.ones(1, 1, 1), tg.ones(1, 1, 2), tg.ones(1, 2, 1)).tolist()
    [[[3.0]]]
    """
    return _plus(x, matmul(a, b), beta, alpha)


def addbmm(x: Any, a: Tensor, b: Tensor, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta x + alpha times the sum over the batch of a (B, n, k) @ b (B, k, m)

    >>> tg.addbmm(tg.zeros(1, 1), tg.ones(3, 1, 2), tg.ones(3, 2, 1)).tolist()
    [[6.0]]
    """
    return _plus(x, sum_(matmul(a, b), 0), beta, alpha)


def kron(a: Tensor, b: Tensor) -> Tensor:
    """Kronecker's product: each number of a times the whole of b, in its place

    >>> tg.kron(Tensor([1, 2]), Tensor([1, 10])).tolist()
    [1, 10, 2, 20]
    """
    axes = max(a.ndim, b.ndim)
    first, second = (reshape(t, *[1] * (axes - t.ndim), *t.shape) for t in (a, b))
    pairs = zip(first.shape, second.shape, strict=True)
    blocks = (first.reshape(*itertools.chain(*((n, 1) for n in first.shape)))
              * second.reshape(*itertools.chain(*((1, n) for n in second.shape))))  # fmt: skip
    return reshape(blocks, *[n * m for n, m in pairs])


@takes_axis
def cross(a: Tensor, b: Tensor, axis: int = -1) -> Tensor:
    """The vector product along an axis of 3

    >>> tg.cross(Tensor([1.0, 0.0, 0.0]), Tensor([0.0, 1.0, 0.0])).tolist()
    [0.0, 0.0, 1.0]
    """
    if a.shape[axis] != 3 or b.shape[axis] != 3 or a.ndim != b.ndim:
        raise ValueError(
            "cross: both have as many axes, and the one named has three numbers.\n"
            f"  got shapes {a.shape} and {b.shape}, axis {axis}\n  try axis=..."
        )
    return roll(a, -1, axis) * roll(b, -2, axis) - roll(a, -2, axis) * roll(b, -1, axis)


def bilinear(a: Tensor, b: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    """(..., I), (..., J), weight (O, I, J) -> (..., O): a^T weight[o] b, plus a bias (O,)

    >>> tg.bilinear(Tensor([[1.0, 2.0]]), Tensor([[3.0]]), tg.ones(1, 2, 1)).tolist()
    [[9.0]]
    """
    outputs, i, j = weight.shape
    left = matmul(a, reshape(permute(weight, 1, 0, 2), i, outputs * j))
    y = sum_(reshape(left, *a.shape[:-1], outputs, j) * b.unsqueeze(-2), -1)
    return y if bias is None else y + bias


def dist(a: Tensor, b: Tensor, p: float = 2) -> Tensor:
    """The p-norm of a - b, one number

    >>> tg.dist(Tensor([0.0, 0.0]), Tensor([3.0, 4.0])).tolist()
    5.0
    """
    return norm(a - b, p)


def cdist(a: Tensor, b: Tensor, p: float = 2) -> Tensor:
    """(..., n, C), (..., m, C) -> (..., n, m): the p-norm of each row of a less each of b; takes
    memory for all n m C differences

    >>> tg.cdist(Tensor([[0.0, 0.0]]), Tensor([[3.0, 4.0]])).tolist()
    [[5.0]]
    """
    a, b = as_tensor(a), as_tensor(b)
    return norm(a.unsqueeze(-2) - b.unsqueeze(-3), p, -1)


def pdist(x: Tensor, p: float = 2) -> Tensor:
    """(n, C) -> (n (n - 1) / 2,): the p-norms of pairs of rows, (0, 1), (0, 2), ..., (1, 2), ...

    >>> tg.pdist(Tensor([[0.0, 0.0], [3.0, 4.0]])).tolist()
    [5.0]
    """
    first, second = (constant(i) for i in np.triu_indices(len(x), 1))
    return norm(index_select(x, 0, first) - index_select(x, 0, second), p, -1)


def block_diag(*matrices: Any) -> Tensor:
    """The matrices along the diagonal of one, zeros elsewhere; numbers and vectors are rows

    >>> tg.block_diag(tg.ones(1, 2), tg.ones(1, 1)).tolist()
    [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    given = [m if isinstance(m, Tensor) else Tensor(m) for m in matrices]
    for m in given:
        if m.ndim > 2:
            raise ValueError(
                "block_diag: each part is a matrix, a vector or a number.\n"
                f"  got shape {m.shape}\n  try block_diag(*x)"
            )
    wide = [m if m.ndim == 2 else reshape(m, 1, -1) for m in given]
    columns, rows, before = sum(m.shape[1] for m in wide), [], 0
    for m in wide:
        rows.append(m.pad([(0, 0), (before, columns - before - m.shape[1])]))
        before += m.shape[1]
    return cat(rows, 0)


def cartesian_prod(*vectors: Tensor) -> Tensor:
    """(n,), (m,), ... -> (n m ..., vectors): each number of the first with each of the others

    >>> tg.cartesian_prod(Tensor([1, 2]), Tensor([3, 4])).tolist()
    [[1, 3], [1, 4], [2, 3], [2, 4]]
    """
    if len(vectors) == 1:
        return vectors[0]
    return stack([reshape(grid, -1) for grid in meshgrid(*vectors)], -1)


def combinations(x: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """(n,) -> (combinations, r): each choice of r numbers, in their order

    >>> tg.combinations(Tensor([1, 2, 3])).tolist()
    [[1, 2], [1, 3], [2, 3]]
    """
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(choose(range(len(x)), r)), np.int64).reshape(-1, r)
    return getitem(x, constant(places))


def cov(x: Tensor, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Tensor:
    """(variables, n) -> (variables, variables): covariances of what was seen n times

    fweights   (n,) how often each was seen
    aweights   (n,) how much each counts

    >>> tg.cov(Tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    x = x.float() if x.dtype.kind != "f" else x
    rows = reshape(x, 1, -1) if x.ndim < 2 else x
    if fweights is None and aweights is None:
        centred = rows - rows.mean(1, True)
        count = max(rows.shape[1] - correction, 0)
        y = matmul(centred, centred.transpose()) / float(count)
    else:
        given = [t if isinstance(t, Tensor) else Tensor(t) for t in (fweights, aweights)
                 if t is not None]  # fmt: skip
        w = given[0] if len(given) == 1 else given[0] * given[1]
        total = w.sum()
        centred = rows - sum_(rows * w, 1, True) / total
        less = (w * aweights).sum() / total if aweights is not None else 1.0
        count = (total - correction * less).clip(min=0)
        y = matmul(centred * w, centred.transpose()) / count
    return y if y.size != 1 else reshape(y, ())


def corrcoef(x: Tensor) -> Tensor:
    """(variables, n) -> (variables, variables): correlations, between -1 and 1

    >>> tg.corrcoef(Tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    c = cov(x)
    if c.ndim == 0:
        return c / c
    deviation = c.diagonal().sqrt()
    return (c / deviation.unsqueeze(-1) / deviation).clip(-1, 1)

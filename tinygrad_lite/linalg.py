"""Linear algebra, `tg.linalg`: solutions, inverses and decompositions of matrices, or of batches.

NumPy's LAPACK computes the values, in float32 or float64; integers become float32. The derivatives
are those of M. Giles, "Collected matrix derivative results" (2008), and J. Townsend's of the QR and
the singular value decomposition (2016, 2018). Where they do not exist, as for equal eigenvalues,
they are infinite or NaN. A matrix without inverse raises numpy.linalg.LinAlgError, a ValueError.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_lite.broadcasting import unbroadcast
from tinygrad_lite.functional.products import cross as cross
from tinygrad_lite.kernels.watch import constant
from tinygrad_lite.ops.axes import place_of, takes_axis
from tinygrad_lite.ops.elementwise import where
from tinygrad_lite.ops.joining import cat
from tinygrad_lite.ops.matmul import matmul, product
from tinygrad_lite.ops.movement import clone, flatten, reshape, tril, triu
from tinygrad_lite.ops.movement import diagonal as _diagonal
from tinygrad_lite.ops.reductions import norm as vector_norm
from tinygrad_lite.ops.reductions import sum as sum_
from tinygrad_lite.tensor import Tensor, as_tensor, op


def _square(name: str, x: Tensor) -> Tensor:
    x = as_tensor(x)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(
            f"{name}: a square matrix, or a batch of them.\n"
            f"  got shape {x.shape}\n  try linalg.pinv, linalg.svd, or linalg.lstsq"
        )
    return x if x.dtype.kind == "f" else x.float()


def _t(x):
    return np.swapaxes(x, -1, -2)


def _one(x):
    """The identity, as wide as x and of its dtype"""
    return constant(np.eye(x.shape[-1], dtype=x.dtype))


# --- solutions ----------------------------------------------------------------------------------


@op
def _inverse(x):
    y = np.linalg.inv(x)
    return y, lambda g: (-product(product(_t(y), g), _t(y)),)


def inv(x: Tensor) -> Tensor:
    """(..., n, n): the matrix y with x y = 1; dx = -y^T g y^T

    >>> tg.linalg.inv(Tensor([[2.0, 0.0], [0.0, 4.0]])).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    return _inverse(_square("inv", x))


@op
def _solution(a, b):
    x = np.linalg.solve(a, b)

    def vjp(g):
        db = np.linalg.solve(_t(a), g)
        return unbroadcast(-product(db, _t(x)), a.shape), unbroadcast(db, b.shape)

    return x, vjp


def solve(a: Tensor, b: Tensor, left: bool = True) -> Tensor:
    """The x with a x = b, or x a = b where not left: a (..., n, n), b (..., n, m), or (n,), or
    (..., n) where a is a batch of as many; db = a^-T g, da = -db x^T

    >>> tg.linalg.solve(Tensor([[2.0, 0.0], [0.0, 4.0]]), Tensor([2.0, 2.0])).tolist()
    [1.0, 0.5]
    """
    a, b = _square("solve", a), as_tensor(b)
    return _solved(a, b, left, b.ndim == 1 or b.shape == a.shape[:-1])


def _solved(a: Tensor, b: Tensor, left: bool, vector: bool) -> Tensor:
    """`solve` for vectors or matrices b"""
    if not left:
        if vector:
            return _solved(a.transpose(), b, True, vector)
        return _solved(a.transpose(), b.transpose(), True, vector).transpose()
    dtype = np.result_type(a.dtype, b.dtype) if b.dtype.kind == "f" else a.dtype
    a, b = (t if t.dtype == dtype else t.astype(dtype) for t in (a, b))
    columns = b.unsqueeze(-1) if vector else b
    if columns.shape[-2] != a.shape[-1]:
        raise ValueError(
            "solve: b has a row for each row of a.\n"
            f"  got shapes {a.shape} and {b.shape}\n  try b.transpose()"
        )
    x = _solution(a, columns)
    return x.squeeze(-1) if vector else x


def solve_triangular(
    a: Tensor, b: Tensor, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """`solve` by the upper or the lower triangle of a alone, with ones on its diagonal where
    unitriangular; b is a matrix, matrices, or one vector

    >>> tg.linalg.solve_triangular(Tensor([[2.0, 0.0], [2.0, 1.0]]), Tensor([[2.0], [3.0]]),
    ... upper=False).tolist()
    [[1.0], [1.0]]
    """
    a, b = _square("solve_triangular", a), as_tensor(b)
    if unitriangular:
        a = (triu(a, 1) if upper else tril(a, -1)) + _one(a)
    else:
        a = triu(a) if upper else tril(a)
    return _solved(a, b, left, b.ndim == 1)


def lstsq(a: Tensor, b: Tensor) -> Tensor:
    """The x (..., n, m) of least |a x - b| for a (..., k, n) of full rank, and of least |x| where
    there are many: pinv(a) b

    >>> tg.linalg.lstsq(Tensor([[1.0], [1.0]]), Tensor([[1.0], [3.0]])).tolist()
    [[2.0]]
    """
    return matmul(pinv(a), b)


@op
def _pseudo_inverse(x, rcond):
    y = np.linalg.pinv(x, rcond)

    def vjp(g):
        # where the rank stays what it is  (Golub, Pereyra 1973)
        back, outside = _t(g), _one(_t(x)) - product(x, y)
        within = -product(product(_t(y), g), _t(y))
        rows = product(product(outside, back), product(y, _t(y)))
        columns = product(product(_t(y), y), product(back, _one(x) - product(y, x)))
        return (within + rows + columns,)

    return y, vjp


def pinv(x: Tensor, rcond: float | None = None) -> Tensor:
    """(..., n, m) -> (..., m, n): the pseudo-inverse  (Moore, Penrose); singular values below rcond
    times the largest count as 0, and its derivative is that among matrices of the same rank

    >>> tg.linalg.pinv(Tensor([[1.0], [1.0]])).tolist()
    [[0.5, 0.5]]
    """
    x = x if x.dtype.kind == "f" else x.float()
    if rcond is None:
        rcond = max(x.shape[-2:]) * float(np.finfo(x.dtype).eps)
    return _pseudo_inverse(x, rcond)


# --- determinants -------------------------------------------------------------------------------


class SignLogDet(NamedTuple):
    """The sign of a determinant, and the logarithm of its absolute value"""

    sign: Tensor
    logabsdet: Tensor


@op
def _sign_of_determinant(x):
    return np.linalg.slogdet(x)[0], None


@op
def _log_determinant(x):
    def vjp(g):
        return (g[..., None, None] * _t(np.linalg.inv(x)),)

    return np.linalg.slogdet(x)[1], vjp


def slogdet(x: Tensor) -> SignLogDet:
    """(..., n, n) -> sign and log |det x|, both (...); dx = g x^-T

    >>> [y.tolist() for y in tg.linalg.slogdet(Tensor([[0.0, 1.0], [1.0, 0.0]]))]
    [-1.0, 0.0]
    """
    x = _square("slogdet", x)
    return SignLogDet(_sign_of_determinant(x), _log_determinant(x))


def logdet(x: Tensor) -> Tensor:
    """log det x; NaN where it is negative

    >>> tg.linalg.logdet(Tensor([[2.0, 0.0], [0.0, 4.0]])).tolist()
    2.0794
    """
    sign, log_abs = slogdet(x)
    return where(sign < 0, math.nan, log_abs)


@op
def _determinant(x):
    y = np.linalg.det(x)

    def vjp(g):
        # the matrix of cofactors, also where x has no inverse: u, v of the decomposition, and for
        # each singular value the product of the others
        u, s, v = np.linalg.svd(x)
        sign = np.linalg.det(u) * np.linalg.det(v)
        others = np.where(np.equal(_one(s), 1), 1, s[..., None, :]).prod(-1)
        return ((g * sign)[..., None, None] * product(u * others[..., None, :], v),)

    return y, vjp


def det(x: Tensor) -> Tensor:
    """(..., n, n) -> (...): the determinant; dx = g times the matrix of cofactors

    >>> tg.linalg.det(Tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    -2.0
    """
    return _determinant(_square("det", x))


# --- decompositions -----------------------------------------------------------------------------


@op
def _cholesky(x):
    y = np.linalg.cholesky(x)

    def vjp(g):
        inner = np.tril(product(_t(y), g))
        inner = inner - 0.5 * (inner * _one(x))
        back = np.linalg.solve(_t(y), _t(np.linalg.solve(_t(y), _t(inner))))
        return (0.5 * (back + _t(back)),)

    return y, vjp


def cholesky(x: Tensor, upper: bool = False) -> Tensor:
    """(..., n, n), symmetric and positive -> the lower triangle y with y y^T = x, or the upper one
    with y^T y = x; the lower triangle of x is read, and has its gradient spread over both

    >>> tg.linalg.cholesky(Tensor([[4.0, 2.0], [2.0, 5.0]])).tolist()
    [[2.0, 0.0], [1.0, 2.0]]
    """
    y = _cholesky(_square("cholesky", x))
    return y.transpose() if upper else y


def cholesky_solve(b: Tensor, factor: Tensor, upper: bool = False) -> Tensor:
    """The x with a x = b, for the matrix a of which `factor` is the result of `cholesky`

    >>> tg.linalg.cholesky_solve(Tensor([[8.0], [16.0]]), Tensor([[2.0, 0.0], [0.0, 4.0]])).tolist()
    [[2.0], [1.0]]
    """
    lower = factor.transpose() if upper else factor
    return solve_triangular(lower.transpose(), solve_triangular(lower, b, upper=False), upper=True)


def cholesky_inverse(factor: Tensor, upper: bool = False) -> Tensor:
    """The inverse of the matrix of which `factor` is the result of `cholesky`

    >>> tg.linalg.cholesky_inverse(Tensor([[2.0, 0.0], [0.0, 4.0]])).tolist()
    [[0.25, 0.0], [0.0, 0.0625]]
    """
    return cholesky_solve(Tensor(_one(factor)).expand(factor.shape), factor, upper)


class QR(NamedTuple):
    """An orthogonal and an upper triangular matrix"""

    Q: Tensor
    R: Tensor


@op
def _triangle(x):
    """R of the reduced decomposition of x (..., n, m), n >= m"""
    q, r = np.linalg.qr(x)

    def vjp(g):
        # dx = Q sym(g R^T) R^-T, sym with the lower triangle of its negative's transpose
        m = product(g, _t(r))
        m = np.triu(m) + _t(np.triu(m, 1))
        return (_t(np.linalg.solve(r, _t(product(q, m)))),)

    return r, vjp


def qr(x: Tensor, mode: str = "reduced") -> QR:
    """(..., n, m) -> Q (..., n, k), orthogonal columns, R (..., k, m), upper triangular, Q R = x;
    k = min(n, m), or n with mode="complete", of which no gradients are noted

    >>> tg.linalg.qr(Tensor([[2.0, 0.0], [0.0, 4.0]]))[1].abs().tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    if mode not in ("reduced", "complete"):
        raise ValueError(
            f"qr: the mode is 'reduced' or 'complete'.\n  got {mode!r}\n  try 'reduced'"
        )
    x = x if x.dtype.kind == "f" else x.float()
    n, m = x.shape[-2:]
    if mode == "complete" and n > m:
        if x.requires_grad:
            raise ValueError(
                "qr: the columns beyond those of x have no derivative.\n"
                f"  got mode='complete' for shape {x.shape}\n  try mode='reduced', or x.detach()"
            )
        return QR(*(Tensor(part) for part in np.linalg.qr(x.data, "complete")))
    if n >= m:
        r = _triangle(x)
        return QR(solve(r, x, left=False) if m else x, r)
    q, r = qr(x[..., :n])
    return QR(q, matmul(q.transpose(), x))


class Eigen(NamedTuple):
    """Eigenvalues from the least on, and the vectors as columns"""

    eigenvalues: Tensor
    eigenvectors: Tensor


@op
def _eigenvalues(x):
    w, v = np.linalg.eigh(x)
    return w, lambda g: (product(v * g[..., None, :], _t(v)),)


@op
def _eigenvectors(x):
    w, v = np.linalg.eigh(x)

    def vjp(g):
        apart = w[..., None, :] - w[..., :, None] + _one(w)
        inner = product(_t(v), g) * (1 - _one(w)) / apart
        back = product(product(v, inner), _t(v))
        return (0.5 * (back + _t(back)),)

    return v, vjp


def eigh(x: Tensor) -> Eigen:
    """(..., n, n), symmetric -> eigenvalues (..., n) and vectors (..., n, n); the lower triangle is
    read. Vectors have a derivative where all values differ, up to their signs

    >>> tg.linalg.eigh(Tensor([[2.0, 1.0], [1.0, 2.0]]))[0].tolist()
    [1.0, 3.0]
    """
    x = _square("eigh", x)
    return Eigen(_eigenvalues(x), _eigenvectors(x))


def eigvalsh(x: Tensor) -> Tensor:
    """The eigenvalues alone

    >>> tg.linalg.eigvalsh(Tensor([[2.0, 1.0], [1.0, 2.0]])).tolist()
    [1.0, 3.0]
    """
    return _eigenvalues(_square("eigvalsh", x))


class SVD(NamedTuple):
    """x = U diag(S) Vh"""

    U: Tensor
    S: Tensor
    Vh: Tensor


@op
def _singular_values(x):
    u, s, v = np.linalg.svd(x, full_matrices=False)
    return s, lambda g: (product(u * g[..., None, :], v),)


def svdvals(x: Tensor) -> Tensor:
    """(..., n, m) -> (..., min(n, m)): the singular values from the largest on

    >>> tg.linalg.svdvals(Tensor([[3.0, 0.0], [0.0, 4.0]])).tolist()
    [4.0, 3.0]
    """
    return _singular_values(x if x.dtype.kind == "f" else x.float())


@op
def _left_vectors(x):
    u, s, v = np.linalg.svd(x, full_matrices=False)
    return u, lambda g: (_through_svd(u, s, v, g, None),)


@op
def _right_vectors(x):
    u, s, v = np.linalg.svd(x, full_matrices=False)
    return v, lambda g: (_through_svd(u, s, v, None, g),)


def _through_svd(u, s, v, du, dv):
    """The gradient of x from that of U, or of Vh  (Townsend 2016)"""
    one, square = _one(s), s * s
    f = (1 - one) / (square[..., None, :] - square[..., :, None] + one)
    if du is not None:
        m = product(_t(u), du)
        inner = f * (m - _t(m)) * s[..., None, :]
        x = product(product(u, inner), v)
        if u.shape[-2] == u.shape[-1]:  # nothing is outside of a square U
            return x
        rest = du - product(u, m)
        return x + product(rest / s[..., None, :], v)
    m = product(v, _t(dv))
    inner = s[..., :, None] * (f * (m - _t(m)))
    x = product(product(u, inner), v)
    if v.shape[-2] == v.shape[-1]:
        return x
    rest = dv - product(_t(m), v)
    return x + product(u / s[..., None, :], rest)


def svd(x: Tensor, full_matrices: bool = True) -> SVD:
    """(..., n, m) -> U, S, Vh with U diag(S) Vh = x: orthogonal columns and rows, and the singular
    values from the largest on. U is (..., n, n) and Vh (..., m, m) with full_matrices, of which no
    gradients are noted where x is not square; else of min(n, m) columns and rows. U and Vh have a
    derivative where all values differ, up to their signs

    >>> tg.linalg.svd(Tensor([[3.0, 0.0], [0.0, 4.0]]))[1].tolist()
    [4.0, 3.0]
    """
    x = x if x.dtype.kind == "f" else x.float()
    n, m = x.shape[-2:]
    if full_matrices and n != m:
        if x.requires_grad:
            raise ValueError(
                "svd: columns beyond those of x have no derivative.\n"
                f"  got full_matrices=True for shape {x.shape}\n  try full_matrices=False"
            )
        return SVD(*(Tensor(part) for part in np.linalg.svd(x.data, True)))
    return SVD(_left_vectors(x), _singular_values(x), _right_vectors(x))


# --- norms and powers ---------------------------------------------------------------------------


@takes_axis
def matrix_norm(
    x: Tensor, ord: Any = "fro", axis: Sequence[int] = (-2, -1), keepdim: bool = False
) -> Tensor:
    """Of the matrices on two axes: "fro" the root of the sum of squares, "nuc" the sum of singular
    values, 2 and -2 the largest and least of these, 1 and -1 the largest and least sum of |x| over
    a column, inf and -inf over a row

    >>> tg.linalg.matrix_norm(Tensor([[3.0, 0.0], [0.0, 4.0]])).tolist()
    5.0
    """
    first, second = (place_of(a, x.ndim) for a in axis)
    x = x if x.dtype.kind == "f" else x.float()
    if ord == "fro":
        return vector_norm(x, 2, (first, second), keepdim)
    moved = x.movedim((first, second), (-2, -1))
    if ord in ("nuc", 2, -2):
        s = svdvals(moved)
        y = s.sum(-1) if ord == "nuc" else s.max(-1) if ord == 2 else s.min(-1)
    elif ord in (1, -1, math.inf, -math.inf):
        sums = sum_(moved.abs(), -2 if ord in (1, -1) else -1)
        y = sums.max(-1) if ord > 0 else sums.min(-1)
    else:
        raise ValueError(
            "matrix_norm: the order is 'fro', 'nuc', or one of 1, 2 and inf with either sign.\n"
            f"  got {ord!r}\n  try linalg.vector_norm"
        )
    if not keepdim:
        return y
    for a in sorted((first, second)):
        y = y.unsqueeze(a)
    return y


@takes_axis
def norm(x: Tensor, ord: Any = None, axis: Any = None, keepdim: bool = False) -> Tensor:
    """vector_norm, or, of two axes and with an order, matrix_norm

    >>> tg.linalg.norm(Tensor([3.0, 4.0])).tolist()
    5.0
    """
    axes = axis if isinstance(axis, tuple | list) else None if axis is None else (axis,)
    if ord is None:
        return vector_norm(x, 2, axis if axis is None else tuple(axes or ()), keepdim)
    if axes is None and x.ndim == 2:
        axes = (0, 1)
    if axes is not None and len(axes) == 2:
        return matrix_norm(x, ord, axes, keepdim)
    return vector_norm(x, ord, None if axes is None else tuple(axes), keepdim)


def cond(x: Tensor, p: Any = None) -> Tensor:
    """How many times larger relative errors can become: the norm of x times that of its inverse, of
    singular values the largest by the least where p is None or 2

    >>> tg.linalg.cond(Tensor([[2.0, 0.0], [0.0, 4.0]])).tolist()
    2.0
    """
    if p in (None, 2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return matrix_norm(x, p) * matrix_norm(inv(x), p)


def matrix_rank(x: Tensor, tol: float | None = None) -> Tensor:
    """int64: how many singular values are above tol, or above rounding

    >>> tg.linalg.matrix_rank(Tensor([[1.0, 2.0], [2.0, 4.0]])).tolist()
    1
    """
    s = svdvals(x).detach()
    if s.shape[-1] == 0:
        return s.long().sum(-1)
    if tol is None:
        limit = s.max(-1, True) * (max(x.shape[-2:]) * float(np.finfo(s.dtype).eps))
    else:
        limit = Tensor(tol)
    return (s > limit).long().sum(-1)


def matrix_power(x: Tensor, n: int) -> Tensor:
    """x times itself, n times; of a negative n, of the inverse

    >>> tg.linalg.matrix_power(Tensor([[1.0, 1.0], [0.0, 1.0]]), 3).tolist()
    [[1.0, 3.0], [0.0, 1.0]]
    """
    x = _square("matrix_power", x) if x.dtype.kind == "f" or n < 0 else x
    if n < 0:
        return matrix_power(inv(x), -n)
    given, total = x, None
    while n:  # by squares
        if n % 2:
            total = x if total is None else matmul(total, x)
        n //= 2
        x = matmul(x, x) if n else x
    if total is None:
        return Tensor(_one(x)).expand(x.shape)
    return clone(total) if total is given else total


def matrix_exp(x: Tensor) -> Tensor:
    """1 + x + x^2 / 2 + x^3 / 6 + ...: 18 terms of x / 2^s, then s squares, as many as the largest
    sum of |x| over a row asks for  (Moler, Van Loan 2003); jit sees no numbers and refuses it

    >>> tg.linalg.matrix_exp(Tensor([[0.0, 1.0], [0.0, 0.0]])).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    x = _square("matrix_exp", x)
    if not x.size:
        return x * 1
    size = x.detach().abs().sum(-1).max(-1).numpy()[..., None, None].astype(np.float64)
    large = (size > 0.5) & (size < math.inf)  # each matrix for itself
    squares = np.where(large, np.ceil(np.log2(np.where(large, size, 1))) + 1, 0)
    total = one = Tensor(_one(x)).expand(x.shape)
    x = x * (0.5**squares).astype(x.dtype)
    for k in range(18, 0, -1):
        total = one + matmul(x, total) / k
    for done in range(int(squares.max())):
        more = squares > done
        part = where(more, total, one)
        total = where(more, matmul(part, part), total)
    return total


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of matrices, in the order that costs least  (dynamic programming; the first and
    the last may be vectors)

    >>> tg.linalg.multi_dot([tg.ones(1, 2), tg.ones(2, 3), tg.ones(3, 1)]).tolist()
    [[6.0]]
    """
    if len(tensors) < 2:
        raise ValueError("multi_dot: two tensors or more.\n  got fewer\n  try a @ b")
    given = [*tensors]
    row, column = given[0].ndim == 1, given[-1].ndim == 1
    given[0] = given[0].unsqueeze(0) if row else given[0]
    given[-1] = given[-1].unsqueeze(1) if column else given[-1]
    sizes = [given[0].shape[0], *(t.shape[1] for t in given)]
    count = len(given)
    best: dict[tuple[int, int], tuple[int, int]] = {(i, i): (0, i) for i in range(count)}
    for length in range(1, count):
        for i in range(count - length):
            k = i + length
            best[i, k] = min(
                (best[i, j][0] + best[j + 1, k][0] + sizes[i] * sizes[j + 1] * sizes[k + 1], j)
                for j in range(i, k)
            )

    def chained(i: int, k: int) -> Tensor:
        if i == k:
            return given[i]
        return matmul(chained(i, best[i, k][1]), chained(best[i, k][1] + 1, k))

    y = chained(0, count - 1)
    y = y.squeeze(0) if row else y
    return y.squeeze(-1) if column else y


@takes_axis
def vecdot(a: Tensor, b: Tensor, axis: int = -1) -> Tensor:
    """Sums of products along an axis

    >>> tg.linalg.vecdot(Tensor([1.0, 2.0]), Tensor([3.0, 4.0])).tolist()
    11.0
    """
    return sum_(a * b, axis)


def diagonal(x: Tensor, offset: int = 0, axis_0: int = -2, axis_1: int = -1) -> Tensor:
    """`tg.diagonal` of the last two axes

    >>> tg.linalg.diagonal(Tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [1.0, 4.0]
    """
    return _diagonal(x, offset, axis_0, axis_1)


def vander(x: Tensor, n: int | None = None) -> Tensor:
    """(..., k) -> (..., k, n): x^0, x^1, ..., x^(n - 1)

    >>> tg.linalg.vander(Tensor([2.0, 3.0]), 3).tolist()
    [[1.0, 2.0, 4.0], [1.0, 3.0, 9.0]]
    """
    x = reshape(x, 1) if x.ndim == 0 else x
    n = x.shape[-1] if n is None else n
    columns = x.unsqueeze(-1).expand((*x.shape, max(n - 1, 0)))
    ones = Tensor(constant(np.ones((*x.shape, min(n, 1)), x.dtype)))
    return cat([ones, columns.cumprod(-1)], -1)


def tensorinv(x: Tensor, ind: int = 2) -> Tensor:
    """The inverse for `tensordot` along the first `ind` axes

    >>> tg.linalg.tensorinv(tg.eye(4).reshape(4, 2, 2), 1).shape
    (2, 2, 4)
    """
    front, back = x.shape[:ind], x.shape[ind:]
    return reshape(inv(reshape(x, math.prod(front), math.prod(back))), *back, *front)


def tensorsolve(a: Tensor, b: Tensor) -> Tensor:
    """The x with tensordot(a, x, x.ndim) = b

    >>> tg.linalg.tensorsolve(tg.eye(2), tg.ones(2)).tolist()
    [1.0, 1.0]
    """
    shape = a.shape[b.ndim :]
    return reshape(solve(reshape(a, b.size, math.prod(shape)), flatten(b)), *shape)

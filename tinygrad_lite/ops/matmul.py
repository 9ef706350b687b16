"""Matrix products: `matmul` on the packed GEMM, and `dot` and `einsum` composed from it.

For C = A B with the gradient dC of C:  dA = dC B^T,  dB = A^T dC.
"""

import math
from typing import Any

import numpy as np

from tinygrad_lite.broadcasting import unbroadcast
from tinygrad_lite.kernels import int8
from tinygrad_lite.kernels.arrays import as_rows, asking, contiguous, float_dtype
from tinygrad_lite.kernels.gemm import gemm
from tinygrad_lite.kernels.watch import constant
from tinygrad_lite.ops.elementwise import mul
from tinygrad_lite.ops.movement import getitem, permute, reshape
from tinygrad_lite.ops.reductions import sum as sum_
from tinygrad_lite.tensor import Own, Tensor, as_tensor, op, telling


def _laid_out(x: np.ndarray) -> tuple[np.ndarray, bool]:
    """x (..., M, N), and whether it is given as its transpose: (array, transposed) without a copy
    where the memory allows it."""
    if x.flags.c_contiguous:
        return x, False
    flipped = np.swapaxes(x, -1, -2)
    if flipped.flags.c_contiguous:
        return flipped, True
    return contiguous(x), False


@asking
def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a (..., M, K) times b (..., K, N) for arrays; leading axes broadcast."""
    if a.dtype.kind != "f" and b.dtype.kind != "f":
        return np.matmul(a, b)
    if np.result_type(a, b) == np.float16:  # in float32, and rounded once
        return product(a.astype(np.float32), b.astype(np.float32)).astype(np.float16)
    dtype = float_dtype(*(x for x in (a, b) if x.dtype != np.float16))
    a, b = (x if x.dtype == dtype else contiguous(x, dtype) for x in (a, b))
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    if b.ndim == 2 and a.ndim > 2:  # one matrix B for all rows of A
        return product(as_rows(a), b).reshape(*batch, m, n)
    a, transpose_a = _laid_out(np.broadcast_to(a, (*batch, m, k)))
    b, transpose_b = _laid_out(np.broadcast_to(b, (*batch, k, n)))
    out = np.empty((*batch, m, n), dtype, like=a)
    count = math.prod(batch)
    gemm(
        out.reshape(count, m, n),
        a.reshape(count, *a.shape[-2:]),
        b.reshape(count, *b.shape[-2:]),
        transpose_a=transpose_a,
        transpose_b=transpose_b,
    )
    return out


def _refuse_stored(a, b):
    """TypeError for weights that Module.bfloat16() or int8() has stored: they are no numbers"""
    row = int8.SCALE + int8.BLOCK
    for one, other in ((a, b), (b, a)):
        halves = one.dtype == np.uint16 and one.ndim == 2
        blocks = one.dtype == np.int8 and one.ndim == 3 and row in one.shape[1:]  # also turned
        if other.dtype.kind == "f" and (halves or blocks):
            raise TypeError(
                "matmul: weights that are stored in bfloat16 or int8 are read by linear alone.\n"
                f"  got {one.dtype} {one.shape} beside {other.dtype}\n"
                "  try tg.linear(x, weight), or weight.float() of what are numbers"
            )


@op
def _matmul(a, b):
    _refuse_stored(a, b)

    def vjp(g):
        def da():
            return unbroadcast(product(g, np.swapaxes(b, -1, -2)), a.shape)

        def db():
            if b.ndim == 2 and a.ndim > 2:
                return product(as_rows(a).T, as_rows(g))
            return unbroadcast(product(np.swapaxes(a, -1, -2), g), b.shape)

        return Own(da), Own(db)

    return product(a, b), vjp


def matmul(a: Any, b: Any) -> Tensor:
    """a @ b as in NumPy: 1-D to N-D, leading axes broadcast.

    >>> tg.matmul(Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]])).tolist()
    [[11.0]]
    """
    a = as_tensor(a)
    b = as_tensor(b)
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        error = ValueError(
            "matmul: the last axis of a and the second to last of b must have the same length.\n"
            f"  got shapes {a.shape} and {b.shape}\n"
            "  try a.transpose() or b.transpose(), or * for a product of elements"
        )
        raise telling(error, "matmul", a, b)
    rows = reshape(a, 1, a.shape[0]) if a.ndim == 1 else a
    columns = reshape(b, b.shape[0], 1) if b.ndim == 1 else b
    c = _matmul(rows, columns)
    if a.ndim == 1 or b.ndim == 1:
        kept = c.shape[:-2] + c.shape[-2:-1] * (a.ndim > 1) + c.shape[-1:] * (b.ndim > 1)
        c = reshape(c, *kept)
    return c


def dot(a: Any, b: Any) -> Tensor:
    """The same as `matmul`; for two vectors, their inner product

    >>> tg.dot(Tensor([1.0, 2.0]), Tensor([3.0, 4.0])).tolist()
    11.0
    """
    return matmul(a, b)


def einsum(formula: str, *operands: Any) -> Tensor:
    """Sums of products by the Einstein convention, as numpy.einsum: einsum("ij,jk->ik", a, b).

    Composed: diagonals by indexing, then operand after operand as batched matrix products. The
    letters are single; "..." is not supported.

    >>> tg.einsum("ij,j->i", Tensor([[1.0, 2.0], [3.0, 4.0]]), Tensor([1.0, 1.0])).tolist()
    [3.0, 7.0]
    """
    inputs, arrow, output = formula.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if not arrow:
        letters = sorted(set(inputs) - {","})
        output = "".join(c for c in letters if inputs.count(c) == 1)
    tensors = [t if isinstance(t, Tensor) else Tensor(t) for t in operands]
    if len(terms) != len(tensors) or any(
        len(term) != t.ndim for term, t in zip(terms, tensors, strict=False)
    ):
        raise ValueError(
            "einsum: the formula names every axis of every operand with a letter.\n"
            f"  got {formula!r} for shapes {[t.shape for t in tensors]}\n"
            '  try einsum("ij,jk->ik", a, b) for matrices a and b'
        )
    sizes: dict[str, int] = {}
    for term, t in zip(terms, tensors, strict=True):
        for c, n in zip(term, t.shape, strict=True):
            if sizes.setdefault(c, n) != n:
                raise ValueError(
                    "einsum: a letter stands for axes of one length.\n"
                    f"  got {c!r} for {sizes[c]} and {n} in {formula!r}\n"
                    "  try another letter, or transposed operands"
                )
    if not set(output) <= set(sizes) or len(set(output)) < len(output):
        raise ValueError(
            "einsum: each letter of the result stands once, and in an operand.\n"
            f"  got {formula!r}\n  try letters of the operands after ->"
        )
    pairs = [_diagonal(term, t) for term, t in zip(terms, tensors, strict=True)]
    term, total = pairs[0]
    for i, (other, tensor) in enumerate(pairs[1:], start=2):
        needed = set(output).union(*(t for t, _ in pairs[i:]))
        term, total = _contract(term, total, other, tensor, needed)
    term, total = _summed(term, total, set(output))
    return permute(total, *[term.index(c) for c in output])


def _diagonal(term: str, x: Tensor) -> tuple[str, Tensor]:
    """A letter that occurs twice in a term means the diagonal of its two axes."""
    for c in term:
        if term.count(c) > 1:
            i = term.index(c)
            j = term.index(c, i + 1)
            others = [axis for axis in range(x.ndim) if axis not in (i, j)]
            x = permute(x, i, j, *others)
            along = constant(np.arange(x.shape[0]))
            rest = c + "".join(term[axis] for axis in others)
            return _diagonal(rest, getitem(x, (along, along)))
    return term, x


def _summed(term: str, x: Tensor, needed: set[str]) -> tuple[str, Tensor]:
    """x summed over the letters that nobody needs"""
    axes = tuple(i for i, c in enumerate(term) if c not in needed)
    return "".join(c for c in term if c in needed), sum_(x, axes) if axes else x


def _contract(
    term_a: str, a: Tensor, term_b: str, b: Tensor, needed: set[str]
) -> tuple[str, Tensor]:
    """The product of two operands, summed over the letters that both have and nobody needs."""
    _refuse_stored(a, b)
    term_a, a = _summed(term_a, a, needed | set(term_b))
    term_b, b = _summed(term_b, b, needed | set(term_a))
    shared = [c for c in term_a if c in term_b]
    batch = [c for c in shared if c in needed]
    inner = [c for c in shared if c not in needed]
    rows = [c for c in term_a if c not in shared]
    columns = [c for c in term_b if c not in shared]
    size = {**dict(zip(term_b, b.shape, strict=True)), **dict(zip(term_a, a.shape, strict=True))}

    def arranged(x: Tensor, term: str, *groups: list[str]) -> Tensor:
        x = permute(x, *[term.index(c) for group in groups for c in group])
        return reshape(x, *[int(np.prod([size[c] for c in g], dtype=int)) for g in groups])

    left, right = (
        arranged(a, term_a, batch, rows, inner),
        arranged(b, term_b, batch, inner, columns),
    )
    out = _matmul(left, right) if inner else mul(left, right)
    result = batch + rows + columns
    return "".join(result), reshape(out, *[size[c] for c in result])

"""y[n] = weight[index[n]]: a row of the table for each index.

dweight[v] = sum of g[n] over the n with index[n] = v. Each iteration of the backward kernel owns
some columns, so that the sums need no locks and have one order.
"""

import math

import numpy as np

from tinygrad_lite.fused.linear import from_stored, is_stored
from tinygrad_lite.kernels.arrays import as_rows, contiguous
from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.watch import procedure
from tinygrad_lite.tensor import Adding, op


@kernel
def embedding_forward(chunk, y, weight, index):
    rows = part_of(index.size, chunk)
    y, index = y[rows], index[rows]
    for n in range(index.size):
        row = weight[index[n]]
        for j in range(row.size):
            y[n, j] = row[j]


@kernel
def embedding_backward(chunk, dweight, g, index, add):
    """dweight (V, C) is filled with zeros first, unless the gradient is to be added to it."""
    part = part_of(g.shape[1], chunk)
    for v in range(0 if add else len(dweight)):
        dweight[v, part] = 0
    for n in range(index.size):
        row, g_ = dweight[index[n], part], g[n, part]
        for j in range(row.size):
            row[j] += g_[j]


@procedure
def _check_index(index, rows):
    if index.size and (index.min() < 0 or index.max() >= rows):
        raise IndexError(
            f"embedding: every index must lie between 0 and {rows - 1}.\n"
            f"  got {index.min()} to {index.max()}\n  try a table with {index.max() + 1} rows"
        )


@op
def embedding(index, weight):
    """Rows of weight (V, C) for an integer array: index (...), result (..., C). A weight of dtype
    uint16 holds bfloat16 numbers, one (V, C / 32, 36) of int8 blocks of them, as in `linear`; these
    have no gradient."""
    only_read = is_stored(weight)
    if not (only_read or weight.ndim == 2) or index.dtype.kind not in "iu":
        raise TypeError(
            "embedding: the index holds integers, the weight is (V, C).\n"
            f"  got an index of {index.dtype} and a weight {weight.shape}\n"
            "  try index.astype('int64')"
        )
    # A copy: backward relies on what was checked
    flat, table = (
        index.astype(np.int64).reshape(-1),
        contiguous(weight).reshape(weight.shape[0], math.prod(weight.shape[1:])),
    )
    _check_index(flat, len(table))
    y = np.empty((flat.size, table.shape[1]), table.dtype, like=table)
    embedding_forward(y, table, flat)
    if only_read:
        y = from_stored(y.reshape(flat.size, *weight.shape[1:]))

    def vjp(g):
        def dweight(out, add):
            embedding_backward(out, as_rows(g), flat, add)

        return None, Adding(table, dweight)

    return y.reshape(*index.shape, y.shape[1]), vjp

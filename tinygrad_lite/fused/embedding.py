"""y[n] = weight[index[n]]: a row of the table for each index.

dweight[v] = sum of g[n] over the n with index[n] = v. Each iteration of the backward kernel owns
some columns, so that the sums need no locks and have one order.
"""

import math
from typing import Any

import numpy as np

from tinygrad_lite.fused.linear import from_stored, is_stored
from tinygrad_lite.kernels.arrays import as_rows, contiguous
from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.watch import constant, procedure
from tinygrad_lite.ops.elementwise import where
from tinygrad_lite.ops.scatter import index_add, index_reduce
from tinygrad_lite.ops.sorting import searchsorted
from tinygrad_lite.tensor import Adding, Tensor, op


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
        larger = f"a table with {index.max() + 1} rows"
        hint = larger if index.min() >= 0 else "places that are counted from 0"
        raise IndexError(
            f"embedding: every index must lie between 0 and {rows - 1}.\n"
            f"  got {index.min()} to {index.max()}\n  try {hint}"
        )


@op
def embedding(index, weight):
    """Rows of weight (V, C) for an integer array: index (...), result (..., C). A weight of dtype
    uint16 holds bfloat16 numbers, one (V, C / 32, 36) of int8 blocks of them, as in `linear`; these
    have no gradient.

    >>> tg.embedding(Tensor([1, 0, 1]), Tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[3.0, 4.0], [1.0, 2.0], [3.0, 4.0]]
    """
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


@procedure
def _check_starts(offsets, n):
    if offsets.size and (offsets[0] != 0 or offsets[-1] > n or np.any(offsets[1:] < offsets[:-1])):
        raise ValueError(
            "embedding_bag: the first bag begins at 0, none before the one in front of it, and none"
            f" behind the end.\n  got offsets {offsets.tolist()} for {n} indices\n"
            "  try numpy.cumsum of lengths, from 0 on"
        )


def embedding_bag(
    index: Any, weight: Tensor, offsets: Any = None, mode: str = "mean",
    per_sample_weights: Any = None, padding_idx: int | None = None,
    include_last_offset: bool = False,
) -> Tensor:  # fmt: skip
    """The sum, mean or max of rows of weight (V, C) in bags: index (B, n), a bag a row, or (n,)
    with offsets (B,), where bags begin -> (B, C); zeros for a bag that is empty

    per_sample_weights    as index: what rows are multiplied by, for mode="sum"
    padding_idx           an index that does not count; -1 is the last
    include_last_offset   the last of the offsets is where the last bag ends

    >>> tg.embedding_bag(Tensor([[0, 1]]), Tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[2.0, 3.0]]
    """
    index = index if isinstance(index, Tensor) else Tensor(np.asarray(index))
    whole = index.ndim == 2
    if (
        index.ndim not in (1, 2) or whole != (offsets is None)
        or mode not in ("sum", "mean", "max")
        or (per_sample_weights is not None and mode != "sum")
    ):  # fmt: skip
        raise ValueError(
            "embedding_bag: index (B, n), or (n,) with offsets; the mode is sum, mean or max, and"
            f" weights of samples are for sums.\n  got index {index.shape}, mode={mode!r},"
            f" offsets={offsets}\n  try mode='sum'"
        )
    if whole:
        bags, count = Tensor(constant(np.repeat(np.arange(len(index)), index.shape[1]))), len(index)
    else:
        offsets = offsets if isinstance(offsets, Tensor) else Tensor(np.asarray(offsets))
        count = len(offsets) - bool(include_last_offset)
        _check_starts(offsets.data, len(index))
        starts = offsets[:count] if include_last_offset else offsets
        bags = searchsorted(starts, constant(np.arange(len(index))), right=True) - 1
    flat = index.reshape(-1)
    rows = embedding(flat, weight)
    if per_sample_weights is not None:
        if np.shape(per_sample_weights) != index.shape:
            raise ValueError(
                "embedding_bag: there is a weight for each index.\n"
                f"  got {np.shape(per_sample_weights)} for {index.shape}\n  try one like index"
            )
        rows = rows * per_sample_weights.reshape(-1, 1)
    left_out = -1 if padding_idx is None else padding_idx % len(weight)
    counted = (flat != left_out).unsqueeze(1)
    if include_last_offset and not whole:
        counted = counted & Tensor(constant(np.arange(len(index))[:, None])).lt(offsets[-1])
    empty = Tensor(constant(np.zeros((count, weight.shape[1]), weight.dtype)))
    number = index_add(empty[:, :1], 0, bags, counted.astype(weight.dtype))
    if mode == "max":
        lowest = index_reduce(empty - np.inf, 0, bags, where(counted, rows, -np.inf), "amax")
        return where(number > 0, lowest, 0)
    total = index_add(empty, 0, bags, where(counted, rows, 0))
    return total if mode == "sum" else total / number.clip(min=1)

"""Sums over axes of a whole array, exact to the last bits for any number of numbers.

NumPy adds pairwise along the last axis only: over any other, and in a running sum, float32 numbers
are added one by one, and of four million the third digit is wrong. Here ROWS rows are added in
a tree in the precision of x, and the results of trees, as running sums, in float64.

Arrays are seen as (outer, middle, inner), C-contiguous, and the middle is summed.
"""

import math
from typing import Any

import numpy as np

from tinygrad_lite.kernels.arrays import as_rows, contiguous
from tinygrad_lite.kernels.compile import CHUNKS, SERIAL_SIZE, inlined, kernel, part_of, threads_for
from tinygrad_lite.kernels.rows import total

TILE = 512  # sums that a task works on at a time: they stay in the L1 cache
NARROW = 64  # columns below which a loop over columns is too short
SHORT = 32  # numbers below which `total` takes longer than a loop
ROWS = 8
FEW = 32  # rows that a kernel which does more than add may add one by one


@inlined
def _add_rows(sums, x, row, step, count):
    """sums (n,) float64 = sum of `count` rows of n numbers, each `step` after the one before, the
    first at x[row]"""
    n = sums.size
    for j in range(n):
        sums[j] = 0.0
    trees = count // ROWS
    for _ in range(trees):
        a, b, c, d = x[row:], x[row + step :], x[row + 2 * step :], x[row + 3 * step :]
        e, f = x[row + 4 * step :], x[row + 5 * step :]
        g, h = x[row + 6 * step :], x[row + 7 * step :]
        for j in range(n):
            sums[j] += ((a[j] + b[j]) + (c[j] + d[j])) + ((e[j] + f[j]) + (g[j] + h[j]))
        row += ROWS * step
    for _ in range(count - ROWS * trees):
        a = x[row:]
        for j in range(n):
            sums[j] += a[j]
        row += step


@kernel
def sum_kernel(chunk, out, x, scratch):
    """out (parts, outer, inner): sums over the rows of x (outer, middle, inner) in each of `parts`
    parts of the middle; scratch (CHUNKS, TILE) float64"""
    parts, outer, inner = out.shape
    middle = x.shape[1]
    tiles = (inner + TILE - 1) // TILE
    flat = x.reshape(-1)
    units = part_of(parts * outer * tiles, chunk)
    if inner == 1 and middle < SHORT:
        for o in range(units.start, units.stop):
            one = 0.0
            for k in range(o * middle, (o + 1) * middle):
                one += flat[k]
            out[0, o, 0] = one
        return
    for unit in range(units.start, units.stop):
        part, o, tile = unit // tiles // outer, unit // tiles % outer, unit % tiles
        rows = part_of(middle, part, parts)
        at, count = (o * middle + rows.start) * inner, rows.stop - rows.start
        columns = out[part, o, tile * TILE : (tile + 1) * TILE]
        n = columns.size
        together = TILE // inner  # rows that lie one behind the other and are taken as one
        if inner == 1 and count < ROWS * together:
            columns[0] = total(flat[at : at + count])
            continue
        if inner >= NARROW or count < ROWS * together:
            sums = scratch[chunk, :n]
            _add_rows(sums, flat, at + tile * TILE, inner, count)
            for j in range(n):
                columns[j] = sums[j]
        else:
            sums = scratch[chunk, : together * inner]
            _add_rows(sums, flat, at, sums.size, count // together)
            for k in range(count // together * inner * together, count * inner):
                sums[k % inner] += flat[at + k]
            for j in range(inner):
                for k in range(j + inner, sums.size, inner):
                    sums[j] += sums[k]
                columns[j] = sums[j]


@kernel
def cumsum_kernel(chunk, out, x, scratch, reverse):
    """out[:, i] = x[:, 0] + ... + x[:, i], or x[:, i] + ... + x[:, -1] in reverse, for out and
    x (outer, middle, inner); scratch (CHUNKS, TILE) float64"""
    outer, middle, inner = x.shape
    tiles = (inner + TILE - 1) // TILE
    units = part_of(outer * tiles, chunk)
    for unit in range(units.start, units.stop):
        o, columns = unit // tiles, slice(unit % tiles * TILE, (unit % tiles + 1) * TILE)
        sums = scratch[chunk, : out[o, 0, columns].size]
        sums[:] = 0.0
        if inner == 1:
            one, y, v = 0.0, out[o].reshape(-1), x[o].reshape(-1)
            for i in range(middle):
                row = middle - 1 - i if reverse else i
                one += v[row]
                y[row] = one
            continue
        for i in range(middle):
            row = middle - 1 - i if reverse else i
            y, v = out[o, row, columns], x[o, row, columns]
            for j in range(sums.size):
                sums[j] += v[j]
                y[j] = sums[j]


def sum_middle(x: np.ndarray) -> np.ndarray:
    """(outer, inner): the sum over the middle axis of x (outer, middle, inner), float32 or float64
    and C-contiguous. Long sums of few numbers are divided among the tasks."""
    outer, middle, inner = x.shape
    scratch = np.empty((CHUNKS, TILE), np.float64, like=x)
    units = outer * -(-inner // TILE)
    if units < CHUNKS and middle >= CHUNKS * ROWS and x.size >= SERIAL_SIZE:
        partial = np.empty((CHUNKS, outer, inner), x.dtype, like=x)
        sum_kernel.run(CHUNKS, threads_for(x.size), partial, x, scratch)
        outer, inner, x = 1, outer * inner, partial.reshape(1, CHUNKS, outer * inner)
    out = np.empty((1, outer, inner), x.dtype, like=x)
    if out.size:
        sum_kernel.run(CHUNKS, threads_for(x.size), out, x, scratch)
    return out


def blocks_of(rows: int) -> int:
    """Into how many partial sums a kernel adds so many rows one by one, for `sum_rows`"""
    return max(CHUNKS, -(-rows // FEW))


def sum_rows(x: np.ndarray) -> np.ndarray:
    """(C,): the sum of x (..., C) over all axes but the last"""
    return sum_middle(as_rows(x)[None]).reshape(-1)


def sum_axes(x: Any, axes: tuple[int, ...], keepdims: bool = False) -> Any:
    """The sum of x over `axes`, numbers from 0 up; in the dtype of x if that is a float, else as
    int64. The result is C-contiguous."""
    x = np.asarray(x) if isinstance(x, np.generic) else x
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    shape = kept if keepdims else tuple(n for i, n in enumerate(x.shape) if i not in axes)
    if x.dtype.kind != "f":
        return np.sum(x, axis=axes, keepdims=keepdims, dtype=np.int64)
    if x.size < SERIAL_SIZE or x.dtype not in (np.float32, np.float64):
        out = np.empty(shape, x.dtype, like=x)
        np.sum(x, axis=axes, keepdims=keepdims, dtype=np.float64, out=out)
        return out
    spread = [i for i in axes if x.strides[i] == 0 and x.shape[i] > 1]
    if spread:  # the same numbers again and again
        once = x[tuple(slice(1) if i in spread else slice(None) for i in range(x.ndim))]
        out = sum_axes(once, axes, keepdims)
        return np.multiply(out, math.prod(x.shape[i] for i in spread))
    order = _in_memory(x)
    out = contiguous(x.transpose(order))
    for last in reversed(range(x.ndim)):  # neighbouring axes are summed at once, the last first
        if order[last] in axes and (last + 1 == x.ndim or order[last + 1] not in axes):
            first = last
            while first and order[first - 1] in axes:
                first -= 1
            before, after = out.shape[:first], out.shape[last + 1 :]
            sizes = math.prod(before), math.prod(out.shape[first : last + 1]), math.prod(after)
            summed = sum_middle(out.reshape(sizes))
            out = summed.reshape(*before, *[1] * (last + 1 - first), *after)
    back = sorted(range(x.ndim), key=order.__getitem__)
    return contiguous(out.transpose(back)).reshape(shape)


def _in_memory(x: np.ndarray) -> list[int]:
    """The axes of x, those with the longest steps first: in this order no copy may be needed"""
    return sorted(range(x.ndim), key=lambda i: -abs(x.strides[i]))


def cumsum(x: np.ndarray, axis: int, reverse: bool = False) -> np.ndarray:
    """x[0] + ... + x[i] along an axis of x, or x[i] + ... + x[-1] in reverse; in the dtype of x if
    that is a float, else as int64"""
    axis = np.lib.array_utils.normalize_axis_index(axis, x.ndim)
    if x.dtype not in (np.float32, np.float64):
        dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.int64)
        given = np.flip(x, axis) if reverse else x
        found = np.cumsum(given, axis=axis, dtype=dtype)
        return np.flip(found, axis) if reverse else found
    sizes = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    out = np.empty(x.shape, x.dtype, like=x)
    if x.size:
        scratch = np.empty((CHUNKS, TILE), np.float64, like=x)
        whole = contiguous(x).reshape(sizes)
        threads = threads_for(x.size)
        cumsum_kernel.run(CHUNKS, threads, out.reshape(sizes), whole, scratch, reverse)
    return out

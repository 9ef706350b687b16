"""Sums over axes of a whole array, exact to the last bits for any number of numbers.

NumPy adds pairwise along the last axis only: over any other, and in a running sum, float32 numbers
are added one by one, and of four million the third digit is wrong. Here ROWS rows are added in
a tree in the precision of x, and the results of trees, as running sums, in float64.

Arrays are seen as (outer, middle, inner), C-contiguous, and the middle is summed.
"""

import math
from typing import Any

import numpy as np

from tinygrad_lite.kernels.arrays import as_rows, asking, contiguous
from tinygrad_lite.kernels.compile import CHUNKS, SERIAL_SIZE, kernel, part_of
from tinygrad_lite.kernels.rows import total
from tinygrad_lite.kernels.team import get_num_threads

TILE = 512  # sums that a task works on at a time: they stay in the L1 cache
NARROW = 64  # columns below which a loop over columns is too short
SHORT = 32  # numbers below which `total` takes longer than a loop
ROWS = 4
LARGE = 8 * SERIAL_SIZE  # numbers below which one thread is done with a sum before others start
FEW = 32  # rows that a kernel which does more than add may add one by one


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
        at, count = (o * middle + rows.start) * inner + tile * TILE, rows.stop - rows.start
        if inner == 1:
            out[part, o, 0] = total(flat[at : at + count])
            continue
        columns = out[part, o, tile * TILE : (tile + 1) * TILE]
        sums = scratch[chunk, : columns.size]
        for j in range(sums.size):
            sums[j] = 0.0
        for _ in range(count // ROWS):
            a, b = flat[at:], flat[at + inner :]
            c, d = flat[at + 2 * inner :], flat[at + 3 * inner :]
            for j in range(sums.size):
                sums[j] += (a[j] + b[j]) + (c[j] + d[j])
            at += ROWS * inner
        for _ in range(count % ROWS):
            a = flat[at:]
            for j in range(sums.size):
                sums[j] += a[j]
            at += inner
        for j in range(sums.size):
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
    and C-contiguous"""
    outer, middle, inner = x.shape
    together = TILE // max(inner, 1)  # rows that lie one behind the other and are taken as one
    if outer == 1 and 0 < inner < NARROW and middle >= CHUNKS * ROWS * together:
        whole = middle // together * together
        rows = np.empty((together + middle - whole, inner), x.dtype, like=x)
        _sum(rows[:together].reshape(1, -1), x[:, :whole].reshape(1, -1, together * inner))
        np.copyto(rows[together:], x[0, whole:])
        x = rows[None]
    out = np.empty((outer, inner), x.dtype, like=x)
    if out.size:
        _sum(out, x)
    return out


def _sum(out: np.ndarray, x: np.ndarray) -> None:
    """out (outer, inner) = sum over the middle axis of x (outer, middle, inner). Long sums of few
    numbers are divided among the tasks."""
    outer, middle, inner = x.shape
    scratch = np.empty((CHUNKS, TILE), np.float64, like=x)
    if outer * -(-inner // TILE) < CHUNKS and middle >= CHUNKS * ROWS and x.size >= LARGE:
        partial = np.empty((CHUNKS, outer, inner), x.dtype, like=x)
        sum_kernel.run(CHUNKS, get_num_threads(), partial, x, scratch)
        x = partial.reshape(1, CHUNKS, outer * inner)
    threads = 1 if x.size < LARGE else get_num_threads()
    sum_kernel.run(CHUNKS, threads, out.reshape(1, x.shape[0], x.shape[2]), x, scratch)


def blocks_of(rows: int) -> int:
    """Into how many partial sums a kernel adds so many rows one by one, for `sum_rows`"""
    return max(CHUNKS, -(-rows // FEW))


def sum_rows(x: np.ndarray) -> np.ndarray:
    """(C,): the sum of x (..., C) over all axes but the last"""
    return sum_middle(as_rows(x)[None]).reshape(-1)


@asking
def sum_axes(x: Any, axes: tuple[int, ...], keepdims: bool = False) -> Any:
    """The sum of x over `axes`, numbers from 0 up; in the dtype of x if that is a float, else as
    int64. The result is C-contiguous."""
    x = np.asarray(x) if isinstance(x, np.generic) else x
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    shape = kept if keepdims else tuple(n for i, n in enumerate(x.shape) if i not in axes)
    if not axes and x.dtype.kind == "f":
        return x.copy()
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


@asking
def cumsum(x: np.ndarray, axis: int, reverse: bool = False) -> np.ndarray:
    """x[0] + ... + x[i] along an axis of x, or x[i] + ... + x[-1] in reverse; in the dtype of x if
    that is a float, else as int64"""
    if x.ndim == 0:
        return cumsum(x.reshape(1), 0, reverse).reshape(())
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
        threads = 1 if x.size < LARGE else get_num_threads()
        cumsum_kernel.run(CHUNKS, threads, out.reshape(sizes), whole, scratch, reverse)
    return out

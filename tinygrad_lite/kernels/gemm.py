"""The matrix product C = A B, the loop in which a GPT spends its time.

How it works, from the inside out (after Goto and van de Geijn, "Anatomy of High-Performance
Matrix Multiplication", 2008, and the BLIS papers):

1. `tile` keeps a small block of C, `ROWS` x `COLUMNS`, in vector registers. For each k it loads
   one row of B (a few vectors), broadcasts one number of A per row, and multiplies and adds:
   C[i, :] += A[i, k] * B[k, :]. Each number that is loaded is used many times, so the arithmetic
   units, not the memory, set the pace. LLVM's vectoriser does not find this shape by itself;
   `tile` is therefore emitted as LLVM vector instructions (kernels/tile.py), with a twin in Python
   that says the same in a few lines.

2. `pack` copies a part of B, `DEPTH` rows deep, into strips that are `COLUMNS` wide, in the order
   in which `tile` reads them: one strip stays in the L1 cache. It also undoes a transposition and
   pads the last strip with zeros. A is read where it lies, because `tile` takes any strides; only
   a transposed A is copied, since reading it down its columns would touch a new cache line for
   each number.

3. `multiply` runs `tile` over all strips of a packed B and all rows of a block of A that fits
   the L2 cache.

4. `gemm` packs B, a panel of columns at a time, and cuts the product into tasks: BLOCK_ROWS rows
   times some columns. Threads take the next task when they are done with one, so that a thread
   whose core is slower, or busy with something else, does not hold up the others. Every number of
   C is summed over k in the same order whoever does it: the result does not depend on the threads.

    C (batch, M, N), A (batch, M, K) or (batch, K, M), B (batch, K, N) or (batch, N, K)
"""

import threading
from types import FunctionType
from typing import Any

import numpy as np
from numba import prange

from tinygrad_lite.kernels.compile import get_num_threads, inlined, kernel
from tinygrad_lite.kernels.tile import (
    FEW_ROWS,
    ROWS,
    VECTOR_BYTES,
    VECTORS,
    columns_of,
    copy_columns,
    copy_rows,
    take,
    tile_few,
    tile_one,
    tile_rows,
)

DEPTH = 384  # k-steps: a strip of B, DEPTH x COLUMNS x 4 bytes, and one of A fit an L1 cache
BLOCK_ROWS = 96  # rows of A walked while a strip of B stays in L1: BLOCK_ROWS x DEPTH fits L2
PACKED = 1 << 20  # numbers of B packed at a time: they stay in the L3 cache
SERIAL_WORK = 20_000  # multiply-adds below which starting threads costs more than it saves


@inlined
def multiply(c, c_at, ldc, a, a_at, a_row, a_column, a_strip, b, b_at, b_strip, rows, columns,
             depth, accumulate, edge, edge_at):  # fmt: skip
    """C (+)= A B for a B that `pack` has packed at b[b_at], its strips b_strip numbers apart.

    C[i, j] is c[c_at + i * ldc + j]. A[i, k] is a[a_at + i * a_row + k * a_column] for i < ROWS;
    each further strip of ROWS rows begins a_strip numbers after the one before. The last strip of
    B may be wider than C: its tiles go to edge[edge_at:], BLOCK_ROWS x COLUMNS numbers.
    """
    width = columns_of(c)
    for i in range(0, rows, BLOCK_ROWS):
        block = min(BLOCK_ROWS, rows - i)
        a_i = a_at + i // ROWS * a_strip
        for j in range(0, columns, width):
            inside = j + width <= columns
            c_ij = c_at + i * ldc + j
            out, at, ld = (c, c_ij, ldc) if inside else (edge, edge_at, width)
            add = accumulate and inside
            b_j, a_r, r = b_at + j // width * b_strip, a_i, 0
            while r + ROWS <= block:
                tile_rows(out, at + r * ld, ld, a, a_r, a_row, a_column, b, b_j, depth, add)
                r += ROWS
                a_r += a_strip
            while r + FEW_ROWS <= block:
                tile_few(out, at + r * ld, ld, a, a_r, a_row, a_column, b, b_j, depth, add)
                r += FEW_ROWS
                a_r += FEW_ROWS * a_row
            while r < block:
                tile_one(out, at + r * ld, ld, a, a_r, a_row, a_column, b, b_j, depth, add)
                r += 1
                a_r += a_row
            if not inside:
                for r in range(block):
                    for s in range(columns - j):
                        value = edge[edge_at + r * width + s]
                        if accumulate:
                            value += c[c_ij + r * ldc + s]
                        c[c_ij + r * ldc + s] = value


@inlined
def pack(packed, at, b, b_at, b_row, b_column, depth, columns):
    """Copy B (depth, columns), B[k, j] = b[b_at + k * b_row + j * b_column], to strips.

    Strip s holds columns s * COLUMNS and on, row after row; absent columns are zeros.
    """
    width = columns_of(packed)
    for j in range(0, columns, width):
        present = min(width, columns - j)
        strip = at + j * depth
        source = b_at + j * b_column
        if present < width:
            packed[strip : strip + depth * width] = 0
        if b_column == 1 and present == width:
            copy_columns(packed, strip, b, source, b_row, depth)
        elif b_column == 1:
            for k in range(depth):
                to, row = packed[strip + k * width :], b[source + k * b_row :]
                for s in range(present):
                    to[s] = row[s]
        else:
            for s in range(present):
                to, column = packed[strip + s :: width], b[source + s * b_column :: b_row]
                for k in range(depth):
                    to[k] = column[k]


@inlined
def _pack_rows(packed, at, a, a_at, lda, rows, depth):
    """Copy `rows` rows of A, A[i, k] = a[a_at + k * lda + i], to strips of ROWS rows."""
    for i in range(0, rows, ROWS):
        strip = at + i * depth
        present = min(ROWS, rows - i)
        if present == ROWS:
            copy_rows(packed, strip, a, a_at + i, lda, depth)
        else:
            for k in range(depth):
                to, row = packed[strip + k * ROWS :], a[a_at + k * lda + i :]
                for r in range(present):
                    to[r] = row[r]


def _gemm(c3, a3, b3, bias, transpose_a, transpose_b, accumulate, block_rows, block_columns,
          panel_columns, panels_at_once, counters, packed, spaces):  # fmt: skip
    batch, m, n = c3.shape
    depth_all = a3.shape[1] if transpose_a else a3.shape[2]
    c, a, b, space = c3.reshape(-1), a3.reshape(-1), b3.reshape(-1), spaces.reshape(-1)
    threads, space_size = spaces.shape
    width = columns_of(c)
    has_bias = bias.size > 0
    steps = max(1, (depth_all + DEPTH - 1) // DEPTH)
    row_blocks = (m + block_rows - 1) // block_rows
    panels_each = (n + panel_columns - 1) // panel_columns
    strips = panel_columns // width
    panel_size = depth_all * panel_columns
    for first in range(0, batch * panels_each, panels_at_once):
        panels = min(panels_at_once, batch * panels_each - first)

        counters[0] = 0
        for _ in prange(threads):  # phase 1: pack B
            task = take(counters, 0)
            while task < panels * strips:
                panel = task // strips
                which, j_0 = (first + panel) // panels_each, (first + panel) % panels_each
                j = j_0 * panel_columns + task % strips * width
                base = which * depth_all * n
                for step in range(steps if j < n else 0):
                    k = step * DEPTH
                    depth = min(DEPTH, depth_all - k)
                    at = panel * panel_size + k * panel_columns + task % strips * width * depth
                    if transpose_b:
                        pack(packed, at, b, base + j * depth_all + k, 1, depth_all,
                             depth, min(width, n - j))  # fmt: skip
                    else:
                        pack(packed, at, b, base + k * n + j, n, 1, depth, min(width, n - j))
                task = take(counters, 0)

        counters[0] = 0
        blocks = (min(panel_columns, n) + block_columns - 1) // block_columns
        for t in prange(threads):  # phase 2: multiply
            edge_at = t * space_size
            a_at = edge_at + BLOCK_ROWS * width
            task = take(counters, 0)
            while task < panels * row_blocks * blocks:
                panel, rest = task // (row_blocks * blocks), task % (row_blocks * blocks)
                which = (first + panel) // panels_each
                panel_start = (first + panel) % panels_each * panel_columns
                i = rest // blocks * block_rows
                rows = min(block_rows, m - i)
                j_start = rest % blocks * block_columns
                j = panel_start + j_start
                columns = min(block_columns, panel_columns - j_start, n - j)
                c_at = which * m * n + i * n + j
                if has_bias and columns > 0:
                    for r in range(rows):
                        for s in range(columns):
                            c[c_at + r * n + s] = bias[j + s]
                for step in range(steps if columns > 0 else 0):
                    k = step * DEPTH
                    depth = min(DEPTH, depth_all - k)
                    if transpose_a:
                        _pack_rows(
                            space, a_at, a, which * m * depth_all + k * m + i, m, rows, depth
                        )
                    multiply(
                        c, c_at, n,
                        space if transpose_a else a,
                        a_at if transpose_a else which * m * depth_all + i * depth_all + k,
                        1 if transpose_a else depth_all,
                        ROWS if transpose_a else 1,
                        ROWS * (depth if transpose_a else depth_all),
                        packed, panel * panel_size + k * panel_columns + j_start * depth,
                        depth * width, rows, columns, depth,
                        accumulate or has_bias or k > 0, space, edge_at,
                    )  # fmt: skip
                task = take(counters, 0)


def _called(function: Any, name: str) -> Any:
    """The function under another name: Numba's disk cache knows a kernel by its name and its
    argument types, not by whether it is parallel."""
    copy = FunctionType(function.__code__, function.__globals__, name)
    copy.__qualname__ = name
    return copy


gemm_parallel = kernel(_called(_gemm, "gemm_parallel"))
gemm_serial = kernel(_called(_gemm, "gemm_serial"), parallel=False)


class _Spaces(threading.local):
    """Scratch memory of a Python thread, kept between calls: fresh pages cost more than packing."""

    def __init__(self) -> None:
        self.arrays: dict[tuple[str, np.dtype], np.ndarray] = {}
        self.counters = np.zeros(1, np.int64)

    def get(self, name: str, dtype: np.dtype, rows: int, size: int) -> np.ndarray:
        """An array (rows, at least `size`), its contents arbitrary."""
        array = self.arrays.get((name, dtype))
        if array is None or array.shape[0] != rows or array.shape[1] < size:
            array = self.arrays[name, dtype] = np.empty((rows, size), dtype)
        return array


workspace = _Spaces()
_NO_BIAS = {t: np.empty(0, t) for t in (np.dtype(np.float32), np.dtype(np.float64))}


def gemm(
    out: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    *,
    bias: np.ndarray | None = None,
    transpose_a: bool = False,
    transpose_b: bool = False,
    accumulate: bool = False,
) -> np.ndarray:
    """out (batch, M, N) = a @ b (+ bias (N,), or + out): C-contiguous, all float32 or float64."""
    batch, m, n = out.shape
    depth = a.shape[1] if transpose_a else a.shape[2]
    dtype = out.dtype
    width = VECTORS * VECTOR_BYTES // out.itemsize
    threads = get_num_threads() if batch * m * n * depth > SERIAL_WORK else 1
    wide = -(-n // width) * width
    panel = max(width, min(wide, PACKED // max(depth, 1) // width * width))
    at_once = max(1, min(batch, PACKED // max(1, panel * depth))) if panel == wide else 1
    # Several tasks for each thread: fewer rows first, which costs nothing but more trips to B in
    # the L2 cache, then fewer columns, which packs a transposed A more than once.
    enough, rows, columns = 6 * threads, BLOCK_ROWS, panel
    while rows > 4 * ROWS and at_once * -(-m // rows) * -(-panel // columns) < enough:
        rows //= 2
    while columns > 4 * width and at_once * -(-m // rows) * -(-panel // columns) < enough:
        columns = -(-columns // (2 * width)) * width
    run = gemm_parallel if threads > 1 else gemm_serial
    run(
        out, a, b, _NO_BIAS[dtype] if bias is None else bias, transpose_a, transpose_b, accumulate,
        rows, columns, panel, at_once, workspace.counters,
        workspace.get("packed", dtype, 1, at_once * panel * depth)[0],
        workspace.get("space", dtype, threads, BLOCK_ROWS * (width + DEPTH)),
    )  # fmt: skip
    return out

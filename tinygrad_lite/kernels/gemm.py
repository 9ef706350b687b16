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

import numpy as np

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
    wait,
)

DEPTH = 384  # k-steps: a strip of B, DEPTH x COLUMNS x 4 bytes, and one of A fit an L1 cache
BLOCK_ROWS = 96  # rows of A walked while a strip of B stays in L1: BLOCK_ROWS x DEPTH fits L2
PACKED = 1 << 20  # numbers of B packed at a time: they stay in the L3 cache
# Places of the counters that threads share, each in a cache line of its own
TAKEN, PACKED_STRIPS, MULTIPLIED, LEFT, COUNTERS = 0, 8, 16, 24, 32
SERIAL_WORK = 20_000  # multiply-adds below which starting threads costs more than it saves


@inlined
def reset(counters, threads):
    """At a kernel's end: the last thread sets the counters to 0 for the next kernel."""
    if take(counters, LEFT) == threads - 1:
        counters[:] = 0


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
def pack_rows(packed, at, a, a_at, lda, rows, depth):
    """Copy `rows` rows of A, A[i, k] = a[a_at + k * lda + i], to strips of ROWS rows."""
    whole = rows // ROWS
    copy_rows(packed, at, a, a_at, lda, whole, depth)
    for i in range(whole * ROWS, rows):
        to, column = packed[at + whole * ROWS * depth + i % ROWS :: ROWS], a[a_at + i :: lda]
        for k in range(depth):
            to[k] = column[k]


@kernel
def gemm_kernel(t, c3, a3, b3, bias, transpose_a, transpose_b, accumulate, block_rows,
                block_columns, panel_columns, first, panels, counters, packed, spaces):  # fmt: skip
    """What one thread does of `panels` panels of B, beginning with panel `first`."""
    batch, m, n = c3.shape
    depth_all = a3.shape[1] if transpose_a else a3.shape[2]
    c, a, b, space = c3.reshape(-1), a3.reshape(-1), b3.reshape(-1), spaces[t]
    width = columns_of(c)
    steps = max(1, (depth_all + DEPTH - 1) // DEPTH)
    row_blocks = (m + block_rows - 1) // block_rows
    panels_each = (n + panel_columns - 1) // panel_columns
    strips = panel_columns // width
    panel_size = depth_all * panel_columns

    # Phase 1: pack B, a strip at a time.
    b_row, b_column = (1, depth_all) if transpose_b else (n, 1)
    task = take(counters, TAKEN)
    while task < panels * strips:
        panel = task // strips
        which, j_0 = (first + panel) // panels_each, (first + panel) % panels_each
        j = j_0 * panel_columns + task % strips * width
        base = which * depth_all * n
        for step in range(steps if j < n else 0):
            k = step * DEPTH
            depth = min(DEPTH, depth_all - k)
            at = panel * panel_size + k * panel_columns + task % strips * width * depth
            pack(packed, at, b, base + k * b_row + j * b_column, b_row, b_column,
                 depth, min(width, n - j))  # fmt: skip
        take(counters, PACKED_STRIPS)
        task = take(counters, TAKEN)
    wait(counters, PACKED_STRIPS, panels * strips)

    # Phase 2: multiply.
    a_at = BLOCK_ROWS * width
    blocks = (min(panel_columns, n) + block_columns - 1) // block_columns
    task = take(counters, MULTIPLIED)
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
        if bias.size and columns > 0:
            for r in range(rows):
                to, row = c[c_at + r * n : c_at + r * n + columns], bias[j : j + columns]
                for s in range(row.size):
                    to[s] = row[s]
        for step in range(steps if columns > 0 else 0):
            k = step * DEPTH
            depth = min(DEPTH, depth_all - k)
            if transpose_a:
                pack_rows(space, a_at, a, which * m * depth_all + k * m + i, m, rows, depth)
            multiply(
                c, c_at, n,
                space if transpose_a else a,
                a_at if transpose_a else which * m * depth_all + i * depth_all + k,
                1 if transpose_a else depth_all,
                ROWS if transpose_a else 1,
                ROWS * (depth if transpose_a else depth_all),
                packed, panel * panel_size + k * panel_columns + j_start * depth,
                depth * width, rows, columns, depth,
                accumulate or bias.size > 0 or k > 0, space, 0,
            )  # fmt: skip
        task = take(counters, MULTIPLIED)
    reset(counters, len(spaces))


class _Spaces(threading.local):
    """Scratch memory of a Python thread, kept between calls: fresh pages cost more than packing."""

    def __init__(self) -> None:
        self.arrays: dict[tuple[str, np.dtype], np.ndarray] = {}
        self.counters = np.zeros(COUNTERS, np.int64)

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
    bias = _NO_BIAS[dtype] if bias is None else bias
    counters = workspace.counters
    packed = workspace.get("packed", dtype, 1, at_once * panel * depth)[0]
    spaces = workspace.get("space", dtype, threads, BLOCK_ROWS * (width + DEPTH))
    panels = batch * -(-n // panel)
    for first in range(0, panels, at_once):
        gemm_kernel.run(
            threads, threads, out, a, b, bias, transpose_a, transpose_b, accumulate, rows, columns,
            panel, first, min(at_once, panels - first), counters, packed, spaces,
        )  # fmt: skip
    return out

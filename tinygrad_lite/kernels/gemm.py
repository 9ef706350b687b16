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
   each number, block by block, just before a block is used.

3. `multiply` runs `tile` over all strips of a packed B and all rows of a block of A that fits
   the L2 cache.

4. `gemm` cuts C into tasks, some rows times some columns. Threads take the next task when they are
   done with one, so that a thread whose core is slower, or busy with something else, does not hold
   up the others. A thread packs what its task needs into memory of its own: nothing is shared, and
   nobody waits. Every number of C is summed over k in the same order whoever does it: the result
   does not depend on the threads.

In bfloat16 (see `precision`), A and B are rounded while they are packed, two numbers of k and k + 1
to a word of 32 bits, and `tile` multiplies pairs, or AMX tiles of them (kernels/amx.py); sums are
float32.

    C (batch, M, N), A (batch, M, K) or (batch, K, M), B (batch, K, N) or (batch, N, K)
"""

import numpy as np
from numba.extending import overload

from tinygrad_lite.kernels import amx
from tinygrad_lite.kernels.compile import kernel
from tinygrad_lite.kernels.cpu import FEW_ROWS, ROWS, columns_of, has_amx, in_tiles
from tinygrad_lite.kernels.functions import inlined
from tinygrad_lite.kernels.pack import (
    in_strips,
    numbers_in,
    pack,
    pack_tiles,
    pack_transposed_rows,
    pair_rows,
    pairs_or_numbers,
    rows_of_strip,
    words_of,
)
from tinygrad_lite.kernels.precision import get_precision
from tinygrad_lite.kernels.tasks import TAKEN, reset, take, workspace
from tinygrad_lite.kernels.team import get_num_threads
from tinygrad_lite.kernels.tile import tile_few, tile_one, tile_rows

DEPTH = 384  # words of k at a time: a strip of B, DEPTH x COLUMNS x 4 bytes, fits an L1 cache
BLOCK_ROWS = 96  # rows of A walked while a strip of B stays in L1: BLOCK_ROWS x DEPTH fits L2
PANEL = 256  # columns of B packed at a time beside an A in place
TASKS = 4  # for each thread
SMALL_TASK = 1 << 17  # numbers of C for which packing A and B costs little beside the product
MOST_COLUMNS = 1024  # of C in a task that packs A too
SERIAL_WORK = 20_000  # multiply-adds below which starting threads costs more than it saves


@inlined
def multiply(c, c_at, ldc, a, a_at, a_row, a_column, a_strip, b, b_at, b_strip, rows, columns,
             depth, accumulate, edge):  # fmt: skip
    """C (+)= A B for a B that `pack` has packed at b[b_at], its strips b_strip numbers apart.

    C[i, j] is c[c_at + i * ldc + j]. A[i, k] is a[a_at + i * a_row + k * a_column] for i < ROWS;
    each further strip of ROWS rows begins a_strip numbers after the one before. With a_column =
    ROWS, A is as `pack_transposed_rows` leaves it. The last strip of B may be wider than C: its
    tiles go to edge, BLOCK_ROWS x COLUMNS numbers.
    """
    width = columns_of(c)
    for i in range(0, rows, BLOCK_ROWS):
        block = min(BLOCK_ROWS, rows - i)
        a_i = a_at + i // ROWS * a_strip
        for j in range(0, columns, width):
            inside = j + width <= columns
            c_ij = c_at + i * ldc + j
            out, at, ld = (c, c_ij, ldc) if inside else (edge, 0, width)
            add = accumulate and inside
            b_j, a_r, r = b_at + j // width * b_strip, a_i, 0
            whole = in_strips(block)
            rest_column = block - whole if a_column == ROWS else a_column
            while r < whole:
                tile_rows(out, at + r * ld, ld, a, a_r, a_row, a_column, b, b_j, depth, add)
                r += ROWS
                a_r += a_strip
            while r + FEW_ROWS <= block:
                tile_few(out, at + r * ld, ld, a, a_r, a_row, rest_column, b, b_j, depth, add)
                r += FEW_ROWS
                a_r += FEW_ROWS * a_row
            while r < block:
                tile_one(out, at + r * ld, ld, a, a_r, a_row, rest_column, b, b_j, depth, add)
                r += 1
                a_r += a_row
            if not inside:
                for r in range(block):
                    for s in range(columns - j):
                        value = edge[r * width + s]
                        if accumulate:
                            value += c[c_ij + r * ldc + s]
                        c[c_ij + r * ldc + s] = value


def multiply_block(c, c_at, ldc, a, a_at, a_row, a_column, space, a_to, b_at, rows, columns, depth,
                   accumulate, edge):  # fmt: skip
    """C (+)= A B for at most BLOCK_ROWS rows of A, A[i, k] = a[a_at + i * a_row + k * a_column], of
    which one step is 1, and a B that is packed at space[b_at]. An A that must be packed goes to
    space[a_to]."""
    by = _by_amx if in_tiles(space) else _by_vectors
    by(c, c_at, ldc, a, a_at, a_row, a_column, space, a_to, b_at, rows, columns, depth, accumulate,
      edge)  # fmt: skip


@inlined
def _by_vectors(c, c_at, ldc, a, a_at, a_row, a_column, space, a_to, b_at, rows, columns, depth,
                 accumulate, edge):  # fmt: skip
    words = words_of(space, depth)
    strip = words * columns_of(c)
    if a_column != 1:
        pack_transposed_rows(space, a_to, a, a_at, a_column, rows, depth)
        multiply(c, c_at, ldc, space, a_to, 1, ROWS, ROWS * words, space, b_at, strip, rows,
                 columns, words, accumulate, edge)  # fmt: skip
    else:
        at, row = a_at, a_row
        if numbers_in(space) == 2:
            pair_rows(space, a_to, a, a_at, a_row, rows, depth)
            at, row = a_to, words
        multiply(c, c_at, ldc, pairs_or_numbers(space, a), at, row, 1, ROWS * row, space, b_at,
                 strip, rows, columns, words, accumulate, edge)  # fmt: skip


@inlined
def _by_amx(c, c_at, ldc, a, a_at, a_row, a_column, space, a_to, b_at, rows, columns, depth,
            accumulate, edge):  # fmt: skip
    pack_tiles(space, a_to, a, a_at, a_row, a_column, rows, depth)
    amx.multiply(c, c_at, ldc, space, a_to, space, b_at, rows, columns, rows_of_strip(space, depth),
                 accumulate, edge)  # fmt: skip


@overload(multiply_block)
def _overload_multiply_block(c, c_at, ldc, a, a_at, a_row, a_column, space, a_to, b_at, rows,
                             columns, depth, accumulate, edge):  # fmt: skip
    by = _by_amx if in_tiles(space) else _by_vectors

    def multiply_block(c, c_at, ldc, a, a_at, a_row, a_column, space, a_to, b_at, rows, columns,
                       depth, accumulate, edge):  # fmt: skip
        by(c, c_at, ldc, a, a_at, a_row, a_column, space, a_to, b_at, rows, columns, depth,
           accumulate, edge)  # fmt: skip

    return multiply_block


@kernel
def gemm_kernel(t, c3, a3, b3, bias, transpose_a, transpose_b, accumulate, task_rows, task_columns,
                panel, counters, edges, spaces):  # fmt: skip
    """Thread t takes tasks until there are no more: task_rows x task_columns numbers of C.

    Of B, `panel` columns are packed at a time. edges (threads, BLOCK_ROWS * COLUMNS); spaces
    (threads, (panel + BLOCK_ROWS) * DEPTH), uint32 for products in bfloat16
    """
    batch, m, n = c3.shape
    depth_all = a3.shape[1] if transpose_a else a3.shape[2]
    c, a, b, edge, space = c3.reshape(-1), a3.reshape(-1), b3.reshape(-1), edges[t], spaces[t]
    a_row, a_column = (1, m) if transpose_a else (depth_all, 1)
    packed_b, packed_a = 0, panel * DEPTH
    b_row, b_column = (1, depth_all) if transpose_b else (n, 1)
    tasks_down = (m + task_rows - 1) // task_rows
    tasks_each = tasks_down * ((n + task_columns - 1) // task_columns)
    amx.begin(space)
    task = take(counters, TAKEN)
    while task < batch * tasks_each:
        which, rest = task // tasks_each, task % tasks_each
        i_0, j_0 = rest % tasks_down * task_rows, rest // tasks_down * task_columns
        rows, j_end = min(task_rows, m - i_0), min(n, j_0 + task_columns)
        if bias.size:
            for i in range(i_0, i_0 + rows):
                c_i = which * m * n + i * n
                to, row = c[c_i + j_0 : c_i + j_end], bias[j_0:j_end]
                for s in range(row.size):
                    to[s] = row[s]
        for k in range(0, max(1, depth_all), DEPTH * numbers_in(space)):
            depth = min(DEPTH * numbers_in(space), depth_all - k)
            add = accumulate or bias.size > 0 or k > 0
            a_at = which * m * depth_all + i_0 * a_row + k * a_column
            for j in range(j_0, j_end, panel):
                columns = min(panel, j_end - j)
                b_at = which * depth_all * n + k * b_row + j * b_column
                pack(space, packed_b, b, b_at, b_row, b_column, depth, columns)
                c_at = which * m * n + i_0 * n + j
                for i in range(0, rows, BLOCK_ROWS):
                    block = min(BLOCK_ROWS, rows - i)
                    multiply_block(c, c_at + i * n, n, a, a_at + i * a_row, a_row, a_column, space,
                                   packed_a, packed_b, block, columns, depth, add,
                                   edge)  # fmt: skip
        task = take(counters, TAKEN)
    amx.end(space)
    reset(counters, len(spaces))


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
    """out (batch, M, N) = a @ b (+ bias (N,), or + out): C-contiguous, all float32 or float64.

    With `precision("bfloat16")`, float32 operands are rounded to bfloat16 first.
    """
    batch, m, n = out.shape
    depth = a.shape[1] if transpose_a else a.shape[2]
    threads = get_num_threads() if batch * m * n * depth > SERIAL_WORK else 1
    pairs = out.dtype == np.float32 and get_precision() == "bfloat16"
    width, packs_a = columns_of(out), transpose_a or pairs
    step = amx.ROWS if pairs and has_amx() else ROWS
    rows, columns = _task_size(batch, m, n, step, width, threads, packs_a)
    panel = -(-(columns if packs_a else min(columns, PANEL)) // width) * width  # whole strips
    gemm_kernel.run(
        threads, threads, out, a, b, _NO_BIAS[out.dtype] if bias is None else bias,
        transpose_a, transpose_b, accumulate, rows, columns, panel, workspace().counters,
        workspace().get("edges", out.dtype, threads, BLOCK_ROWS * width),
        workspace().get("gemm", np.dtype(np.uint32) if pairs else out.dtype, threads,
                        DEPTH * (panel + BLOCK_ROWS)),
    )  # fmt: skip
    return out


def _task_size(
    batch: int, m: int, n: int, step: int, width: int, threads: int, packs_a: bool
) -> tuple[int, int]:
    """Rows and columns of C in a task, multiples of `step` and `width`: some tasks for each thread
    where C is large enough.

    Each task packs its part of B for itself, and its part of an A that is transposed or rounded:
    then the longer side is halved, down to SMALL_TASK. With an A in place, columns are cut first:
    B is packed once.
    """
    rows, columns = max(m, 1), max(n, 1)
    while True:
        tasks = batch * -(-m // rows) * -(-n // columns)
        few = tasks < TASKS * threads and not (packs_a and rows * columns <= SMALL_TASK)
        if not (few or tasks < threads or (packs_a and columns > MOST_COLUMNS)):
            return rows, columns
        can_columns, can_rows = columns > width, rows > 4 * step
        if can_columns and (not packs_a or columns > rows or not can_rows):
            columns = -(-columns // (2 * width)) * width
        elif can_rows:
            rows = -(-rows // (2 * step)) * step
        else:
            return rows, columns

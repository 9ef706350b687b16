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

4. `gemm` cuts C into tasks, some rows times some columns. Threads take the next task when they are
   done with one, so that a thread whose core is slower, or busy with something else, does not hold
   up the others. A thread packs what its task needs into memory of its own: nothing is shared, and
   nobody waits. Every number of C is summed over k in the same order whoever does it: the result
   does not depend on the threads.

In bfloat16 (see `precision`), A and B are rounded while they are packed, two numbers of k and k + 1
to a word of 32 bits, and `tile` multiplies pairs; sums are float32.

    C (batch, M, N), A (batch, M, K) or (batch, K, M), B (batch, K, N) or (batch, N, K)
"""

import contextlib
import threading
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import numpy as np

from tinygrad_lite.kernels.compile import get_num_threads, inlined, kernel
from tinygrad_lite.kernels.tile import (
    FEW_ROWS,
    ROWS,
    SQUARE,
    VECTOR_BYTES,
    VECTORS,
    columns_of,
    copy_columns,
    copy_rows,
    has_bfloat16,
    pairs_few,
    pairs_one,
    pairs_rows,
    take,
    tile_few,
    tile_one,
    tile_rows,
    turn_columns,
)

DEPTH = 384  # k-steps: a strip of B, DEPTH x COLUMNS x 4 bytes, and one of A fit an L1 cache
BLOCK_ROWS = 96  # rows of A walked while a strip of B stays in L1: BLOCK_ROWS x DEPTH fits L2
PANEL = 128  # columns of B packed at a time: PANEL x DEPTH and a block of A fit an L2 cache
TAKEN, LEFT, COUNTERS = 0, 8, 16  # counters that threads share, each in a cache line of its own
PRECISIONS = ("float32", "bfloat16", "auto")
PAIRS = False  # whether words of A and B hold two bfloat16 numbers
SERIAL_WORK = 20_000  # multiply-adds below which starting threads costs more than it saves


@inlined
def reset(counters, threads):
    """At a kernel's end: the last thread sets the counters to 0 for the next kernel."""
    if take(counters, LEFT) == threads - 1:
        counters[:] = 0


@inlined
def in_strips(rows):
    """How many of `rows` rows go in strips of ROWS; the rest go by FEW_ROWS, as far as it can be,
    because a tile with a single row waits for its own sums."""
    whole = rows // ROWS * ROWS
    return whole - ROWS if rows - whole == 2 * FEW_ROWS - ROWS and whole else whole


@inlined
def multiply(c, c_at, ldc, a, a_at, a_row, a_column, a_strip, b, b_at, b_strip, rows, columns,
             depth, accumulate, edge, edge_at):  # fmt: skip
    """C (+)= A B for a B that `pack` has packed at b[b_at], its strips b_strip numbers apart.

    C[i, j] is c[c_at + i * ldc + j]. A[i, k] is a[a_at + i * a_row + k * a_column] for i < ROWS;
    each further strip of ROWS rows begins a_strip numbers after the one before. With a_column =
    ROWS, A is as `pack_rows` leaves it. The last strip of B may be wider than C: its tiles go to
    edge[edge_at:], BLOCK_ROWS x COLUMNS numbers.
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
    whole = columns // width
    if b_column == 1:
        copy_columns(packed, at, b, b_at, b_row, whole, depth)
    for s in range(whole if b_column > 1 else 0):
        strip, source = at + s * width * depth, b_at + s * width * b_column
        turned = depth // SQUARE * SQUARE if b_row == 1 else 0
        turn_columns(packed, strip, b, source, b_column, turned)
        for k in range(turned, depth):
            to, row = packed[strip + k * width :], b[source + k * b_row :]
            for j in range(width):
                to[j] = row[j * b_column]
    rest = columns - whole * width
    for k in range(depth if rest else 0):
        to = packed[at + (whole * depth + k) * width :]
        row = b[b_at + k * b_row + whole * width * b_column :]
        for j in range(rest):
            to[j] = row[j * b_column]
        for j in range(rest, width):
            to[j] = 0


@inlined
def pack_rows(packed, at, a, a_at, lda, rows, depth):
    """Copy `rows` rows of A, A[i, k] = a[a_at + k * lda + i]: strips of ROWS rows, then one strip
    with the rest."""
    whole = in_strips(rows)
    copy_rows(packed, at, a, a_at, lda, whole // ROWS, depth)
    rest = rows - whole
    for k in range(depth if rest else 0):
        to, row = packed[at + whole * depth + k * rest :], a[a_at + k * lda + whole :]
        for i in range(rest):
            to[i] = row[i]


@inlined
def rounded(bits):
    """The bits of a float32 number whose upper half is the nearest bfloat16 (ties to even)"""
    if (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000):  # NaN: keep it one
        return bits | np.uint32(0x00400000)
    return bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))


@inlined
def join_pairs(packed, at, depth, width):
    """In place: rows k and k + 1 of a strip (depth, width) become row k / 2, of pairs."""
    words, upper = packed.view(np.uint32), np.uint32(0xFFFF0000)
    for k in range(0, depth, 2):
        lower_row = words[at + k * width : at + (k + 1) * width]
        upper_row = words[at + (k + 1) * width : at + (k + 2) * width]
        pairs = words[at + k // 2 * width : at + (k // 2 + 1) * width]
        if k + 1 < depth:
            for j in range(width):
                low = rounded(lower_row[j]) >> np.uint32(16)
                pairs[j] = low | (rounded(upper_row[j]) & upper)
        else:
            for j in range(width):
                pairs[j] = rounded(lower_row[j]) >> np.uint32(16)


@inlined
def pair_rows(packed, at, a, a_at, lda, rows, depth):
    """Rows of A, A[i, k] = a[a_at + i * lda + k], rounded: rows of (depth + 1) // 2 pairs"""
    words = (depth + 1) // 2
    bits, halves = a.view(np.uint32), packed.view(np.uint16)
    for i in range(rows):
        row = bits[a_at + i * lda : a_at + i * lda + depth]
        numbers = halves[2 * (at + i * words) : 2 * (at + (i + 1) * words)]
        for k in range(depth):
            numbers[k] = np.uint16(rounded(row[k]) >> np.uint32(16))
        if depth % 2:
            numbers[depth] = 0


@kernel
def gemm_kernel(t, c3, a3, b3, bias, transpose_a, transpose_b, accumulate, task_rows, task_columns,
                counters, spaces):  # fmt: skip
    """Thread t takes tasks until there are no more: task_rows x task_columns numbers of C."""
    batch, m, n = c3.shape
    depth_all = a3.shape[1] if transpose_a else a3.shape[2]
    c, a, b, space = c3.reshape(-1), a3.reshape(-1), b3.reshape(-1), spaces[t]
    width = columns_of(c)
    packed_b, packed_a = BLOCK_ROWS * width, BLOCK_ROWS * width + PANEL * DEPTH
    b_row, b_column = (1, depth_all) if transpose_b else (n, 1)
    tasks_down = (m + task_rows - 1) // task_rows
    tasks_each = tasks_down * ((n + task_columns - 1) // task_columns)
    task = take(counters, TAKEN)
    while task < batch * tasks_each:
        which, rest = task // tasks_each, task % tasks_each
        i_0, j_0 = rest % tasks_down * task_rows, rest // tasks_down * task_columns
        i_end, j_end = min(m, i_0 + task_rows), min(n, j_0 + task_columns)
        if bias.size:
            for i in range(i_0, i_end):
                c_i = which * m * n + i * n
                to, row = c[c_i + j_0 : c_i + j_end], bias[j_0:j_end]
                for s in range(row.size):
                    to[s] = row[s]
        for k in range(0, max(1, depth_all), DEPTH):
            depth = min(DEPTH, depth_all - k)
            add = accumulate or bias.size > 0 or k > 0
            for j in range(j_0, j_end, PANEL):
                columns = min(PANEL, j_end - j)
                b_at = which * depth_all * n + k * b_row + j * b_column
                pack(space, packed_b, b, b_at, b_row, b_column, depth, columns)
                if PAIRS:
                    for strip in range(0, columns, width):
                        join_pairs(space, packed_b + strip * depth, depth, width)
                if not transpose_a and not PAIRS:
                    a_at = which * m * depth_all + i_0 * depth_all + k
                    multiply(c, which * m * n + i_0 * n + j, n,
                             a, a_at, depth_all, 1, ROWS * depth_all,
                             space, packed_b, depth * width, i_end - i_0, columns, depth,
                             add, space, 0)  # fmt: skip
                    continue
                for i in range(i_0, i_end, BLOCK_ROWS):
                    rows = min(BLOCK_ROWS, i_end - i)
                    if j == j_0 or i_end - i_0 > BLOCK_ROWS:  # else it is there
                        if transpose_a:
                            a_at = which * m * depth_all + k * m + i
                            pack_rows(space, packed_a, a, a_at, m, rows, depth)
                            if PAIRS:
                                whole = in_strips(rows)
                                for strip in range(0, whole, ROWS):
                                    join_pairs(space, packed_a + strip * depth, depth, ROWS)
                                join_pairs(space, packed_a + whole * depth, depth, rows - whole)
                        elif PAIRS:
                            a_at = which * m * depth_all + i * depth_all + k
                            pair_rows(space, packed_a, a, a_at, depth_all, rows, depth)
                    multiply(c, which * m * n + i * n + j, n, space, packed_a,
                             1 if transpose_a else (depth + 1) // 2,
                             ROWS if transpose_a else 1,
                             ROWS * (depth if transpose_a else (depth + 1) // 2),
                             space, packed_b, depth * width, rows, columns,
                             (depth + 1) // 2 if PAIRS else depth,
                             add, space, 0)  # fmt: skip
        task = take(counters, TAKEN)
    reset(counters, len(spaces))


def _of_pairs(function: Any, **names: Any) -> FunctionType:
    """The function on pairs of bfloat16: its code, with other meanings of a few names in it"""
    name = f"{function.__name__}_bfloat16"
    own = FunctionType(function.__code__, {**function.__globals__, "PAIRS": True, **names}, name)
    own.__qualname__ = name
    return own


gemm_bfloat16_kernel = kernel(
    _of_pairs(
        gemm_kernel.function,
        multiply=inlined(
            _of_pairs(
                getattr(multiply, "py_func", multiply),
                tile_rows=pairs_rows,
                tile_few=pairs_few,
                tile_one=pairs_one,
            )
        ),
    )
)


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


class _Precision(threading.local):
    name = "float32"


_precision = _Precision()


def get_precision() -> str:
    """In what float32 matrices are multiplied in this Python thread: "float32" or "bfloat16" """
    return _precision.name


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Within this context float32 matrices are multiplied in "float32", or in "bfloat16": operands
    are rounded to 8 bits of mantissa, sums are float32, and so is everything else. "auto" is
    bfloat16 on CPUs that multiply it (AVX512-BF16); elsewhere bfloat16 is slower than float32."""
    if name not in PRECISIONS:
        raise ValueError(
            f"precision: there are {', '.join(PRECISIONS)}.\n  got {name!r}\n  try 'auto'"
        )
    before = _precision.name
    _precision.name = ("bfloat16" if has_bfloat16() else "float32") if name == "auto" else name
    try:
        yield
    finally:
        _precision.name = before


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
    width = VECTORS * VECTOR_BYTES // out.itemsize
    threads = get_num_threads() if batch * m * n * depth > SERIAL_WORK else 1
    pairs = out.dtype == np.float32 and get_precision() == "bfloat16"
    packs_a = transpose_a or pairs
    rows, columns = _task_size(batch, m, n, width, (3 if packs_a else 4) * threads, packs_a)
    bias = _NO_BIAS[out.dtype] if bias is None else bias
    spaces = workspace.get(
        "gemm", out.dtype, threads, BLOCK_ROWS * width + DEPTH * (PANEL + BLOCK_ROWS)
    )
    run = gemm_bfloat16_kernel.run if pairs else gemm_kernel.run
    run(
        threads, threads, out, a, b, bias, transpose_a, transpose_b, accumulate, rows, columns,
        workspace.counters, spaces,
    )  # fmt: skip
    return out


def _task_size(
    batch: int, m: int, n: int, width: int, enough: int, packs_a: bool
) -> tuple[int, int]:
    """Rows and columns of C in a task, so that there are `enough` tasks where C is large enough.

    Each task packs its part of B for itself, and its part of an A that is transposed or rounded;
    then the longer side is halved. With an A in place, columns are cut first: B is packed once.
    """
    rows, columns = max(m, 1), max(n, 1)
    if packs_a:  # at most one block of rows, which is packed once for all its columns
        blocks = -(-rows // BLOCK_ROWS)
        rows = min(rows, -(-rows // (blocks * ROWS)) * ROWS)
    while batch * -(-m // rows) * -(-n // columns) < enough:
        can_columns, can_rows = columns > width, rows > 4 * ROWS
        if can_columns and (not packs_a or columns > rows or not can_rows):
            columns = -(-columns // (2 * width)) * width
        elif can_rows:
            rows = -(-rows // (2 * ROWS)) * ROWS
        else:
            break
    return rows, columns

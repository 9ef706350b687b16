"""The matrix product C = A B, the loop in which a GPT spends its time.

How it works, from the inside out (after Goto and van de Geijn, "Anatomy of High-Performance
Matrix Multiplication", 2008, and the BLIS papers):

1. `tile` keeps a small block of C, `ROWS` x `COLUMNS`, in vector registers. For each k it loads
   one row of B (a few vectors), broadcasts one number of A per row, and multiplies and adds:
   C[i, :] += A[i, k] * B[k, :]. Each number that is loaded is used many times, so the arithmetic
   units, not the memory, set the pace. LLVM's vectoriser does not find this shape by itself;
   `tile` is therefore emitted as LLVM vector instructions, and `_tile_in_python` says the same in
   three lines.

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
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from tinygrad_lite.kernels.compile import get_num_threads, inlined, kernel


def _vector_bytes_and_registers() -> tuple[int, int]:
    """Width and number of the vector registers of the CPU that Numba compiles for."""
    features = numba.config.CPU_FEATURES
    if features is None:
        features = llvm.get_host_cpu_features().flatten()
    if "+avx512f" in features:
        return 64, 32
    if "+avx" in features:
        return 32, 16
    if "+neon" in features:
        return 16, 32
    return 16, 16


_VECTOR_BYTES, _REGISTERS = _vector_bytes_and_registers()
# Accumulators fill most registers; the others hold a row of B and a broadcast number of A.
ROWS = 12 if _REGISTERS == 32 else 6
_VECTORS = 2  # vectors in a row of a tile
FEW_ROWS = 4  # the last rows of a block that is no multiple of ROWS go in fours, then singly
COLUMNS_FLOAT32 = _VECTORS * _VECTOR_BYTES // 4
COLUMNS_FLOAT64 = _VECTORS * _VECTOR_BYTES // 8
DEPTH = 256  # k-steps: a strip of B, DEPTH x COLUMNS x 4 bytes, takes half of an L1 cache
BLOCK_ROWS = 96  # rows of A walked while a strip of B stays in L1: BLOCK_ROWS x DEPTH fits L2
PACKED = 1 << 20  # numbers of B packed at a time: they stay in the L3 cache
SERIAL_WORK = 20_000  # multiply-adds below which starting threads costs more than it saves


def columns_of(array):
    """Width of a tile for the dtype of an array, or of Numba's type of one"""
    return COLUMNS_FLOAT32 if str(array.dtype) == "float32" else COLUMNS_FLOAT64


@overload(columns_of)
def _overload_columns_of(array):
    width = columns_of(array)
    return lambda array: width


def _tile_in_python(rows: int) -> Any:
    """What `tile` computes: C[i, :] (+)= sum over k of A[i, k] * B[k, :], a strip of B wide."""

    def tile(c, c_at, ldc, a, a_at, a_row, a_column, b, b_at, depth, accumulate):
        columns = columns_of(c)
        b_strip = b[b_at : b_at + depth * columns].reshape(depth, columns)
        for i in range(rows):
            a_i = a[a_at + i * a_row :: a_column][:depth]
            row = c[c_at + i * ldc : c_at + i * ldc + columns]
            row[:] = a_i @ b_strip + (row if accumulate else 0)

    return tile


def _tile_in_llvm(rows: int) -> Any:
    """The same as an LLVM loop over k with `rows` x `_VECTORS` accumulators in registers."""

    @intrinsic
    def tile(typing, c, c_at, ldc, a, a_at, a_row, a_column, b, b_at, depth, accumulate):
        i64 = types.int64
        signature = types.void(c, i64, i64, a, i64, i64, i64, b, i64, i64, types.boolean)

        def generate(context, builder, sig, args):
            def pointer(position, offset):
                array = context.make_array(sig.args[position])(context, builder, args[position])
                return builder.gep(array.data, [args[offset]])

            number = context.get_data_type(c.dtype)
            function = _tile_function(builder.module, rows, number, c.dtype.bitwidth)
            c_start, a_start, b_start = pointer(0, 1), pointer(3, 4), pointer(7, 8)
            flag = builder.icmp_unsigned("!=", args[10], args[10].type(0))
            builder.call(
                function,
                [c_start, args[2], a_start, args[5], args[6], b_start, args[9], flag],
            )
            return context.get_dummy_value()

        return signature, generate

    return tile


def _tile_function(module: ir.Module, rows: int, number: ir.Type, bits: int) -> ir.Function:
    """The LLVM function tile(c, ldc, a, a_row, a_column, b, depth, accumulate) in `module`."""
    name = f"tinygrad_lite_tile_{rows}_float{bits}"
    if name in module.globals:
        return module.globals[name]
    word, lanes = ir.IntType(64), _VECTOR_BYTES * 8 // bits
    vector, here = ir.VectorType(number, lanes), number.as_pointer()
    function = ir.Function(
        module,
        ir.FunctionType(ir.VoidType(), [here, word, here, word, word, here, word, ir.IntType(1)]),
        name,
    )
    # One copy, called and never inlined: this is what keeps the time to compile short.
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    c, ldc, a, a_row, a_column, b, depth, accumulate = function.args
    start, loop, after, add, replace = (
        function.append_basic_block(block) for block in ("start", "loop", "after", "add", "replace")
    )
    builder = ir.IRBuilder(start)
    nothing = ir.Constant(vector, [0.0] * lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    lane_0 = ir.Constant(ir.IntType(32), 0)
    every_lane = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    tiles = [(i, v) for i in range(rows) for v in range(_VECTORS)]

    def vector_at(pointer, offset):
        return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

    builder.cbranch(builder.icmp_signed(">", depth, word(0)), loop, after)

    builder.position_at_end(loop)
    k, a_k, b_k = builder.phi(word), builder.phi(here), builder.phi(here)
    sums = {tile: builder.phi(vector) for tile in tiles}
    b_row = [builder.load(vector_at(b_k, word(v * lanes)), align=bits // 8) for v in range(_VECTORS)]
    later = {}
    for i in range(rows):
        a_ik = builder.load(builder.gep(a_k, [builder.mul(a_row, word(i))]))
        a_ik = builder.insert_element(undefined, a_ik, lane_0)
        a_ik = builder.shuffle_vector(a_ik, undefined, every_lane)
        for v in range(_VECTORS):
            # "contract": one fused multiply-add where the CPU has it.
            product = builder.fmul(a_ik, b_row[v], flags=["contract"])
            later[i, v] = builder.fadd(sums[i, v], product, flags=["contract"])
    next_k = builder.add(k, word(1))
    next_a = builder.gep(a_k, [a_column])
    next_b = builder.gep(b_k, [word(_VECTORS * lanes)])
    phis = [(k, word(0), next_k), (a_k, a, next_a), (b_k, b, next_b)]
    for phi, first, following in phis + [(sums[t], nothing, later[t]) for t in tiles]:
        phi.add_incoming(first, start)
        phi.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", next_k, depth), loop, after)

    builder.position_at_end(after)
    totals = {tile: builder.phi(vector) for tile in tiles}
    for tile, total in totals.items():
        total.add_incoming(nothing, start)
        total.add_incoming(later[tile], loop)
    builder.cbranch(accumulate, add, replace)
    for block in (add, replace):
        builder.position_at_end(block)
        for (i, v), total in totals.items():
            place = vector_at(c, builder.add(builder.mul(ldc, word(i)), word(v * lanes)))
            if block is add:
                total = builder.fadd(builder.load(place, align=bits // 8), total)
            builder.store(total, place, align=bits // 8)
        builder.ret_void()
    return function


def _copy_in_python(width_of: Any) -> Any:
    """What `copy` does: `depth` rows of `width_of` numbers, b_row apart, one after the other."""

    def copy(packed, at, b, b_at, b_row, depth):
        width = width_of(packed)
        for k in range(depth):
            source = b_at + k * b_row
            packed[at + k * width : at + (k + 1) * width] = b[source : source + width]

    return copy


def _copy_in_llvm(width_of: Any) -> Any:
    """The same with vector loads and stores: in a loop over numbers LLVM fears that they overlap."""

    @intrinsic
    def copy(typing, packed, at, b, b_at, b_row, depth):
        i64 = types.int64
        signature = types.void(packed, i64, b, i64, i64, i64)

        def generate(context, builder, sig, args):
            number = context.get_data_type(packed.dtype)
            width, align = width_of(packed), packed.dtype.bitwidth // 8
            vector, word = ir.VectorType(number, width), ir.IntType(64)
            start = []
            for position in (0, 2):
                array = context.make_array(sig.args[position])(context, builder, args[position])
                start.append(builder.gep(array.data, [args[position + 1]]))
            with cgutils.for_range(builder, args[5]) as loop:
                to = builder.gep(start[0], [builder.mul(loop.index, word(width))])
                source = builder.gep(start[1], [builder.mul(loop.index, args[4])])
                row = builder.load(builder.bitcast(source, vector.as_pointer()), align=align)
                builder.store(row, builder.bitcast(to, vector.as_pointer()), align=align)
            return context.get_dummy_value()

        return signature, generate

    return copy


def _take_in_python(counters, i):
    """The value of counters[i], which is then one higher: the next task, taken by one thread."""
    counters[i] += 1
    return counters[i] - 1


@intrinsic
def _take_in_llvm(typing, counters, i):
    """The same, atomically. A thread that gets less of its core takes fewer tasks."""

    def generate(context, builder, sig, args):
        array = context.make_array(sig.args[0])(context, builder, args[0])
        return builder.atomic_rmw("add", builder.gep(array.data, [args[1]]), args[1].type(1), "monotonic")

    return types.int64(counters, types.int64), generate


_in_python = numba.config.DISABLE_JIT
_make_tile = _tile_in_python if _in_python else _tile_in_llvm
_make_copy = _copy_in_python if _in_python else _copy_in_llvm
_tile_rows, _tile_few, _tile_one = _make_tile(ROWS), _make_tile(FEW_ROWS), _make_tile(1)
take = _take_in_python if _in_python else _take_in_llvm
_copy_columns = _make_copy(columns_of)
_copy_rows = _make_copy(lambda array: ROWS)


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
                _tile_rows(out, at + r * ld, ld, a, a_r, a_row, a_column, b, b_j, depth, add)
                r += ROWS
                a_r += a_strip
            while r + FEW_ROWS <= block:
                _tile_few(out, at + r * ld, ld, a, a_r, a_row, a_column, b, b_j, depth, add)
                r += FEW_ROWS
                a_r += FEW_ROWS * a_row
            while r < block:
                _tile_one(out, at + r * ld, ld, a, a_r, a_row, a_column, b, b_j, depth, add)
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
            _copy_columns(packed, strip, b, source, b_row, depth)
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
            _copy_rows(packed, strip, a, a_at + i, lda, depth)
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
                to = panel * panel_size + task % strips * width * DEPTH
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
                        _pack_rows(space, a_at, a, which * m * depth_all + k * m + i, m, rows, depth)
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


gemm_parallel = kernel(_gemm)
gemm_serial = kernel(_gemm, parallel=False)


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
    width = _VECTORS * _VECTOR_BYTES // out.itemsize
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

"""What the matrix product emits as LLVM instructions: register tiles, copies, a task counter.

Each intrinsic has a twin in plain Python, which explains it and runs under NUMBA_DISABLE_JIT=1.
The tile's shape follows the vector registers of the CPU that Numba compiles for; on a CPU with
narrower registers LLVM splits the vectors, and the results are the same up to rounding.
"""

import functools
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload


def _cpu_features() -> str:
    """Those of the CPU that Numba compiles for, "+avx2,-avx512f,..." """
    features = numba.config.CPU_FEATURES
    if features is None:
        features = llvm.get_host_cpu_features().flatten()
    return features


def has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 numbers (AVX512-BF16): else it is done in software."""
    return "+avx512bf16" in _cpu_features()


def _vector_bytes_and_registers() -> tuple[int, int]:
    """Width and number of the vector registers of the CPU that Numba compiles for."""
    features = _cpu_features()
    if "+avx512f" in features:
        return 64, 32
    if "+avx" in features:
        return 32, 16
    if "+neon" in features:
        return 16, 32
    return 16, 16


VECTOR_BYTES, _REGISTERS = _vector_bytes_and_registers()
# Accumulators fill most registers; the others hold a row of B and a broadcast number of A.
ROWS = 12 if _REGISTERS == 32 else 6
VECTORS = 2  # vectors in a row of a tile
SQUARE = 8 if VECTOR_BYTES >= 32 else 4  # side of the squares that are transposed in registers
FEW_ROWS = 4  # the last rows of a block that is no multiple of ROWS go in fours, then singly
COLUMNS_FLOAT32 = VECTORS * VECTOR_BYTES // 4
COLUMNS_FLOAT64 = VECTORS * VECTOR_BYTES // 8


def columns_of(array):
    """Width of a tile for the dtype of an array, or of Numba's type of one"""
    return COLUMNS_FLOAT32 if str(array.dtype) == "float32" else COLUMNS_FLOAT64


@overload(columns_of)
def _overload_columns_of(array):
    width = columns_of(array)
    return lambda array: width


def tile_in_python(rows: int) -> Any:
    """What `tile` computes: C[i, :] (+)= sum over k of A[i, k] * B[k, :], a strip of B wide."""

    def tile(c, c_at, ldc, a, a_at, a_row, a_column, b, b_at, depth, accumulate):
        columns = columns_of(c)
        b_strip = b[b_at : b_at + depth * columns].reshape(depth, columns)
        for i in range(rows):
            a_i = a[a_at + i * a_row :: a_column][:depth]
            row = c[c_at + i * ldc : c_at + i * ldc + columns]
            row[:] = a_i @ b_strip + (row if accumulate else 0)

    return tile


def pairs_tile_in_python(rows: int) -> Any:
    """The same for A and B whose words of 32 bits hold two bfloat16 numbers, those of k and k + 1:
    the upper halves of float32 numbers. `depth` counts pairs; C is float32."""

    def tile(c, c_at, ldc, a, a_at, a_row, a_column, b, b_at, depth, accumulate):
        for half in (0, 1):
            a_half, b_half = (_half_in_python(x, half) for x in (a, b))
            single = tile_in_python(rows)
            single(c, c_at, ldc, a_half, a_at, a_row, a_column, b_half, b_at, depth,
                   accumulate or half == 1)  # fmt: skip

    return tile


def _half_in_python(words, half):
    """The lower or the upper bfloat16 of each word as float32"""
    bits = words.view(np.uint32)
    return (bits << 16 if half == 0 else bits & 0xFFFF0000).view(np.float32)


def _tile_in_llvm(rows: int, pairs: bool = False) -> Any:
    """The same as an LLVM loop over k with `rows` x `VECTORS` accumulators in registers."""

    @intrinsic
    def tile(typing, c, c_at, ldc, a, a_at, a_row, a_column, b, b_at, depth, accumulate):
        i64 = types.int64
        signature = types.void(c, i64, i64, a, i64, i64, i64, b, i64, i64, types.boolean)

        def generate(context, builder, sig, args):
            def pointer(position, offset):
                array = context.make_array(sig.args[position])(context, builder, args[position])
                return builder.gep(array.data, [args[offset]])

            number = context.get_data_type(c.dtype)
            function = _tile_function(builder.module, rows, number, c.dtype.bitwidth, pairs)
            c_start, a_start, b_start = pointer(0, 1), pointer(3, 4), pointer(7, 8)
            flag = builder.icmp_unsigned("!=", args[10], args[10].type(0))
            builder.call(
                function,
                [c_start, args[2], a_start, args[5], args[6], b_start, args[9], flag],
            )
            return context.get_dummy_value()

        return signature, generate

    return tile


class _BFloat16(ir.Type):
    """llvmlite has no such type; LLVM calls it bfloat."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat16)

    def __hash__(self) -> int:
        return hash(_BFloat16)


def _multiply_pairs(builder: ir.IRBuilder, total: ir.Value, a: ir.Value, b: ir.Value) -> ir.Value:
    """total + a_lower * b_lower + a_upper * b_upper in each lane, a and b pairs of bfloat16"""
    lanes = total.type.count
    if has_bfloat16():
        kind = ir.VectorType(_BFloat16(), 2 * lanes)
        dot = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(total.type, [total.type, kind, kind]),
            f"llvm.x86.avx512bf16.dpbf16ps.{32 * lanes}",
        )
        return builder.call(dot, [total, builder.bitcast(a, kind), builder.bitcast(b, kind)])
    words = ir.VectorType(ir.IntType(32), lanes)
    a, b = builder.bitcast(a, words), builder.bitcast(b, words)
    shift, mask = (ir.Constant(words, [n] * lanes) for n in (16, 0xFFFF0000))
    for halves in ([builder.shl(x, shift) for x in (a, b)],
                   [builder.and_(x, mask) for x in (a, b)]):  # fmt: skip
        product = builder.fmul(
            *(builder.bitcast(half, total.type) for half in halves), flags=["contract"]
        )
        total = builder.fadd(total, product, flags=["contract"])
    return total


def _tile_function(
    module: ir.Module, rows: int, number: ir.Type, bits: int, pairs: bool
) -> ir.Function:
    """The LLVM function tile(c, ldc, a, a_row, a_column, b, depth, accumulate) in `module`."""
    name = f"tinygrad_lite_tile_{rows}_{'bfloat16' if pairs else f'float{bits}'}"
    if name in module.globals:
        return module.globals[name]
    word, lanes = ir.IntType(64), VECTOR_BYTES * 8 // bits
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
    tiles = [(i, v) for i in range(rows) for v in range(VECTORS)]

    def vector_at(pointer, offset):
        return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

    builder.cbranch(builder.icmp_signed(">", depth, word(0)), loop, after)

    builder.position_at_end(loop)
    k, a_k, b_k = builder.phi(word), builder.phi(here), builder.phi(here)
    sums = {tile: builder.phi(vector) for tile in tiles}
    b_row = [builder.load(vector_at(b_k, word(v * lanes)), align=bits // 8) for v in range(VECTORS)]
    later = {}
    for i in range(rows):
        a_ik = builder.load(builder.gep(a_k, [builder.mul(a_row, word(i))]))
        a_ik = builder.insert_element(undefined, a_ik, lane_0)
        a_ik = builder.shuffle_vector(a_ik, undefined, every_lane)
        for v in range(VECTORS):
            if pairs:
                later[i, v] = _multiply_pairs(builder, sums[i, v], a_ik, b_row[v])
                continue
            # "contract": one fused multiply-add where the CPU has it.
            product = builder.fmul(a_ik, b_row[v], flags=["contract"])
            later[i, v] = builder.fadd(sums[i, v], product, flags=["contract"])
    next_k = builder.add(k, word(1))
    next_a = builder.gep(a_k, [a_column])
    next_b = builder.gep(b_k, [word(VECTORS * lanes)])
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


def copy_in_python(width_of: Any) -> Any:
    """Cut a matrix, X[k, j] = x[x_at + k * x_row + j], into strips that are width_of(x) wide, one
    after the other, each with its `depth` rows one after the other."""

    def copy(packed, at, x, x_at, x_row, strips, depth):
        width = width_of(x)
        for k in range(depth):
            for s in range(strips):
                to, source = at + (s * depth + k) * width, x_at + k * x_row + s * width
                packed[to : to + width] = x[source : source + width]

    return copy


def turn_columns_in_python(packed, at, b, b_at, b_column, depth):
    """The same of a B that lies transposed, its columns contiguous and b_column apart; `depth` is a
    multiple of SQUARE"""
    width = columns_of(packed)
    for s in range(width):
        source = b_at + s * b_column
        packed[at + s : at + depth * width : width] = b[source : source + depth]


def _copy_in_llvm(width_of: Any) -> Any:
    """The same with vector moves: for a loop over numbers LLVM must fear that arrays overlap. A row
    of memory is read from end to end before the next one: each cache line is touched once."""

    @intrinsic
    def copy(typing, packed, at, x, x_at, x_row, strips, depth):
        i64 = types.int64

        def generate(context, builder, sig, args):
            word, width = ir.IntType(64), width_of(sig.args[0])
            x_row, strips, depth = args[4:]
            number, align = context.get_data_type(x.dtype), x.dtype.bitwidth // 8
            vector = ir.VectorType(number, width)
            packed, source = (
                builder.gep(context.make_array(t)(context, builder, array).data, [offset])
                for t, array, offset in ((sig.args[0], *args[:2]), (sig.args[2], *args[2:4]))
            )

            def place(start, offset):
                return builder.bitcast(builder.gep(start, [offset]), vector.as_pointer())

            with cgutils.for_range(builder, depth) as k, cgutils.for_range(builder, strips) as s:
                to = builder.add(builder.mul(s.index, depth), k.index)
                at = builder.mul(k.index, x_row)
                at = builder.add(at, builder.mul(s.index, word(width)))
                row = builder.load(place(source, at), align=align)
                builder.store(row, place(packed, builder.mul(to, word(width))), align=align)
            return context.get_dummy_value()

        return types.void(packed, i64, x, i64, i64, i64, i64), generate

    return copy


@intrinsic
def _turn_columns_in_llvm(typing, packed, at, b, b_at, b_column, depth):
    """Squares of SQUARE x SQUARE numbers are transposed in registers: in each round, pairs of rows
    exchange halves of their blocks of 1, 2, 4, ... numbers."""

    def generate(context, builder, sig, args):
        b_column, depth = args[4:]
        word, width = ir.IntType(64), columns_of(sig.args[0])
        number, align = context.get_data_type(sig.args[0].dtype), sig.args[0].dtype.bitwidth // 8
        vector = ir.VectorType(number, SQUARE)
        packed, b = (
            builder.gep(context.make_array(t)(context, builder, array).data, [offset])
            for t, array, offset in ((sig.args[0], args[0], args[1]), (sig.args[2], *args[2:4]))
        )

        def place(start, offset):
            return builder.bitcast(builder.gep(start, [offset]), vector.as_pointer())

        with cgutils.for_range(builder, builder.udiv(depth, word(SQUARE))) as square:
            k = builder.mul(square.index, word(SQUARE))
            for group in range(0, width, SQUARE):
                rows = []
                for i in range(SQUARE):
                    source = builder.add(builder.mul(b_column, word(group + i)), k)
                    rows.append(builder.load(place(b, source), align=align))
                size = 1
                while size < SQUARE:
                    for i in range(SQUARE):
                        if not i & size:
                            rows[i], rows[i + size] = (
                                builder.shuffle_vector(rows[i], rows[i + size], picks)
                                for picks in _exchange(size)
                            )
                    size *= 2
                for i, row in enumerate(rows):
                    to = builder.mul(builder.add(k, word(i)), word(width))
                    builder.store(row, place(packed, builder.add(to, word(group))), align=align)
        return context.get_dummy_value()

    i64 = types.int64
    return types.void(packed, i64, b, i64, i64, i64), generate


def _exchange(size: int) -> list[ir.Constant]:
    """For two rows x, y: x with its odd blocks of `size` numbers replaced by y's even ones, and y
    with its even blocks replaced by x's odd ones"""
    at = range(SQUARE)
    low = [i if not i & size else SQUARE + i - size for i in at]
    high = [i + size if not i & size else SQUARE + i for i in at]
    kind = ir.VectorType(ir.IntType(32), SQUARE)
    return [ir.Constant(kind, low), ir.Constant(kind, high)]


def take_in_python(counters, i):
    """The value of counters[i], which is then one higher: the next task, taken by one thread."""
    counters[i] += 1
    return counters[i] - 1


@intrinsic
def _take_in_llvm(typing, counters, i):
    """The same, atomically. A thread that gets less of its core takes fewer tasks."""

    def generate(context, builder, sig, args):
        array = context.make_array(sig.args[0])(context, builder, args[0])
        place = builder.gep(array.data, [args[1]])
        return builder.atomic_rmw("add", place, args[1].type(1), "monotonic")

    return types.int64(counters, types.int64), generate


_in_python = numba.config.DISABLE_JIT
_make_tile = tile_in_python if _in_python else _tile_in_llvm
_make_pairs_tile = (
    pairs_tile_in_python if _in_python else functools.partial(_tile_in_llvm, pairs=True)
)
_make_copy = copy_in_python if _in_python else _copy_in_llvm
tile_rows, tile_few, tile_one = _make_tile(ROWS), _make_tile(FEW_ROWS), _make_tile(1)
pairs_rows, pairs_few, pairs_one = (_make_pairs_tile(n) for n in (ROWS, FEW_ROWS, 1))
copy_columns = _make_copy(columns_of)
copy_rows = _make_copy(lambda array: ROWS)
turn_columns = turn_columns_in_python if _in_python else _turn_columns_in_llvm
take = take_in_python if _in_python else _take_in_llvm

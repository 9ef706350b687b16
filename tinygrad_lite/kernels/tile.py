"""The register tile of the matrix product, emitted as LLVM instructions.

It has a twin in plain Python, which explains it and runs under NUMBA_DISABLE_JIT=1. On a CPU with
narrower registers than the tile was made for LLVM splits the vectors, and the results are the same
up to rounding.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_lite.kernels.cpu import (
    FEW_ROWS,
    ROWS,
    VECTOR_BYTES,
    VECTORS,
    columns_of,
    has_bfloat16,
)
from tinygrad_lite.kernels.rows import prefetch

GROUP = 6  # rows of A found from one address
LINE = 64  # bytes of a cache line


def tile_in_python(rows: int) -> Any:
    """What `tile` computes: C[i, :] (+)= sum over k of A[i, k] * B[k, :], a strip of B wide.

    If A and B are of 32-bit integers, they are words of two bfloat16 numbers, those of k and k + 1,
    the upper halves of float32 numbers; `depth` counts words, and C is float32.
    """

    def tile(c, c_at, ldc, a, a_at, a_row, a_column, b, b_at, depth, accumulate):
        columns = columns_of(c)
        b_strip = b[b_at : b_at + depth * columns].reshape(depth, columns)
        for i in range(rows):
            a_i = a[a_at + i * a_row :: a_column][:depth]
            if a.dtype == np.uint32:
                halves = ([_half_in_python(x, h) for x in (a_i, b_strip)] for h in (0, 1))
                product = sum(x @ y for x, y in halves)
            else:
                product = a_i @ b_strip
            row = c[c_at + i * ldc : c_at + i * ldc + columns]
            row[:] = product + (row if accumulate else 0)  # C comes last, as in registers

    return tile


def _half_in_python(words, half):
    """The lower or the upper bfloat16 of each word as float32"""
    return (words << 16 if half == 0 else words & 0xFFFF0000).view(np.float32)


def _tile_in_llvm(rows: int) -> Any:
    """The same as an LLVM loop over k with `rows` x `VECTORS` accumulators in registers."""

    @intrinsic
    def tile(typing, c, c_at, ldc, a, a_at, a_row, a_column, b, b_at, depth, accumulate):
        i64 = types.int64
        signature = types.void(c, i64, i64, a, i64, i64, i64, b, i64, i64, types.boolean)

        def generate(context, builder, sig, args):
            number = context.get_data_type(c.dtype)

            def pointer(position, offset):
                array = context.make_array(sig.args[position])(context, builder, args[position])
                place = builder.gep(array.data, [args[offset]])
                return builder.bitcast(place, number.as_pointer())

            pairs = a.dtype == types.uint32
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


class BFloat16(ir.Type):
    """llvmlite has no such type; LLVM calls it bfloat."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BFloat16)

    def __hash__(self) -> int:
        return hash(BFloat16)


def _multiply_pairs(builder: ir.IRBuilder, total: ir.Value, a: ir.Value, b: ir.Value) -> ir.Value:
    """total + a_lower * b_lower + a_upper * b_upper in each lane, a and b pairs of bfloat16"""
    lanes = total.type.count
    if has_bfloat16():
        kind = ir.VectorType(BFloat16(), 2 * lanes)
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


def _aligned(module: ir.Module) -> Any:
    """Metadata of a loop whose code begins with a cache line, without which it may run at 0.9 of
    its speed (Zen 3). LLVM before 17 takes no notice."""
    name = ir.MetaDataString(module, "llvm.loop.align")
    line = module.add_metadata([name, ir.IntType(32)(LINE)])
    loop = module.add_metadata([line])
    loop.operands = (loop, line)  # LLVM knows loops by nodes that begin with themselves
    return loop


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

    # No instruction, but LLVM can't tell its result. Else it makes of the addresses of A's rows a
    # chain, each a sum of the one before, for which the multiplications wait.
    hidden = ir.InlineAsm(ir.FunctionType(here, [here]), "", "=r,0")
    offsets = [builder.mul(a_row, word(i)) for i in range(min(rows, GROUP))]
    groups = [builder.gep(a, [builder.mul(a_row, word(i))]) for i in range(0, rows, GROUP)]
    for i in range(rows):
        for at in range(0, VECTORS * VECTOR_BYTES, LINE):
            place = builder.gep(c, [builder.add(builder.mul(ldc, word(i)), word(at * 8 // bits))])
            prefetch(builder, place, to_write=True)  # needed when the sums are done
    builder.cbranch(builder.icmp_signed(">", depth, word(0)), loop, after)

    builder.position_at_end(loop)
    k, b_k = builder.phi(word), builder.phi(here)
    a_k = [builder.phi(here) for _ in groups]
    sums = {tile: builder.phi(vector) for tile in tiles}
    b_row = [builder.load(vector_at(b_k, word(v * lanes)), align=bits // 8) for v in range(VECTORS)]
    later = {}
    for i in range(rows):
        a_ik = builder.load(builder.gep(a_k[i // GROUP], [offsets[i % GROUP]]))
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
    next_b = builder.gep(b_k, [word(VECTORS * lanes)])
    phis = [(k, word(0), next_k), (b_k, b, next_b)]
    for pointer, group in zip(a_k, groups, strict=True):
        phis.append((pointer, group, builder.call(hidden, [builder.gep(pointer, [a_column])])))
    for phi, first, following in phis + [(sums[t], nothing, later[t]) for t in tiles]:
        phi.add_incoming(first, start)
        phi.add_incoming(following, loop)
    again = builder.cbranch(builder.icmp_signed("<", next_k, depth), loop, after)
    again.set_metadata("llvm.loop", _aligned(module))

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


_make_tile = tile_in_python if numba.config.DISABLE_JIT else _tile_in_llvm
tile_rows, tile_few, tile_one = _make_tile(ROWS), _make_tile(FEW_ROWS), _make_tile(1)

"""Products of bfloat16 numbers by AMX, the tile registers of Intel's Xeons (4th generation and on).

Such a register holds TILE rows of TILE words of 32 bits. One instruction, TDPBF16PS, adds to a tile
of C (float32) the product of a tile of A, whose words are numbers of k and k + 1, and one of B, as
`pack` leaves it: in 16 cycles, 16 times the arithmetic of float32 instructions on vectors. Of eight
registers four hold a block of C, 2 x 2 tiles, two those of A and two those of B. What is smaller
than the smallest normal float32, 1.2e-38, counts as 0, also in C.

    A (rows, words) lies in tiles one after the other: all of the first TILE rows, then of the next.
    B (words, COLUMNS) is a strip, its words a multiple of TILE, the last ones zeros.

The instructions are emitted in LLVM, with a twin in plain Python that says the same. (Intel 64 and
IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.)
"""

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from tinygrad_lite.kernels.cpu import COLUMNS_FLOAT32, TILE, in_tiles
from tinygrad_lite.kernels.functions import inlined
from tinygrad_lite.kernels.rows import prefetch

ACROSS = COLUMNS_FLOAT32 // TILE  # tiles in a row of a strip
DOWN = 2  # tiles in a column of C at a time
ROWS = DOWN * TILE
ROW_BYTES = 4 * TILE
AHEAD = 2  # steps of TILE words


@inlined
def multiply(c, c_at, ldc, a, a_at, b, b_at, rows, columns, words, accumulate, edge):
    """C (+)= A B, C[i, j] = c[c_at + i * ldc + j], for an A that `pack_tiles` and a B that `pack`
    has packed. What is not a whole tile of C is computed in edge, ROWS x COLUMNS numbers, in the
    same order: the result does not depend on where C is cut."""
    for i in range(0, rows, ROWS):  # C and B are walked as they lie; these rows of A stay in L1
        for j in range(0, columns, COLUMNS_FLOAT32):
            b_j = b_at + j * words
            down, across = min(ROWS, rows - i), min(COLUMNS_FLOAT32, columns - j)
            c_ij, a_i = c_at + i * ldc + j, a_at + i * words
            count = (down + TILE - 1) // TILE
            if down == count * TILE and across == COLUMNS_FLOAT32:
                tiles(c, c_ij, ldc, a, a_i, b, b_j, words, count, accumulate)
                continue
            if accumulate:
                for r in range(down):
                    for s in range(across):
                        edge[r * COLUMNS_FLOAT32 + s] = c[c_ij + r * ldc + s]
            tiles(edge, 0, COLUMNS_FLOAT32, a, a_i, b, b_j, words, count, accumulate)
            for r in range(down):
                for s in range(across):
                    c[c_ij + r * ldc + s] = edge[r * COLUMNS_FLOAT32 + s]


def begin(packed):
    """Shape the tile registers of this thread, TILE rows of ROW_BYTES each, if they are needed."""


def end(packed):
    """Give them back: the system need not save them."""


def tiles_in_python(c, c_at, ldc, a, a_at, b, b_at, words, down, accumulate):
    """C (+)= A B for `down` x ACROSS tiles of C, C[i, j] = c[c_at + i * ldc + j]"""
    strip = _numbers(b[b_at : b_at + words * COLUMNS_FLOAT32].reshape(words, COLUMNS_FLOAT32))
    for i in range(down):
        at = a_at + i * words * TILE
        rows = a[at : at + words * TILE].reshape(words // TILE, TILE, TILE)
        product = _numbers(rows.transpose(0, 2, 1).reshape(words, TILE)).T @ strip
        for r in range(TILE):
            at = c_at + (i * TILE + r) * ldc
            row = c[at : at + COLUMNS_FLOAT32]
            row[:] = product[r] + (row if accumulate else 0)


def _numbers(words):
    """(words, n) to (2 * words, n): the float32 numbers of k, k + 1, ..."""
    both = np.stack([words << 16, words & 0xFFFF0000], 1).astype(np.uint32)
    return both.reshape(-1, words.shape[1]).view(np.float32)


def _call(builder: ir.IRBuilder, name: str, *arguments: ir.Value) -> None:
    kind = ir.FunctionType(ir.VoidType(), [a.type for a in arguments])
    name = f"llvm.x86.{name}"
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


@intrinsic
def _configure(typing):
    def generate(context, builder, sig, args):
        # palette 1, and for each register the bytes of a row, 16 bits, and its rows, 8 bits
        shape = bytes([1]) + bytes(15)
        shape += b"".join(ROW_BYTES.to_bytes(2, "little") for _ in range(8)) + bytes(16)
        shape += bytes([TILE] * 8) + bytes(8)
        kept = cgutils.global_constant(builder, "tinygrad_lite_amx", cgutils.make_bytearray(shape))
        _call(builder, "ldtilecfg", builder.bitcast(kept, ir.IntType(8).as_pointer()))
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def _release(typing):
    def generate(context, builder, sig, args):
        _call(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), generate


@overload(begin)
def _overload_begin(packed):
    if in_tiles(packed):
        return lambda packed: _configure()
    return lambda packed: None


@overload(end)
def _overload_end(packed):
    if in_tiles(packed):
        return lambda packed: _release()
    return lambda packed: None


@intrinsic
def _tiles_in_llvm(typing, c, c_at, ldc, a, a_at, b, b_at, words, down, accumulate):
    i64 = types.int64

    def generate(context, builder, sig, args):
        def pointer(position, offset):
            array = context.make_array(sig.args[position])(context, builder, args[position])
            place = builder.gep(array.data, [args[offset]])
            return builder.bitcast(place, ir.IntType(8).as_pointer())

        c_start, a_start, b_start = pointer(0, 1), pointer(3, 4), pointer(5, 6)
        flag = builder.icmp_unsigned("!=", args[9], args[9].type(0))
        given = [c_start, args[2], a_start, b_start, args[7], flag]
        with builder.if_else(builder.icmp_signed("==", args[8], _WORD(DOWN))) as (two, one):
            with two:
                builder.call(_tiles_function(builder.module, DOWN), given)
            with one:
                builder.call(_tiles_function(builder.module, 1), given)
        return context.get_dummy_value()

    signature = types.void(c, i64, i64, a, i64, b, i64, i64, i64, types.boolean)
    return signature, generate


_WORD, _BYTE = ir.IntType(64), ir.IntType(8)


def _tiles_function(module: ir.Module, down: int) -> ir.Function:
    """The LLVM function tiles(c, ldc, a, b, words, accumulate): one copy, called"""
    name = f"tinygrad_lite_amx_{down}"
    if name in module.globals:
        return module.globals[name]
    here = _BYTE.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [here, _WORD, here, here, _WORD, ir.IntType(1)])
    function = ir.Function(module, kind, name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    c, ldc, a, b, words, accumulate = function.args
    blocks = ("start", "load", "clear", "loop", "after")
    start, load, clear, loop, after = (function.append_basic_block(block) for block in blocks)
    sums = {(i, j): _BYTE(i * ACROSS + j) for i in range(down) for j in range(ACROSS)}
    a_tiles = [_BYTE(DOWN * ACROSS + i) for i in range(down)]
    b_tiles = [_BYTE(DOWN * ACROSS + DOWN + j) for j in range(ACROSS)]

    builder = ir.IRBuilder(start)
    c_row = builder.mul(ldc, _WORD(4))
    places = {
        (i, j): builder.gep(
            c, [builder.add(builder.mul(c_row, _WORD(i * TILE)), _WORD(j * ROW_BYTES))]
        )
        for i, j in sums
    }
    for i in range(down * TILE):  # needed when the sums are done
        for j in range(ACROSS):
            place = builder.add(builder.mul(c_row, _WORD(i)), _WORD(j * ROW_BYTES))
            prefetch(builder, builder.gep(c, [place]), to_write=True)
    builder.cbranch(accumulate, load, clear)

    builder.position_at_end(load)
    for at, tile in sums.items():
        _call(builder, "tileloadd64", tile, places[at], c_row)
    builder.branch(loop)

    builder.position_at_end(clear)
    for tile in sums.values():
        _call(builder, "tilezero", tile)
    builder.branch(loop)

    builder.position_at_end(loop)  # words is at least TILE
    k, a_k, b_k = builder.phi(_WORD), builder.phi(here), builder.phi(here)
    b_row, a_strip = _WORD(4 * COLUMNS_FLOAT32), builder.mul(words, _WORD(ROW_BYTES))
    for j, tile in enumerate(b_tiles):
        _call(builder, "tileloadd64", tile, builder.gep(b_k, [_WORD(j * ROW_BYTES)]), b_row)
    for line in range(TILE * ACROSS):  # B comes from the L2 cache
        place = _WORD((AHEAD * TILE * ACROSS + line) * ROW_BYTES)
        prefetch(builder, builder.gep(b_k, [place]))
    for i, a_tile in enumerate(a_tiles):
        place = builder.gep(a_k, [builder.mul(a_strip, _WORD(i))])
        _call(builder, "tileloadd64", a_tile, place, _WORD(ROW_BYTES))
        for j, b_tile in enumerate(b_tiles):
            _call(builder, "tdpbf16ps", sums[i, j], a_tile, b_tile)
    next_k = builder.add(k, _WORD(TILE))
    next_a = builder.gep(a_k, [_WORD(TILE * ROW_BYTES)])
    next_b = builder.gep(b_k, [_WORD(TILE * 4 * COLUMNS_FLOAT32)])
    for phi, first, following in ((k, _WORD(0), next_k), (a_k, a, next_a), (b_k, b, next_b)):
        phi.add_incoming(first, load)
        phi.add_incoming(first, clear)
        phi.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", next_k, words), loop, after)

    builder.position_at_end(after)
    for at, tile in sums.items():
        _call(builder, "tilestored64", tile, places[at], c_row)
    builder.ret_void()
    return function


tiles = tiles_in_python if numba.config.DISABLE_JIT else _tiles_in_llvm

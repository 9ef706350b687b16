"""Matrices in eight bits a number: rows of blocks of 32, each with a scale of its own.

A matrix (D, C), C a multiple of 32, is an array (D, C / 32, 36) of int8: of each block the four
bytes of a float32 scale s, then 32 numbers q from -127 to 127: x[i] = q[i] s, s = max |x| / 127.
(The same blocks as Q8_0 of llama.cpp and GGML, whose scales have half the bits.) No other weight
has three axes: no matrix of integers is taken for one.

`dot` multiplies two rows in integers, of which each sum is exact, and scales the sum of a block.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_lite.kernels.arrays import contiguous
from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.cpu import has_int8_products
from tinygrad_lite.kernels.rows import AHEAD, folded, prefetch

BLOCK = 32  # numbers with one scale
SCALE = 4  # bytes before them
LANES = 8  # sums of four products each
LARGEST = 1e35  # of a weight: the sums of its products, scaled, are numbers still
TINY = np.float32(np.finfo(np.float32).tiny)  # a block with a smaller scale is all zeros


def can_be_stored(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and shape[1] > 0 and shape[1] % BLOCK == 0


def is_stored(x: Any) -> bool:
    """Whether an array is a matrix, or rows of one, stored in this way"""
    return bool(x.dtype == np.int8 and x.ndim == 3 and x.shape[2] == SCALE + BLOCK)


def shape_of(packed: Any) -> tuple[int, int]:
    """(D, C) of what is stored"""
    return packed.shape[0], packed.shape[1] * BLOCK


@kernel
def quantize(chunk, packed, x):
    """packed (D, C / 32, 36) from x (D, C), float32; a number that is not finite makes the scale of
    its block, and so each product with it, NaN"""
    rows, half = part_of(len(x), chunk), np.float32(0.5)
    for n in range(rows.start, rows.stop):
        for block in range(packed.shape[1]):
            x_, q = x[n, block * BLOCK : (block + 1) * BLOCK], packed[n, block, SCALE:]
            largest = zeros = np.float32(0)
            for i in range(q.size):
                largest = max(largest, abs(x_[i]))
                zeros += x_[i] * np.float32(0)  # NaN for what is not finite
            scale = largest / np.float32(127) + zeros
            if scale < TINY:
                scale = np.float32(0)
            inverse = np.float32(1) / scale if scale > 0 else np.float32(0)
            packed[n, block, :SCALE].view(np.float32)[0] = scale
            for i in range(q.size):
                q[i] = np.int8(np.floor(x_[i] * inverse + half)) if inverse > 0 else np.int8(0)


def _unpack_in_python(x, row):
    """x (C,) from a row (C / 32, 36) of what is stored"""
    scales = np.ascontiguousarray(row[:, :SCALE]).view(np.float32)
    x.reshape(-1, BLOCK)[...] = row[:, SCALE:] * scales


@intrinsic
def _unpack_in_llvm(typing, x, row):
    """The same, a block by a vector, which LLVM does not find in so short a loop"""

    def generate(context, builder, sig, args):
        x, row = (context.make_array(t)(context, builder, a)
                  for t, a in zip(sig.args, args, strict=True))  # fmt: skip
        word, kind = x.nitems.type, ir.VectorType(ir.FloatType(), BLOCK)
        with cgutils.for_range(builder, builder.sdiv(x.nitems, word(BLOCK))) as loop:
            scale, numbers = _block_at(builder, row.data, loop.index)
            product = builder.fmul(builder.sitofp(numbers, kind), _spread(builder, scale, BLOCK))
            place = builder.gep(x.data, [builder.mul(loop.index, word(BLOCK))])
            builder.store(product, builder.bitcast(place, kind.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(x, row), generate


def _block_at(builder: ir.IRBuilder, row: ir.Value, block: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The scale and the 32 numbers of a block of a row"""
    start = builder.gep(row, [builder.mul(block, block.type(SCALE + BLOCK))])
    scale = builder.load(builder.bitcast(start, ir.FloatType().as_pointer()), align=1)
    bytes_ = ir.VectorType(ir.IntType(8), BLOCK).as_pointer()
    start = builder.bitcast(builder.gep(start, [block.type(SCALE)]), bytes_)
    return scale, builder.load(start, align=1)


def _spread(builder: ir.IRBuilder, number: ir.Value, lanes: int) -> ir.Value:
    """A vector of which each lane is the number"""
    undefined = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, number, ir.IntType(32)(0))
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(first, undefined, everywhere)


_unpack = _unpack_in_python if numba.config.DISABLE_JIT else _unpack_in_llvm


@kernel
def dequantize(chunk, x, packed):
    """x (D, C) float32 from packed (D, C / 32, 36)"""
    rows = part_of(len(x), chunk)
    for n in range(rows.start, rows.stop):
        _unpack(x[n], packed[n])


def to_int8(x: np.ndarray) -> np.ndarray:
    """A matrix (D, C) of float32, stored; ValueError if a number is not finite or beyond LARGEST,
    or C no multiple of BLOCK"""
    if not can_be_stored(x.shape):
        raise ValueError(
            f"int8: a matrix is stored in blocks of {BLOCK} numbers of a row.\n"
            f"  got shape {x.shape}\n"
            f"  try a last axis that is a multiple of {BLOCK}, or bfloat16"
        )
    fits = np.abs(x) <= LARGEST
    if not fits.all():
        raise ValueError(
            "int8: each number of a matrix that is stored in eight bits must be finite, and at most"
            f" {LARGEST:g}.\n  got {int((~fits).sum())} of {x.size} that are not\n"
            "  try weights of an earlier step"
        )
    return quantized(np.ascontiguousarray(x, np.float32))


def quantized(x: Any) -> Any:
    """x (D, C), contiguous float32, as (D, C / 32, 36) int8"""
    packed = np.empty((x.shape[0], x.shape[1] // BLOCK, SCALE + BLOCK), np.int8, like=x)
    quantize(packed, x)
    return packed


def from_int8(packed: Any) -> Any:
    """The numbers (D, C), float32, of what is stored"""
    packed = contiguous(packed)
    x = np.empty(shape_of(packed), np.float32, like=packed)
    dequantize(x, packed)
    return x


def _dot_in_python(x, y):
    """The sum of the products of two rows (C / 32, 36)"""
    return (from_int8(x[None]) * from_int8(y[None])).sum(dtype=np.float32)


@intrinsic
def _dot_in_llvm(typing, x, y):
    """The same by LANES partial sums"""

    def generate(context, builder, sig, args):
        x, y = (context.make_array(t)(context, builder, a)
                for t, a in zip(sig.args, args, strict=True))  # fmt: skip
        count = builder.sdiv(x.nitems, x.nitems.type(SCALE + BLOCK))
        return builder.call(_dot_function(builder.module), [x.data, y.data, count])

    return types.float32(x, y), generate


def _dot_function(module: ir.Module) -> ir.Function:
    """The LLVM function dot(x, y, number of blocks) in `module`: two blocks at a time, each with
    partial sums of its own, which need not wait for the other's"""
    name = "tinygrad_lite_dot_int8"
    if name in module.globals:
        return module.globals[name]
    word, number, here = ir.IntType(64), ir.FloatType(), ir.IntType(8).as_pointer()
    vector = ir.VectorType(number, LANES)
    function = ir.Function(module, ir.FunctionType(number, [here, here, word]), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    first, loop, rest, last, end = (
        function.append_basic_block(b) for b in ("start", "blocks", "rest", "last", "end")
    )
    fma = cgutils.get_or_insert_function(
        module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{LANES}f32"
    )
    builder = ir.IRBuilder(first)
    count, nothing = function.args[2], ir.Constant(vector, [0.0] * LANES)
    even = builder.and_(count, word(-2))
    builder.cbranch(builder.icmp_signed(">", even, word(0)), loop, rest)

    def with_block(block: ir.Value, before: ir.Value) -> ir.Value:
        """The partial sums, and a block's products"""
        (scale_x, x), (scale_y, y) = (_block_at(builder, row, block) for row in function.args[:2])
        scale_x, scale_y = (_spread(builder, scale, LANES) for scale in (scale_x, scale_y))
        exact = builder.sitofp(_sums_of_four(builder, x, y), vector)
        # The weights' scale first: with that of x, which knows no limit, it may be too large
        return builder.call(fma, [builder.fmul(exact, scale_y), scale_x, before])

    builder.position_at_end(loop)
    block, *before = builder.phi(word), builder.phi(vector), builder.phi(vector)
    after = [with_block(builder.add(block, word(i)), before[i]) for i in (0, 1)]
    following = builder.add(block, word(2))
    place = builder.mul(block, word(SCALE + BLOCK))
    prefetch(builder, builder.gep(function.args[1], [builder.add(place, word(AHEAD))]))
    for phi, start, then in (
        (block, word(0), following), (before[0], nothing, after[0]), (before[1], nothing, after[1]),
    ):  # fmt: skip
        phi.add_incoming(start, first)
        phi.add_incoming(then, loop)
    builder.cbranch(builder.icmp_signed("<", following, even), loop, rest)

    builder.position_at_end(rest)
    sums = [builder.phi(vector), builder.phi(vector)]
    for phi, then in zip(sums, after, strict=True):
        phi.add_incoming(nothing, first)
        phi.add_incoming(then, loop)
    builder.cbranch(builder.icmp_signed("<", even, count), last, end)

    builder.position_at_end(last)
    odd = with_block(even, sums[0])
    builder.branch(end)

    builder.position_at_end(end)
    total = builder.phi(vector)
    total.add_incoming(sums[0], rest)
    total.add_incoming(odd, last)
    builder.ret(folded(builder, builder.fadd, builder.fadd(total, sums[1])))
    return function


def _sums_of_four(builder: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    """LANES int32: the sums of four products each of numbers that lie side by side, exact"""
    words = ir.VectorType(ir.IntType(32), LANES)
    if has_int8_products():  # unsigned by signed: y + 128 = y ^ 128, and what that is too much
        product = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(words, [words] * 3), "llvm.x86.avx512.vpdpbusd.256"
        )
        upper = ir.Constant(x.type, [-128] * BLOCK)
        x, y, nothing = builder.bitcast(x, words), builder.xor(y, upper), ir.Constant(words, None)
        whole, offset = (builder.call(product, [nothing, builder.bitcast(factor, words), x])
                         for factor in (y, upper))  # fmt: skip
        return builder.sub(whole, offset)

    def halves(value: ir.Value, bits: int) -> tuple[ir.Value, ir.Value]:
        """The lower and the upper halves of numbers of so many bits, with their signs"""
        kind = ir.VectorType(ir.IntType(bits), 8 * BLOCK // bits)
        value, by = builder.bitcast(value, kind), ir.Constant(kind, [bits // 2] * kind.count)
        return builder.ashr(builder.shl(value, by), by), builder.ashr(value, by)

    # Two products of at most 127 * 127 have room in 16 bits.
    pairs = (builder.mul(a, b) for a, b in zip(halves(x, 16), halves(y, 16), strict=True))
    return builder.add(*halves(builder.add(*pairs), 32))


dot = _dot_in_python if numba.config.DISABLE_JIT else _dot_in_llvm

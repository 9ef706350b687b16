"""Matrices in eight bits a number: rows of blocks of 32, each with a scale of its own.

A row of C numbers, C a multiple of 32, is C bytes q, then C / 32 float32 scales s, all as int8:
x[i] = q[i] * s[i // 32], with s = max |x| / 127 in the block. (The same blocks as Q8_0 of llama.cpp
and GGML, whose scales have half the bits.) An eighth more than a byte for each number is read.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_lite.kernels.arrays import contiguous
from tinygrad_lite.kernels.compile import kernel, part_of

BLOCK = 32  # numbers with one scale
LANES = 16


def stored(columns: int) -> int:
    """Bytes of a row of so many numbers"""
    return columns + 4 * (columns // BLOCK)


def can_be_stored(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and shape[1] > 0 and shape[1] % BLOCK == 0


@kernel
def quantize(chunk, packed, scales, x):
    """packed (D, stored(C)) without its scales, scales (D, C / 32), from x (D, C)"""
    rows, half = part_of(len(x), chunk), x.dtype.type(0.5)
    for n in range(rows.start, rows.stop):
        for block in range(scales.shape[1]):
            part = slice(block * BLOCK, (block + 1) * BLOCK)
            x_, q = x[n, part], packed[n, part]
            largest = x.dtype.type(0)
            for i in range(x_.size):
                largest = max(largest, abs(x_[i]))
            scale = largest / x.dtype.type(127)
            scales[n, block] = scale
            inverse = x.dtype.type(0) if scale == 0 else x.dtype.type(1) / scale
            for i in range(x_.size):
                q[i] = np.int8(np.floor(x_[i] * inverse + half))


@kernel
def dequantize(chunk, x, packed):
    """x (D, C) float32 from packed (D, stored(C))"""
    rows, columns = part_of(len(x), chunk), x.shape[1]
    for n in range(rows.start, rows.stop):
        scales = packed[n, columns:].view(np.float32)
        for block in range(scales.size):
            part = slice(block * BLOCK, (block + 1) * BLOCK)
            x_, q, scale = x[n, part], packed[n, part], scales[block]
            for i in range(x_.size):
                x_[i] = np.float32(q[i]) * scale


def to_int8(x: np.ndarray) -> np.ndarray:
    """A matrix (D, C) of float32, as (D, stored(C)) int8; ValueError if a number is not finite"""
    if not np.isfinite(x).all():
        raise ValueError(
            "int8: each number of a matrix that is stored in eight bits must be finite.\n"
            f"  got {int((~np.isfinite(x)).sum())} of {x.size} that are not\n"
            "  try weights of an earlier step"
        )
    rows, columns = x.shape
    packed = np.empty((rows, stored(columns)), np.int8)
    scales = np.empty((rows, columns // BLOCK), np.float32)
    quantize(packed, scales, np.ascontiguousarray(x, np.float32))
    packed[:, columns:] = scales.view(np.int8)
    return packed


def columns_of(packed: np.ndarray) -> int:
    """How many numbers a row holds"""
    return packed.shape[1] * BLOCK // (BLOCK + 4)


def from_int8(packed: np.ndarray) -> np.ndarray:
    """The numbers (D, C), float32, of a matrix or of some of its rows"""
    x = np.empty((packed.shape[0], columns_of(packed)), np.float32, like=packed)
    dequantize(x, contiguous(packed))
    return x


def _dot_in_python(x, packed):
    """The sum of x (C,) times the numbers of a row (stored(C),)"""
    return (x * from_int8(packed[None])[0]).sum(dtype=x.dtype)


@intrinsic
def _dot_in_llvm(typing, x, packed):
    """The same by vectors of LANES partial sums: each block's products, then times its scale"""

    def generate(context, builder, sig, args):
        function = _dot_function(builder.module)
        x, packed = (context.make_array(t)(context, builder, a)
                     for t, a in zip(sig.args, args, strict=True))  # fmt: skip
        return builder.call(function, [x.data, packed.data, x.nitems])

    return types.float32(x, packed), generate


def _dot_function(module: ir.Module) -> ir.Function:
    name = "tinygrad_lite_dot_int8"
    if name in module.globals:
        return module.globals[name]
    word, number, byte = ir.IntType(64), ir.FloatType(), ir.IntType(8)
    vector, bytes_ = ir.VectorType(number, LANES), ir.VectorType(byte, LANES)
    kind = ir.FunctionType(number, [number.as_pointer(), byte.as_pointer(), word])
    function = ir.Function(module, kind, name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    x, q, n = function.args
    first, loop, end = map(function.append_basic_block, ("start", "block", "end"))
    fma = cgutils.get_or_insert_function(
        module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{LANES}f32"
    )
    builder = ir.IRBuilder(first)
    scales = builder.bitcast(builder.gep(q, [n]), number.as_pointer())
    builder.branch(loop)

    builder.position_at_end(loop)
    block, before = builder.phi(word), builder.phi(vector)
    products = None
    for part in range(0, BLOCK, LANES):
        at = builder.add(builder.mul(block, word(BLOCK)), word(part))
        x_ = builder.load(builder.bitcast(builder.gep(x, [at]), vector.as_pointer()), align=4)
        q_ = builder.load(builder.bitcast(builder.gep(q, [at]), bytes_.as_pointer()), align=1)
        pair = x_, builder.sitofp(q_, vector)
        products = builder.call(fma, [*pair, products]) if part else builder.fmul(*pair)
    scale = builder.load(builder.gep(scales, [block]), align=1)
    spread = builder.insert_element(ir.Constant(vector, ir.Undefined), scale, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    spread = builder.shuffle_vector(spread, spread, zeros)
    after = builder.call(fma, [products, spread, before])
    following = builder.add(block, word(1))
    for phi, start, then in ((block, word(0), following),
                             (before, ir.Constant(vector, [0.0] * LANES), after)):  # fmt: skip
        phi.add_incoming(start, first)
        phi.add_incoming(then, loop)
    last = builder.icmp_signed(">=", builder.mul(following, word(BLOCK)), n)
    builder.cbranch(last, end, loop)

    builder.position_at_end(end)
    width, folded = LANES, after
    while width > 1:
        width //= 2
        undefined = ir.Constant(folded.type, ir.Undefined)
        picks = [ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(at, at + width)))
                 for at in (0, width)]  # fmt: skip
        folded = builder.fadd(*(builder.shuffle_vector(folded, undefined, p) for p in picks))
    builder.ret(builder.extract_element(folded, ir.IntType(32)(0)))
    return function


dot_int8 = _dot_in_python if numba.config.DISABLE_JIT else _dot_in_llvm

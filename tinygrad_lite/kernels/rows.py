"""Reductions: of one row inside a kernel (`total`, `dot`, `largest`), and over rows of a matrix.

LLVM may vectorise a sum only if it may reorder it, and then reorders it as it likes: differently
right after compiling and after loading from disk, and differently on other CPUs. These reductions
are emitted as vector instructions with LANES partial results, which are always combined in the
same order.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinygrad_lite.kernels.arrays import as_rows
from tinygrad_lite.kernels.compile import kernel, part_of

LANES = 16


def _reduction(name: str, start: float, twin: Any, arguments: int) -> Any:
    """A reduction of one or two rows of equal length, contiguous, to a number"""
    if numba.config.DISABLE_JIT:
        return twin

    def generate(context, builder, sig, args):
        number, bits = context.get_data_type(sig.args[0].dtype), sig.args[0].dtype.bitwidth
        halves = sig.args[-1].dtype == types.uint16
        function = _reduction_function(builder.module, name, start, arguments, number, bits, halves)
        rows = [context.make_array(t)(context, builder, a) for t, a in zip(sig.args, args)]  # noqa: B905
        return builder.call(function, [row.data for row in rows] + [rows[0].nitems])

    if arguments == 1:

        @intrinsic
        def one(typing, x):
            return x.dtype(x), generate

        return one

    @intrinsic
    def two(typing, x, y):
        return x.dtype(x, y), generate

    return two


def _reduction_function(
    module: ir.Module,
    name: str,
    start: float,
    arguments: int,
    number: ir.Type,
    bits: int,
    halves: bool,
) -> ir.Function:
    """The LLVM function name(row, ..., n) in `module`; with halves, the last row holds bfloat16"""
    full_name = f"tinygrad_lite_{name}_float{bits}{'_halves' * halves}"
    if full_name in module.globals:
        return module.globals[full_name]
    word, vector, here = ir.IntType(64), ir.VectorType(number, LANES), number.as_pointer()
    kinds = [here] * arguments
    if halves:
        kinds[-1] = ir.IntType(16).as_pointer()
    kind = ir.FunctionType(number, [*kinds, word])
    function = ir.Function(module, kind, full_name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    *rows, n = function.args
    blocks = [function.append_basic_block(b) for b in ("start", "wide", "fold", "single", "end")]
    first, wide, fold, single, end = blocks
    builder = ir.IRBuilder(first)

    def combine(a, b):
        if name == "largest":
            return builder.select(builder.fcmp_ordered(">", b, a), b, a)
        return builder.fadd(a, b)

    def element(kind, i):
        values = []
        for row in rows:
            half = halves and row is rows[-1]
            lanes = kind.count if isinstance(kind, ir.VectorType) else 0
            stored = ir.IntType(16) if half else number
            stored = ir.VectorType(stored, lanes) if lanes else stored
            pointer = builder.bitcast(builder.gep(row, [i]), stored.as_pointer())
            value = builder.load(pointer, align=2 if half else bits // 8)
            if half:  # a bfloat16 is the upper half of a float32
                wide = ir.VectorType(ir.IntType(32), lanes) if lanes else ir.IntType(32)
                by = ir.Constant(wide, [16] * lanes) if lanes else wide(16)
                value = builder.bitcast(builder.shl(builder.zext(value, wide), by), kind)
            values.append(value)
        return values[0] if len(values) == 1 else builder.fmul(*values)

    def advance(phi, value, before, block):
        phi.add_incoming(value[0], before)
        phi.add_incoming(value[1], block)

    whole = builder.and_(n, word(-LANES))
    nothing = ir.Constant(vector, [start] * LANES)
    builder.cbranch(builder.icmp_signed(">", whole, word(0)), wide, fold)

    builder.position_at_end(wide)
    i, lanes = builder.phi(word), builder.phi(vector)
    next_lanes = combine(lanes, element(vector, i))
    next_i = builder.add(i, word(LANES))
    advance(i, (word(0), next_i), first, wide)
    advance(lanes, (nothing, next_lanes), first, wide)
    builder.cbranch(builder.icmp_signed("<", next_i, whole), wide, fold)

    builder.position_at_end(fold)
    partial = builder.phi(vector)
    advance(partial, (nothing, next_lanes), first, wide)
    width, folded = LANES, partial
    while width > 1:
        width //= 2
        undefined = ir.Constant(folded.type, ir.Undefined)
        picks = [ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(at, at + width)))
                 for at in (0, width)]  # fmt: skip
        folded = combine(*(builder.shuffle_vector(folded, undefined, p) for p in picks))
    result = builder.extract_element(folded, ir.IntType(32)(0))
    builder.cbranch(builder.icmp_signed("<", whole, n), single, end)

    builder.position_at_end(single)
    j, running = builder.phi(word), builder.phi(number)
    next_running = combine(running, element(number, j))
    next_j = builder.add(j, word(1))
    advance(j, (whole, next_j), fold, single)
    advance(running, (result, next_running), fold, single)
    builder.cbranch(builder.icmp_signed("<", next_j, n), single, end)

    builder.position_at_end(end)
    final = builder.phi(number)
    advance(final, (result, next_running), fold, single)
    builder.ret(final)
    return function


def _dot_in_python(x, y):
    """y may hold bfloat16 numbers, the upper halves of float32 numbers, as uint16"""
    if y.dtype == np.uint16:
        y = (y.astype(np.uint32) << 16).view(np.float32)
    return (x * y).sum()


total = _reduction("total", 0.0, lambda x: x.sum(), 1)
dot = _reduction("dot", 0.0, _dot_in_python, 2)
# A NaN is passed over here; it shows when the row is used.
largest = _reduction("largest", -np.inf, lambda x: np.fmax.reduce(x), 1)


@kernel
def sum_rows_kernel(chunk, out, x):
    """out (C,) = sum over rows of x (N, C); each task owns some columns."""
    part = part_of(out.size, chunk)
    out = out[part]
    out[:] = 0
    for i in range(len(x)):
        row = x[i, part]
        for j in range(row.size):
            out[j] += row[j]


def sum_rows(x: np.ndarray) -> np.ndarray:
    """(C,): the sum of x (..., C) over all axes but the last"""
    out = np.empty(x.shape[-1:], x.dtype, like=x)
    sum_rows_kernel(out, as_rows(x))
    return out

"""Reductions of one row inside a kernel: `total`, `dot`, `streamed_dot`, `largest`, `sum_and_ones`.

LLVM may vectorise a sum only if it may reorder it, and then reorders it as it likes: differently
right after compiling and after loading from disk, and differently on other CPUs. These reductions
are emitted as vector instructions with LANES partial results, which are always combined in the
same order. Sums of long rows are sums of BLOCK numbers added in float64: however long a row is, its
sum is off by a few units in the last place.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_lite.kernels.functions import inlined

LANES = 16
BLOCK = 1024  # numbers that are added in their own precision
AHEAD = 4096  # bytes of a row from memory, or of the rows after it, that are on their way


def prefetch(builder: ir.IRBuilder, place: ir.Value, to_write: bool = False) -> None:
    """Ask for the cache line at an address, which may lie beyond an array"""
    byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    all_levels, data = flag(3), flag(1)
    builder.call(function, [builder.bitcast(place, byte), flag(int(to_write)), all_levels, data])


def _reduction(name: str, start: float, twin: Any, arguments: int, ahead: int = 0) -> Any:
    """A reduction of one or two rows of equal length, contiguous, to a number; so many bytes of the
    last row are fetched ahead"""
    if numba.config.DISABLE_JIT:
        return twin

    def generate(context, builder, sig, args):
        number, bits = context.get_data_type(sig.args[0].dtype), sig.args[0].dtype.bitwidth
        halves = sig.args[-1].dtype == types.uint16
        short = _reduction_function(
            builder.module, name, start, arguments, number, bits, halves, ahead
        )
        rows = [context.make_array(t)(context, builder, a) for t, a in zip(sig.args, args)]  # noqa: B905
        given, n = [row.data for row in rows], rows[0].nitems
        if name == "largest":
            return builder.call(short, [*given, n])
        result = cgutils.alloca_once(builder, number)
        with builder.if_else(builder.icmp_signed("<=", n, n.type(BLOCK))) as (few, many):
            with few:
                builder.store(builder.call(short, [*given, n]), result)
            with many:
                builder.store(builder.call(_blockwise(builder.module, short), [*given, n]), result)
        return builder.load(result)

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
    ahead: int,
) -> ir.Function:
    """The LLVM function name(row, ..., n) in `module`; with halves, the last row holds bfloat16"""
    full_name = f"tinygrad_lite_{name}_float{bits}{'_halves' * halves}{'_ahead' * (ahead > 0)}"
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
    if ahead:
        place = builder.bitcast(builder.gep(rows[-1], [i]), ir.IntType(8).as_pointer())
        prefetch(builder, builder.gep(place, [word(ahead)]))
    next_i = builder.add(i, word(LANES))
    advance(i, (word(0), next_i), first, wide)
    advance(lanes, (nothing, next_lanes), first, wide)
    builder.cbranch(builder.icmp_signed("<", next_i, whole), wide, fold)

    builder.position_at_end(fold)
    partial = builder.phi(vector)
    advance(partial, (nothing, next_lanes), first, wide)
    result = folded(builder, combine, partial)
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


def folded(builder: ir.IRBuilder, combine: Any, lanes: ir.Value) -> ir.Value:
    """The lanes of a vector combined to a number, always in the same order: half with half"""
    while (width := lanes.type.count // 2) > 0:
        undefined = ir.Constant(lanes.type, ir.Undefined)
        picks = [ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(at, at + width)))
                 for at in (0, width)]  # fmt: skip
        lanes = combine(*(builder.shuffle_vector(lanes, undefined, p) for p in picks))
    return builder.extract_element(lanes, ir.IntType(32)(0))


def _blockwise(module: ir.Module, of_block: ir.Function) -> ir.Function:
    """The LLVM function that adds what `of_block` finds for BLOCK numbers at a time, in float64"""
    full_name = f"{of_block.name}_blockwise"
    if full_name in module.globals:
        return module.globals[full_name]
    function = ir.Function(module, of_block.function_type, full_name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    *rows, n = function.args
    first, block, end = map(function.append_basic_block, ("start", "block", "end"))
    builder = ir.IRBuilder(first)
    builder.branch(block)

    builder.position_at_end(block)
    i, before = builder.phi(n.type), builder.phi(ir.DoubleType())
    left, size = builder.sub(n, i), n.type(BLOCK)
    is_last = builder.icmp_signed("<=", left, size)
    count = builder.select(is_last, left, size)
    value = builder.call(of_block, [*[builder.gep(row, [i]) for row in rows], count])
    exact = value if value.type == before.type else builder.fpext(value, before.type)
    after = builder.fadd(before, exact)
    for phi, at_first, then in ((i, 0, builder.add(i, size)), (before, 0.0, after)):
        phi.add_incoming(phi.type(at_first), first)
        phi.add_incoming(then, block)
    builder.cbranch(is_last, end, block)

    builder.position_at_end(end)
    builder.ret(after if value.type == after.type else builder.fptrunc(after, value.type))
    return function


def _dot_in_python(x, y):
    """y may hold bfloat16 numbers, the upper halves of float32 numbers, as uint16"""
    if y.dtype == np.uint16:
        y = (y.astype(np.uint32) << 16).view(np.float32)
    return (x * y).sum()


total = _reduction("total", 0.0, lambda x: x.sum(), 1)
dot = _reduction("dot", 0.0, _dot_in_python, 2)
# The same for a y that is read once, from memory
streamed_dot = _reduction("dot", 0.0, _dot_in_python, 2, AHEAD)
# A NaN is passed over here; it shows when the row is used.
largest = _reduction("largest", -np.inf, lambda x: np.fmax.reduce(x), 1)


@inlined
def sum_and_ones(exps):
    """(a, n) with a + n the sum of exps (C,), exponentials of which none is above 1. If a single 1
    is most of it, that is n, and a has the digits of the small ones; exps is changed."""
    of_all = np.float64(total(exps))
    if of_all < 1.0 or of_all >= 1.5:
        return of_all, 0.0
    one, zero, ones = exps.dtype.type(1), exps.dtype.type(0), 0
    for j in range(exps.size):
        is_one = exps[j] == one
        exps[j] = zero if is_one else exps[j]
        ones += is_one
    return np.float64(total(exps)), np.float64(ones)


@inlined
def log_of_sum(others):
    """log(1 + others) in float64; `log1p` of the library takes several times as long."""
    if others < 1e-5:
        return others * (1.0 - others * (0.5 - others / 3.0))
    return np.log(1.0 + others)

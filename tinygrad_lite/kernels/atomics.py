"""What compiled code does with words in memory that threads share, and with functions of the C
library at an address. An address, and a word, is an int64."""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_WORD = ir.IntType(64)


def _place(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, _WORD.as_pointer())


@intrinsic
def load(typing, address):
    """The word at an address, as whoever stored it left everything"""

    def generate(context, builder, sig, args):
        return builder.load_atomic(_place(builder, args[0]), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def store(typing, address, value):
    """Store a word, after everything before it"""

    def generate(context, builder, sig, args):
        builder.store_atomic(args[1], _place(builder, args[0]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def add(typing, address, value):
    """Add to a word; what it was before"""

    def generate(context, builder, sig, args):
        return builder.atomic_rmw("add", _place(builder, args[0]), args[1], "acq_rel")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def replace(typing, address, expected, value):
    """Whether the word was as expected; then, and only then, it has been replaced"""

    def generate(context, builder, sig, args):
        place = _place(builder, args[0])
        pair = builder.cmpxchg(place, args[1], args[2], "acq_rel", "acquire")
        return builder.extract_value(pair, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


@intrinsic
def pause(typing):
    """Tell the core that this is a loop that waits"""

    def generate(context, builder, sig, args):
        machine = llvm.get_default_triple().partition("-")[0]
        name, arguments = {
            "x86_64": ("llvm.x86.sse2.pause", []), "aarch64": ("llvm.aarch64.hint", [1]),
            "arm64": ("llvm.aarch64.hint", [1]),
        }.get(machine, ("", []))  # fmt: skip
        if name:
            kind = ir.FunctionType(ir.VoidType(), [ir.IntType(32)] * len(arguments))
            function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
            builder.call(function, [ir.IntType(32)(a) for a in arguments])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def call(typing, function, argument):
    """int function(int) at an address, of the C library"""

    def generate(context, builder, sig, args):
        kind = ir.FunctionType(ir.IntType(32), [ir.IntType(32)])
        pointer = builder.inttoptr(args[0], kind.as_pointer())
        builder.call(pointer, [builder.trunc(args[1], ir.IntType(32))])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def clock_gettime(typing, function, clock):
    """Nanoseconds of a clock of the C library, whose function is at an address"""

    def generate(context, builder, sig, args):
        kind = ir.FunctionType(ir.IntType(32), [ir.IntType(32), _WORD.as_pointer()])
        place = cgutils.alloca_once(builder, _WORD, _WORD(2))
        pointer = builder.inttoptr(args[0], kind.as_pointer())
        builder.call(pointer, [builder.trunc(args[1], ir.IntType(32)), place])
        seconds, rest = (builder.load(builder.gep(place, [_WORD(i)])) for i in range(2))
        return builder.add(builder.mul(seconds, _WORD(10**9)), rest)

    return types.int64(types.int64, types.int64), generate

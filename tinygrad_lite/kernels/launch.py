"""How the tasks of a kernel are spread over threads.

A kernel's body does one task of many. Numba's `prange` would do the spreading, but it passes a body
through the compiler five times; here it is compiled once, into a function that packs its arguments
into a struct and hands the team of threads (team.py) the address of a loop over tasks:

    entry(tasks, threads, *arguments) -> size    compiled like any Numba function, cached on disk
        -> run(range of tasks, &arguments)       on each thread
            -> body(task, *arguments)

A call that will be repeated can be written down instead: with WRITE_DOWN for threads, an entry
writes the address of `run` and the struct of its arguments to memory at the address `tasks`, and
`walk` makes many such calls without Python between them.
"""

from types import FunctionType
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_lite.kernels.team import MEMORY, RUN, SHARE_OUT

_BYTES, _WORD = ir.IntType(8).as_pointer(), ir.IntType(64)
WRITE_DOWN = -1  # in place of a number of threads


def entry_function(body: Any) -> FunctionType:
    """`entry(tasks, threads, *arguments)` for a compiled `body(task, *arguments)`, not compiled
    yet. It has the body's name and place: by these Numba's disk cache knows it."""
    code, name = body.py_func.__code__, body.py_func.__name__
    names = ", ".join(code.co_varnames[1 : code.co_argcount])
    source = f"def {name}(tasks, threads, {names}): return _spread(tasks, threads, ({names},))"
    (compiled,) = (
        part
        for part in compile(source, code.co_filename, "exec").co_consts
        if isinstance(part, type(code))
    )
    compiled = compiled.replace(co_firstlineno=code.co_firstlineno)
    module = body.py_func.__module__
    entry = FunctionType(compiled, {"_spread": _spread(body), "__name__": module}, name)
    entry.__module__ = module
    return entry


def _spread(body: Any) -> Any:
    @intrinsic
    def spread(typing, tasks, threads, arguments):
        if not (isinstance(tasks, types.Integer) and isinstance(threads, types.Integer)):
            return None
        compiled = body.get_compile_result(types.void(types.int64, *arguments.types))

        def generate(context, builder, sig, args):
            context.active_code_library.add_linking_library(compiled.library)
            run = _run_function(context, builder.module, compiled, arguments)
            block = _without_owners(context, builder, args[2], arguments)
            wanted = builder.icmp_signed(">=", args[1], args[1].type(0))
            with builder.if_else(wanted) as (now, later):
                with now:
                    data = builder.bitcast(cgutils.alloca_once_value(builder, block), _BYTES)
                    _hand_out(context, builder, run, data, args[0], args[1])
                with later, builder.if_then(cgutils.is_not_null(builder, args[0])):
                    place = builder.inttoptr(args[0], _WORD.as_pointer())
                    builder.store(builder.ptrtoint(run, _WORD), place)
                    place = builder.gep(place, [_WORD(1)])
                    builder.store(block, builder.bitcast(place, block.type.as_pointer()))
            return _WORD(8 + context.get_abi_sizeof(args[2].type))

        return types.int64(types.int64, types.int64, arguments), generate

    return spread


@intrinsic
def walk(typing, table, count):
    """Make the calls in a table of int64 at an address, each a row: run, block, tasks, threads."""

    def generate(context, builder, sig, args):
        rows = builder.inttoptr(args[0], _WORD.as_pointer())
        with cgutils.for_range(builder, args[1]) as loop:
            start = builder.mul(loop.index, _WORD(4))
            run, data, tasks, threads = (
                builder.load(builder.gep(rows, [builder.add(start, _WORD(i))])) for i in range(4)
            )
            run = builder.inttoptr(run, RUN.as_pointer())
            data = builder.inttoptr(data, _BYTES)
            _hand_out(context, builder, run, data, tasks, threads)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


def _hand_out(context: Any, builder: Any, run: Any, data: Any, tasks: Any, threads: Any) -> None:
    """run(0, tasks, data) here, or parts of it on the threads of the team"""
    with builder.if_else(builder.icmp_signed("<=", threads, _WORD(1))) as (serial, parallel):
        with serial:
            builder.call(run, [_WORD(0), tasks, data])
        with parallel:
            kinds = [types.int64] * 5
            kind = context.call_conv.get_function_type(types.none, kinds)
            share_out = cgutils.get_or_insert_function(builder.module, kind, SHARE_OUT)
            memory = builder.module.globals.get(MEMORY) or ir.GlobalVariable(
                builder.module, _WORD, MEMORY
            )
            words = [builder.ptrtoint(p, _WORD) for p in (memory, run, data)]
            context.call_conv.call_function(
                builder, share_out, types.none, kinds, [*words, tasks, threads]
            )


def _without_owners(context: Any, builder: Any, block: Any, arguments: Any) -> Any:
    """The arguments of a call: whoever makes it, or writes it down, keeps the arrays alive. Numba
    must not count references to them, later or on several threads, which would wait for each other
    to count."""
    for i, kind in enumerate(arguments.types):
        if isinstance(kind, types.Array):
            array = context.make_array(kind)(context, builder, builder.extract_value(block, i))
            array.meminfo = cgutils.get_null_value(array.meminfo.type)
            array.parent = cgutils.get_null_value(array.parent.type)
            block = builder.insert_value(block, array._getvalue(), i)
    return block


def _run_function(context: Any, module: ir.Module, compiled: Any, arguments: Any) -> ir.Function:
    """run(first, count, data): the body for tasks first, ..., first + count - 1"""
    run = ir.Function(module, RUN, f"{compiled.fndesc.mangled_name}.run")
    run.linkage = "internal"
    builder = ir.IRBuilder(run.append_basic_block())
    first, count, data = run.args
    block = builder.bitcast(data, context.get_value_type(arguments).as_pointer())
    values = cgutils.unpack_tuple(builder, builder.load(block), len(arguments.types))
    body = context.declare_function(module, compiled.fndesc)
    with cgutils.for_range(builder, count) as loop:
        task = builder.add(first, loop.index)
        context.call_conv.call_function(
            builder, body, types.none, compiled.signature.args, [task, *values]
        )
    builder.ret_void()
    return run

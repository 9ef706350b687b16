"""How the tasks of a kernel are spread over threads.

A kernel's body does one task of many. Numba's `prange` would do the spreading, but it passes a body
through the compiler five times; here it is compiled once, into a function that packs its arguments
into a struct and hands Numba's thread pool the address of a loop over tasks:

    entry(tasks, threads, *arguments)            compiled like any Numba function, cached on disk
        -> run(range of tasks, &arguments)       on each thread
            -> body(task, *arguments)

The pool's function is `numba_parallel_for`, the one that code compiled from `prange` calls.
"""

from types import FunctionType
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_BYTES, _WORD = ir.IntType(8).as_pointer(), ir.IntType(64)
# What the pool calls: pointers of which the first is the number of the first task, the count of
# tasks, the step of the pointers (1), and the arguments.
_RUN = ir.FunctionType(ir.VoidType(), [_BYTES.as_pointer(), *[_WORD.as_pointer()] * 2, _BYTES])
POOL = "numba_parallel_for"
_POOL = ir.FunctionType(ir.VoidType(), [_BYTES] * 5 + [_WORD] * 3)


def entry_function(body: Any, alone: bool = False) -> FunctionType:
    """`entry(tasks, threads, *arguments)` for a compiled `body(task, *arguments)`, not compiled
    yet; alone: on one thread, without the pool. It has the body's name and place: by these Numba's
    disk cache knows it."""
    code, name = body.py_func.__code__, body.py_func.__name__
    names = ", ".join(code.co_varnames[1 : code.co_argcount])
    if alone:
        source = f"def {name}(tasks, threads, {names}):\n for t in range(tasks): _body(t, {names})"
    else:
        source = f"def {name}(tasks, threads, {names}): _spread(tasks, threads, ({names},))"
    (compiled,) = (
        part
        for part in compile(source, code.co_filename, "exec").co_consts
        if isinstance(part, type(code))
    )
    compiled = compiled.replace(co_firstlineno=code.co_firstlineno)
    module = body.py_func.__module__
    known = {"_body": body} if alone else {"_spread": _spread(body)}
    entry = FunctionType(compiled, {**known, "__name__": module}, name)
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
            block = cgutils.alloca_once_value(builder, args[2])
            first = cgutils.alloca_once_value(builder, ir.Constant(_BYTES, None))
            count = cgutils.alloca_once_value(builder, args[0])
            step = cgutils.alloca_once_value(builder, _WORD(1))
            data = builder.bitcast(block, _BYTES)
            pool = cgutils.get_or_insert_function(builder.module, _POOL, POOL)
            alone = builder.icmp_signed("<=", args[1], args[1].type(1))
            with builder.if_else(alone) as (serial, parallel):
                with serial:
                    builder.call(run, [first, count, step, data])
                with parallel:
                    pointers = (builder.bitcast(p, _BYTES) for p in (run, first, count, step))
                    builder.call(pool, [*pointers, data, _WORD(0), _WORD(1), args[1]])
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, arguments), generate

    return spread


def _run_function(context: Any, module: ir.Module, compiled: Any, arguments: Any) -> ir.Function:
    """run(first, count, step, data): the body for tasks *first, ..., *first + *count - 1"""
    run = ir.Function(module, _RUN, f"{compiled.fndesc.mangled_name}.run")
    run.linkage = "internal"
    builder = ir.IRBuilder(run.append_basic_block())
    first, count, _, data = run.args
    block = builder.bitcast(data, context.get_value_type(arguments).as_pointer())
    values = cgutils.unpack_tuple(builder, builder.load(block), len(arguments.types))
    start = builder.ptrtoint(builder.load(first), _WORD)
    body = context.declare_function(module, compiled.fndesc)
    with cgutils.for_range(builder, builder.load(count)) as loop:
        task = builder.add(start, loop.index)
        context.call_conv.call_function(
            builder, body, types.none, compiled.signature.args, [task, *values]
        )
    builder.ret_void()
    return run

"""How the tasks of a kernel are spread over threads.

A kernel's body does one task of many. Numba's `prange` would do the spreading, but it passes a body
through the compiler five times; here it is compiled once, into a function that packs its arguments
into a struct and hands Numba's thread pool the address of a loop over tasks:

    entry(tasks, threads, *arguments) -> size    compiled like any Numba function, cached on disk
        -> run(range of tasks, &arguments)       on each thread
            -> body(task, *arguments)

The pool's function is `numba_parallel_for`, the one that code compiled from `prange` calls.

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

_BYTES, _WORD = ir.IntType(8).as_pointer(), ir.IntType(64)
# What the pool calls: pointers of which the first is the number of the first task, the count of
# tasks, the step of the pointers (1), and the arguments.
_RUN = ir.FunctionType(ir.VoidType(), [_BYTES.as_pointer(), *[_WORD.as_pointer()] * 2, _BYTES])
POOL = "numba_parallel_for"
WRITE_DOWN = -1  # in place of a number of threads
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
        source = f"def {name}(tasks, threads, {names}): return _spread(tasks, threads, ({names},))"
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
            wanted = builder.icmp_signed(">=", args[1], args[1].type(0))
            with builder.if_else(wanted) as (now, later):
                with now:
                    block = cgutils.alloca_once_value(builder, args[2])
                    _hand_out(builder, run, builder.bitcast(block, _BYTES), args[0], args[1])
                with later, builder.if_then(cgutils.is_not_null(builder, args[0])):
                    block = _without_owners(context, builder, args[2], arguments)
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
            run = builder.inttoptr(run, _RUN.as_pointer())
            _hand_out(builder, run, builder.inttoptr(data, _BYTES), tasks, threads)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


def _hand_out(builder: Any, run: Any, data: Any, tasks: Any, threads: Any) -> None:
    """run(0, tasks, data) here, or parts of it on the threads of the pool"""
    first, count, step = (cgutils.alloca_once(builder, t) for t in (_BYTES, _WORD, _WORD))
    builder.store(ir.Constant(_BYTES, None), first)
    builder.store(tasks, count)
    builder.store(_WORD(1), step)
    pool = cgutils.get_or_insert_function(builder.module, _POOL, POOL)
    with builder.if_else(builder.icmp_signed("<=", threads, _WORD(1))) as (serial, parallel):
        with serial:
            builder.call(run, [first, count, step, data])
        with parallel:
            pointers = (builder.bitcast(p, _BYTES) for p in (run, first, count, step))
            builder.call(pool, [*pointers, data, _WORD(0), _WORD(1), threads])


def _without_owners(context: Any, builder: Any, block: Any, arguments: Any) -> Any:
    """The arguments of a call that is made later: who writes it down keeps the arrays alive, and
    Numba, whose count of references ends with this call, must not count on."""
    for i, kind in enumerate(arguments.types):
        if isinstance(kind, types.Array):
            array = context.make_array(kind)(context, builder, builder.extract_value(block, i))
            array.meminfo = cgutils.get_null_value(array.meminfo.type)
            array.parent = cgutils.get_null_value(array.parent.type)
            block = builder.insert_value(block, array._getvalue(), i)
    return block


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

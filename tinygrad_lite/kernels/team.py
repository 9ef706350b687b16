"""The threads that share the tasks of a kernel.

Whoever calls a kernel does its tasks. A team of helpers lends a hand: each is a thread that stays
inside compiled code, looks for a task that nobody has taken, does it, and looks for the next.

    caller                                  helper
    close the ticket, write the job         read the ticket
    open the ticket: task 0                 read the job; does the ticket show a task?
    take tasks until there are none         take it, if the ticket is still the same
    wait for those that helpers took        do it, count it as done

The caller waits for tasks, never for threads: a helper that the system has put aside, because other
programs compute too, or that is asleep, has taken no task and is not missed. A ticket is the number
of the job and that of the next task in one word, which is changed in one step: whoever was put
aside between reading the job and taking a task finds another ticket, and has taken nothing.

A helper that is put aside in the midst of a task keeps the caller waiting. Where that happens, the
machine is busy with something else, and the caller goes on alone for a while: two threads on a busy
machine are no slower than one.

A helper that has found nothing for a while goes to sleep in Python, and is woken before the next
kernel that could use it.
"""

import atexit
import contextlib
import ctypes
import os
import queue
import threading
import time
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinygrad_lite.kernels.atomics import (
    add,
    call,
    clock_gettime,
    load,
    pause,
    replace,
    store,
)
from tinygrad_lite.kernels.functions import dispatcher, inlined

# The symbols by which kernels find share_out and the memory of the team, see launch.py
SHARE_OUT, MEMORY = "tinygrad_lite_share_out", "tinygrad_lite_team"
# Places in the team's memory, words of 8 bytes; what changes at each task has a cache line of its
# own
TICKET, DONE, BUSY, WORDS = 0, 16, 32, 64
JOB, DATA, TASKS, THREADS, LEAVE, STAY, RESUMED, REST = range(48, 56)
SCHED_YIELD, USLEEP, CLOCK_GETTIME, MONOTONIC = range(56, 60)  # addresses in the C library
BITS = 24  # of a ticket, for the number of a task; the others are that of the job
MOST_TASKS = (1 << BITS) - 1  # also the ticket of a job that is closed
SPINS = 500  # looks for something to do, about 40 ns each, before others may have the core
YIELDS = 1000  # more looks, giving way between them, before a helper sleeps
PATIENCE = 20_000  # looks for the end of the tasks of others, before the core is given away
NAP = 50_000  # microseconds
# Nanoseconds: a task of a helper that takes longer than some of the caller's, and this, was put
# aside; then the caller does without helpers, the longer the sooner it happens again
LATE, FIRST_REST, LONGEST_REST = 200_000, 10_000_000, 500_000_000

_WORD, _BYTES = ir.IntType(64), ir.IntType(8).as_pointer()
# What does a range of a kernel's tasks: the first, their count, and the arguments, see launch.py
RUN = ir.FunctionType(ir.VoidType(), [_WORD, _WORD, _BYTES])


@intrinsic
def run_tasks(typing, run, data, first, count):
    """Tasks first, ..., first + count - 1 by the function at the address `run`"""

    def generate(context, builder, sig, args):
        run, data, first, count = args
        function = builder.inttoptr(run, RUN.as_pointer())
        builder.call(function, [first, count, builder.inttoptr(data, _BYTES)])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@inlined
def share_out(team, run, data, tasks, threads):
    """What a kernel calls: all tasks, on this thread and on helpers with numbers below `threads`"""
    if tasks >= MOST_TASKS or not replace(team + 8 * BUSY, 0, 1):  # another thread has the team
        run_tasks(run, data, 0, tasks)
        return
    start = now(team)
    if start < load(team + 8 * RESUMED):
        run_tasks(run, data, 0, tasks)
        store(team + 8 * BUSY, 0)
        return
    job = (load(team + 8 * TICKET) >> BITS) + 1
    store(team + 8 * TICKET, (job << BITS) - 1)  # closed, whatever the job says from here on
    store(team + 8 * DONE, 0)
    store(team + 8 * JOB, run)
    store(team + 8 * DATA, data)
    store(team + 8 * TASKS, tasks)
    store(team + 8 * THREADS, threads)
    store(team + 8 * TICKET, job << BITS)
    own = 0
    while True:
        task = add(team + 8 * TICKET, 1) & MOST_TASKS
        if task >= tasks:
            break
        run_tasks(run, data, task, 1)
        own += 1
    done, looks = now(team), 0
    while load(team + 8 * DONE) < tasks - own:
        looks += 1
        if looks < PATIENCE:
            pause()
        else:
            give_way(team)
    if looks > 0 and now(team) - done > LATE + 4 * (done - start) // max(own, 1):
        rest = load(team + 8 * REST)
        again = done - load(team + 8 * RESUMED) < 4 * rest
        rest = min(2 * rest, LONGEST_REST) if again else FIRST_REST
        store(team + 8 * REST, rest)
        store(team + 8 * RESUMED, now(team) + rest)
    store(team + 8 * BUSY, 0)


@inlined
def now(team):
    """Nanoseconds, or 0 where there is no such clock"""
    function = load(team + 8 * CLOCK_GETTIME)
    return clock_gettime(function, load(team + 8 * MONOTONIC)) if function != 0 else 0


@inlined
def give_way(team):
    """Let another thread have the core, where the system has a call for that"""
    function = load(team + 8 * SCHED_YIELD)
    if function != 0:
        call(function, 0)
    else:
        pause()


def _serve(team, number):
    """What a helper does, until it is told to leave or has found no task for a while"""
    looks = 0
    while load(team + 8 * LEAVE) == 0:
        ticket = load(team + 8 * TICKET)
        task = ticket & MOST_TASKS
        if task < load(team + 8 * TASKS) and number < load(team + 8 * THREADS):
            run, data = load(team + 8 * JOB), load(team + 8 * DATA)
            if replace(team + 8 * TICKET, ticket, ticket + 1):
                run_tasks(run, data, task, 1)
                add(team + 8 * DONE, 1)
                looks = 0
            continue
        looks += 1
        if looks < SPINS:
            pause()
        elif load(team + 8 * RESUMED) > now(team):
            call(load(team + 8 * USLEEP), NAP)  # or the system would count on both
        elif looks < SPINS + YIELDS or load(team + 8 * STAY) > 0:
            give_way(team)
        else:
            break


@intrinsic
def _address_of_share_out(typing):
    compiled = share_out.get_compile_result(types.void(*[types.int64] * 5))

    def generate(context, builder, sig, args):
        context.active_code_library.add_linking_library(compiled.library)
        function = context.declare_function(builder.module, compiled.fndesc)
        return builder.ptrtoint(function, _WORD)

    return types.int64(), generate


def _find():
    return _address_of_share_out()


def _address_of(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


class Team:
    """The helpers of this process, of which none is there before the first kernel that wants one"""

    def __init__(self) -> None:
        self.memory = np.zeros(WORDS + 8, np.int64)
        start = -self.memory.ctypes.data % 64
        self.memory = self.memory[start // 8 :]
        self.address = self.memory.ctypes.data
        self.helpers: list[threading.Thread] = []
        self.bells: list[queue.SimpleQueue] = []  # of helpers, to wake them
        self.asleep: set[int] = set()
        self.changing = threading.Lock()
        self.serve: Any = None
        self.forked = False

    def define(self) -> None:
        """Make known what kernels are linked with; call it before one is compiled or loaded."""
        with self.changing:
            if self.serve is None:
                llvm.add_symbol(SHARE_OUT, dispatcher(_find)())
                llvm.add_symbol(MEMORY, self.address)
                with contextlib.suppress(OSError, AttributeError, TypeError):  # not a POSIX system
                    library = ctypes.CDLL(None)
                    self.memory[SCHED_YIELD] = _address_of(library.sched_yield)
                    self.memory[USLEEP] = _address_of(library.usleep)
                    self.memory[MONOTONIC] = time.CLOCK_MONOTONIC
                    self.memory[CLOCK_GETTIME] = _address_of(library.clock_gettime)
                atexit.register(self.leave)
                if hasattr(os, "register_at_fork"):
                    os.register_at_fork(after_in_child=self._after_fork)
                serve = dispatcher(_serve)
                serve.compile((types.int64, types.int64))
                self.serve = serve  # last: what is interrupted before is done again

    def wake(self, threads: int) -> None:
        """Have helpers ready for kernels on so many threads."""
        if len(self.helpers) < threads - 1:
            if numba.config.DISABLE_JIT:  # kernels run in plain Python, here
                return
            self.define()
            # Where no thread can be started, the caller does without
            with self.changing, contextlib.suppress(RuntimeError):
                while len(self.helpers) < threads - 1:
                    self._hire(len(self.helpers) + 1)
        if self.asleep:
            for number in list(self.asleep):
                if number < threads and self.bells[number - 1].empty():
                    self.bells[number - 1].put(None)

    def _hire(self, number: int) -> None:
        bell: queue.SimpleQueue = queue.SimpleQueue()
        helper = threading.Thread(
            target=self._help, args=(number, bell), name=f"tinygrad_lite {number}", daemon=True
        )
        helper.start()
        self.bells.append(bell)
        self.helpers.append(helper)

    def _help(self, number: int, bell: queue.SimpleQueue) -> None:
        while not self.memory[LEAVE]:
            self.serve(self.address, number)
            self.asleep.add(number)
            bell.get()
            self.asleep.discard(number)

    def leave(self) -> None:
        """Before the interpreter, and what it has compiled, goes: helpers end"""
        self.memory[LEAVE] = 1
        for bell in self.bells:
            bell.put(None)
        for helper in self.helpers:
            helper.join()

    def _after_fork(self) -> None:
        """The helpers have stayed with the parent: the child computes alone."""
        self.forked = True
        self.helpers, self.bells, self.asleep = [], [], set()
        self.changing = threading.Lock()


team = Team()


def set_num_threads(n: int) -> None:
    """Use `n` threads in every kernel called from this Python thread, 1 <= n <= cores."""
    most = 1 if team.forked else numba.config.NUMBA_NUM_THREADS
    if not isinstance(n, int | np.integer) or isinstance(n, bool):
        raise TypeError(
            f"set_num_threads: the number of threads is a whole number.\n  got {n!r}\n  try {most}"
        )
    if n > 1 and team.forked:
        raise ValueError(
            "set_num_threads: a process forked from one that has computed has one thread.\n"
            f"  got {n}\n  try multiprocessing.get_context('spawn')"
        )
    if not 1 <= n <= most:
        raise ValueError(
            f"set_num_threads: the number of threads must lie between 1 and {most}.\n"
            f"  got {n}\n"
            f"  try {min(max(n, 1), most)}, or set NUMBA_NUM_THREADS before Python starts"
        )
    _threads.count = n


def get_num_threads() -> int:
    """Threads that kernels called from this Python thread use: all cores, or $OMP_NUM_THREADS,
    unless set_num_threads has said otherwise; 1 in a process forked from one that has computed."""
    if team.forked:
        return 1
    if _threads.count == 0:
        wanted = os.environ.get("OMP_NUM_THREADS", "")
        most = numba.config.NUMBA_NUM_THREADS
        _threads.count = min(int(wanted), most) if wanted.isdecimal() and int(wanted) else most
    return _threads.count


class _Threads(threading.local):
    count = 0


_threads = _Threads()

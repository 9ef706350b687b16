"""The `@kernel` decorator: how every compiled loop of the engine is compiled, cached and called.

The contract of a kernel
    * its body does one task: the first parameter is the task's number;
    * then outputs, then inputs, then scalars; arrays are C-contiguous;
    * it fills what it is given, allocates nothing and returns nothing;
    * one source serves float32 (training) and float64 (gradient checks);
    * each task owns what it writes, and sums across rows go to partial sums, whose number depends
      on shapes alone: the same bits come out with one thread or with many.

Kernels are compiled at the first call, never at import, and cached on disk.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from tinygrad_lite.kernels.functions import dispatcher, inlined
from tinygrad_lite.kernels.launch import entry_function
from tinygrad_lite.kernels.tables import Table
from tinygrad_lite.kernels.team import get_num_threads, team
from tinygrad_lite.kernels.watch import current

# Tasks of a kernel: more than the cores of an ordinary machine, and fixed.
CHUNKS = 16
SERIAL_SIZE = 8192  # numbers below which starting threads costs more than it saves


class Kernel:
    """A compiled loop: `kernel(*arguments)` runs its body for CHUNKS tasks."""

    def __init__(self, function: Callable):
        self.function = function
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self.__module__ = function.__module__
        self.compiled: Any = None
        self.entry: Any = self._in_python if numba.config.DISABLE_JIT else self._first_call

    @functools.cached_property
    def body(self) -> Any:
        """One task, as a device function: made when it is needed, which keeps the import short"""
        return inlined(self.function)

    def __call__(self, *arguments: Any) -> None:
        work = max(getattr(a, "size", 0) for a in arguments)
        self.run(CHUNKS, 1 if work < SERIAL_SIZE else get_num_threads(), *arguments)

    def run(self, tasks: int, threads: int, *arguments: Any) -> None:
        """The body for tasks 0, ..., tasks - 1, on `threads` threads; a Table among the arguments
        becomes its addresses."""
        if current.watcher is not None:
            current.watcher.launch(self.enter, (tasks, threads, *arguments))
        else:
            self.enter(tasks, threads, *arguments)

    def enter(self, tasks: int, threads: int, *arguments: Any) -> None:
        """The same, whoever looks on"""
        if threads > 1:
            team.wake(threads)
        if any(type(a) is Table for a in arguments):
            arguments = tuple(a.addresses() if type(a) is Table else a for a in arguments)
        self.entry(tasks, threads, *arguments)

    def _first_call(self, *arguments: Any) -> None:
        self.prepare()
        self.entry(*arguments)

    def prepare(self) -> Any:
        """Numba's dispatcher of the entry, which compiles at the first call for argument types."""
        with _preparing:
            if self.compiled is None:
                team.define()
                self.entry = self.compiled = dispatcher(entry_function(self.body))
        return self.compiled

    def _in_python(self, tasks: int, threads: int, *arguments: Any) -> None:
        with np.errstate(all="ignore"):  # compiled code does not warn either
            for task in range(tasks):
                self.body(task, *arguments)


kernel = Kernel
_preparing = threading.RLock()


@inlined
def part_of(n, chunk, parts=CHUNKS):
    """The slice of n numbers, or rows, that belongs to `chunk` of `parts`.

    Kernels loop over slices from 0: for an index that might be negative, Numba adds a check to each
    access, and the loop is no longer vector code.
    """
    return slice(n * chunk // parts, n * (chunk + 1) // parts)

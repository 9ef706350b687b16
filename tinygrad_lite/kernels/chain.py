"""Calls on fixed memory, made again and again: kernels among them without Python in between.

A call of a small kernel takes about a microsecond, most of it for looking at its arguments. Where
they stay the same, they are written down once, in the struct that the kernel reads, and one
compiled loop (`walk` in launch.py) makes all calls of kernels that follow each other.
"""

import functools
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import numpy as np
from numba.core.dispatcher import Dispatcher

from tinygrad_lite.kernels.functions import dispatcher
from tinygrad_lite.kernels.launch import WRITE_DOWN, walk
from tinygrad_lite.kernels.team import STAY, add, team

Call = tuple[Callable, tuple]


class Chain:
    """chain() makes each call (function, arguments), in their order; a kernel's is its entry's."""

    def __init__(self, calls: Iterable[Call]):
        self.kept: list[Any] = []  # what is known by its address alone
        self.calls: list[Call] = []
        self.threads = 1
        for is_simple, part in groupby(calls, _is_simple):
            same = list(part)
            self.calls += [self._written_down(same)] if is_simple else same

    def __call__(self) -> None:
        for function, arguments in self.calls:
            if self.threads > 1:
                team.wake(self.threads)
            function(*arguments)

    def _written_down(self, calls: list[Call]) -> Call:
        table = np.empty((len(calls), 4), np.int64)
        for row, (entry, (tasks, threads, *arguments)) in zip(table, calls, strict=True):
            block = np.empty(entry(0, WRITE_DOWN, *arguments) // 8 + 1, np.int64)
            entry(block.ctypes.data, WRITE_DOWN, *arguments)
            row[:] = block[0], block.ctypes.data + 8, tasks, threads
            self.kept.append((block, arguments))
            self.threads = max(self.threads, threads)
        self.kept.append(table)
        return _walker(), (team.address, table.ctypes.data, len(table))


def _is_simple(call: Call) -> bool:
    """Whether a kernel is called with arrays and numbers alone: of a list, or of arrays in a tuple,
    Numba frees what the written-down call would point to."""
    function, arguments = call
    return isinstance(function, Dispatcher) and all(
        isinstance(a, np.ndarray | np.number | np.bool_ | int | float) for a in arguments
    )


@functools.cache
def _walker() -> Callable:
    team.define()
    return dispatcher(_walk)


def _walk(team, table, count):
    add(team + 8 * STAY, 1)  # helpers would sleep during a long kernel on one thread
    walk(table, count)
    add(team + 8 * STAY, -1)

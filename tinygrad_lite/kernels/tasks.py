"""Tasks that threads take one after the other from a counter, and the memory they work in.

A thread whose core is slower, or busy with something else, takes fewer tasks and holds nobody up.
"""

import contextlib
import threading
from collections.abc import Iterator

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from tinygrad_lite.kernels.functions import inlined
from tinygrad_lite.kernels.memory import LINE, empty_aligned

TAKEN, LEFT, COUNTERS = 0, 8, 16  # counters that threads share, each in a cache line of its own


def take_in_python(counters, i):
    """The value of counters[i], which is then one higher: the next task, taken by one thread."""
    counters[i] += 1
    return counters[i] - 1


@intrinsic
def _take_in_llvm(typing, counters, i):
    """The same, atomically. A thread that gets less of its core takes fewer tasks."""

    def generate(context, builder, sig, args):
        array = context.make_array(sig.args[0])(context, builder, args[0])
        place = builder.gep(array.data, [args[1]])
        return builder.atomic_rmw("add", place, args[1].type(1), "monotonic")

    return types.int64(counters, types.int64), generate


take = take_in_python if numba.config.DISABLE_JIT else _take_in_llvm


@inlined
def reset(counters, threads):
    """At a kernel's end: the last thread sets the counters to 0 for the next kernel."""
    if take(counters, LEFT) == threads - 1:
        counters[:] = 0


class Workspace:
    """Scratch memory that is kept between calls: fresh pages cost more than packing."""

    def __init__(self) -> None:
        self.arrays: dict[tuple[str, np.dtype], np.ndarray] = {}
        self.counters = np.zeros(COUNTERS, np.int64)

    def get(self, name: str, dtype: np.dtype, rows: int, size: int) -> np.ndarray:
        """An array (rows, at least `size`), its contents arbitrary; each row begins with a cache
        line."""
        array = self.arrays.get((name, dtype))
        if array is None or array.shape[0] != rows or array.shape[1] < size:
            numbers = LINE // dtype.itemsize
            shape = rows, -(-size // numbers) * numbers
            array = self.arrays[name, dtype] = empty_aligned(shape, dtype)
        return array


class _Current(threading.local):
    def __init__(self) -> None:
        self.workspace = Workspace()


_current = _Current()


def workspace() -> Workspace:
    """This thread's: no two kernels that run at the same time share one."""
    return _current.workspace


@contextlib.contextmanager
def working_in(other: Workspace) -> Iterator[None]:
    """Within this context kernels of this thread get their scratch memory from there."""
    before, _current.workspace = _current.workspace, other
    try:
        yield
    finally:
        _current.workspace = before

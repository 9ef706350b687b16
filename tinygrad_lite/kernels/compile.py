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

import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba.core import event

from tinygrad_lite.kernels import launch
from tinygrad_lite.kernels.launch import entry_function
from tinygrad_lite.kernels.tables import Table
from tinygrad_lite.kernels.watch import current

# Only what cannot change a result but the sign of a zero. With freedom to reorder sums or to fuse a
# multiplication and an addition, LLVM uses it differently right after compiling and after loading
# from disk, and the first run of a program would not give the bits of later ones. Sums that must
# be fast are in rows.py. `nnan` and `ninf` would hide NaNs and break masks of -inf.
FASTMATH = {"nsz"}

# Tasks of a kernel: more than the cores of an ordinary machine, and fixed.
CHUNKS = 16
SERIAL_SIZE = 8192  # numbers below which starting threads costs more than it saves


def _stamp_of(folder: Path) -> tuple[float, int]:
    """Newest modification time and total size of the Python files in `folder`."""
    stats = [path.stat() for path in sorted(folder.glob("*.py"))]
    return max(s.st_mtime for s in stats), sum(s.st_size for s in stats)


_SHARED_STAMP = _stamp_of(Path(__file__).parent)


class Kernel:
    """A compiled loop: `kernel(*arguments)` runs its body for CHUNKS tasks."""

    def __init__(self, function: Callable):
        self.function, self.body = function, inlined(function)
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self.__module__ = function.__module__
        self.compiled: Any = None
        self.entry: Any = self._in_python if numba.config.DISABLE_JIT else self._first_call

    def __call__(self, *arguments: Any) -> None:
        work = max(getattr(a, "size", 0) for a in arguments)
        self.run(CHUNKS, 1 if work < SERIAL_SIZE else get_num_threads(), *arguments)

    def run(self, tasks: int, threads: int, *arguments: Any) -> None:
        """The body for tasks 0, ..., tasks - 1, on `threads` threads; a Table among the arguments
        becomes its addresses."""
        if current.watcher is not None:
            current.watcher.launch(self.enter, (tasks, threads, *arguments))
            return
        if any(type(a) is Table for a in arguments):
            arguments = tuple(a.addresses() if type(a) is Table else a for a in arguments)
        self.entry(tasks, threads, *arguments)

    def enter(self, *arguments: Any) -> None:
        """entry(tasks, threads, *arguments), each Table as its addresses"""
        self.entry(*(a.addresses() if type(a) is Table else a for a in arguments))

    def _first_call(self, *arguments: Any) -> None:
        self.prepare()
        self.entry(*arguments)

    def prepare(self) -> Any:
        """Numba's dispatcher of the entry, which compiles at the first call for argument types."""
        with _preparing:
            if self.compiled is None:
                alone = not _pool.works()
                self.compiled = dispatcher(entry_function(self.body, alone), alone)
                self.entry = _pool.in_turn(self.compiled)
        return self.compiled

    def _in_python(self, tasks: int, threads: int, *arguments: Any) -> None:
        with np.errstate(all="ignore"):  # compiled code does not warn either
            for task in range(tasks):
                self.body(task, *arguments)


kernel = Kernel
_preparing = threading.RLock()


def dispatcher(entry: Callable, alone: bool = False) -> Any:
    """The entry as a Numba function, cached on disk"""
    compiled = numba.njit(entry, nogil=True, no_cfunc_wrapper=True)
    try:
        from tinygrad_lite.kernels.cache import KernelCache  # relies on private parts of Numba

        # Numba's disk cache watches only the file that holds the kernel. What is shared from this
        # folder is compiled into every kernel: a change here must make them all stale.
        compiled._cache = KernelCache(entry, (*_SHARED_STAMP, alone))
    except RuntimeError as error:  # in no folder can be written
        _warn_once(f"kernels are compiled anew in each process: {error}; try NUMBA_CACHE_DIR")
    except (ImportError, AttributeError, TypeError):
        _warn_once(f"{CHANGED}: its disk cache is done without, and kernels are compiled anew")
    return compiled


CHANGED = f"Numba {numba.__version__} has changed in a way that the engine does not know"


def _warn_once(what: str) -> None:
    if what not in _said:
        _said.add(what)
        warnings.warn(f"tinygrad_lite: {what}", RuntimeWarning, stacklevel=2)


_said: set[str] = set()


class _Pool:
    """Numba's threads: whether they can be used as the engine uses them"""

    def __init__(self) -> None:
        self.checked: bool | None = None
        self.forked = False
        self.turn = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def works(self) -> bool:
        """Whether tasks that are handed to the pool are done, each once: tried at the first use"""
        if self.checked is None:
            self.checked = True  # while it is tried
            done = np.zeros(CHUNKS, np.int64)
            try:
                numba.get_num_threads()  # starts the pool, to which the compiled code is linked
                if llvm.address_of_symbol(launch.POOL) is None:  # calling it would end the process
                    raise RuntimeError(f"{launch.POOL} is not there")
                try_pool = dispatcher(entry_function(inlined(_count_task)), False)
                try_pool(CHUNKS, min(2, numba.config.NUMBA_NUM_THREADS), done)
            except Exception:  # whatever it is, one thread does not need it
                done[:] = 0
            self.checked = bool((done == 1).all())
            if not self.checked:
                _warn_once(f"{CHANGED}; kernels run on one thread")
        return self.checked

    def in_turn(self, entry: Callable) -> Callable:
        """The entry, called by one Python thread at a time where the pool bears no more"""
        if not self.works() or numba.threading_layer() != "workqueue":
            return entry

        def one_at_a_time(*arguments: Any) -> None:
            with self.turn:
                entry(*arguments)

        return one_at_a_time

    def _after_fork(self) -> None:
        """The threads of the pool have stayed with the parent: the child computes alone."""
        self.forked = self.forked or self.checked is not None
        self.turn = threading.Lock()


def _count_task(task, done):
    done[task] += 1


_pool = _Pool()


def threads_work() -> bool:
    """Whether kernels run on several threads"""
    return _pool.works()


def calls_can_be_chained() -> bool:
    """Whether kernels may be called by compiled code, see chain.py: not where calls take turns"""
    return not numba.config.DISABLE_JIT and _pool.works() and numba.threading_layer() != "workqueue"


def inlined(function: Callable, fastmath: frozenset[str] | set[str] = FASTMATH) -> Any:
    """A device function: part of the kernels that call it, with the same arithmetic."""
    return numba.njit(
        function, nogil=True, fastmath=set(fastmath), error_model="numpy",
        no_cpython_wrapper=True, no_cfunc_wrapper=True,  # only compiled code calls it
    )  # fmt: skip


@inlined
def part_of(n, chunk, parts=CHUNKS):
    """The slice of n numbers, or rows, that belongs to `chunk` of `parts`.

    Kernels loop over slices from 0: for an index that might be negative, Numba adds a check to each
    access, and the loop is no longer vector code.
    """
    return slice(n * chunk // parts, n * (chunk + 1) // parts)


class _CompileListener(event.Listener):
    def __init__(self, callback: Callable[[], None]):
        self.callback = callback

    def on_start(self, event: Any) -> None:
        self.callback()

    def on_end(self, event: Any) -> None:
        pass


def on_compile(callback: Callable[[], None]) -> None:
    """Call `callback()` whenever a kernel starts to be compiled (not when it comes from disk)."""
    event.register("numba:compile", _CompileListener(callback))


def set_num_threads(n: int) -> None:
    """Use `n` threads in every kernel called from this Python thread, 1 <= n <= cores."""
    most = 1 if _pool.forked else numba.config.NUMBA_NUM_THREADS
    if n > 1 and _pool.forked:
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
    numba.set_num_threads(n)
    _threads.count = n


def get_num_threads() -> int:
    """Threads that kernels called from this Python thread use: all cores, or $OMP_NUM_THREADS,
    unless set_num_threads has said otherwise; 1 in a process forked from one that has computed."""
    if _pool.forked:
        return 1
    if _threads.count == 0:  # asking Numba takes longer than a small kernel
        wanted = os.environ.get("OMP_NUM_THREADS", "")
        most = numba.get_num_threads()
        _threads.count = min(int(wanted), most) if wanted.isdecimal() and int(wanted) else most
    return _threads.count


class _Threads(threading.local):
    count = 0


_threads = _Threads()

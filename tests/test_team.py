"""The team of threads: each task once, whoever is slow, asleep, gone, or calls at the same time."""

import os
import queue
import subprocess
import sys
import threading
import time

import numba
import numpy as np
import pytest

import tinygrad_lite as tg
from tinygrad_lite.kernels.chain import Chain
from tinygrad_lite.kernels.compile import kernel
from tinygrad_lite.kernels.team import (
    BITS,
    LEAVE,
    LONGEST_REST,
    MOST_TASKS,
    REST,
    RESUMED,
    TICKET,
    Team,
    load,
    store,
    team,
)

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="there are no threads")
CORES = numba.config.NUMBA_NUM_THREADS
several = pytest.mark.skipif(CORES < 2, reason="there is one core")


@kernel
def count_kernel(task, done, long):
    """A task counts itself, and is long now and then"""
    x = 1.0
    for _ in range(long[task % long.size]):
        x = x * 1.0000001 + 1e-9
    if x > 0:
        done[task] += 1


def run(tasks, threads, long=(0,)):
    done = np.zeros(tasks, np.int64)
    count_kernel.run(tasks, threads, done, np.array(long, np.int64))
    return done


@pytest.mark.parametrize("tasks", [0, 1, 2, 16, 1000])
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_each_task_is_done_once(tasks, threads):
    for _ in range(50):
        assert (run(tasks, threads) == 1).all()


def test_uneven_tasks_are_each_done_once():
    rng = np.random.default_rng(0)
    for _ in range(3000):
        tasks, threads = rng.integers(1, 40), rng.integers(1, 5)
        assert (run(tasks, threads, rng.integers(0, 2000, 5)) == 1).all()


def test_more_tasks_than_a_ticket_counts_are_done_too():
    assert (run(MOST_TASKS + 1, 2) == 1).all()


def test_the_number_of_a_job_may_pass_its_largest():
    """After 2^40 kernels the number of the job starts again. The tickets are closed: of an open one
    a helper that is awake would take a task, of a job that is gone."""
    for last in (-5, (1 << 63 - BITS) - 1):
        team.memory[TICKET] = (last << BITS) | MOST_TASKS
        for _ in range(10):
            assert (run(16, 2) == 1).all()


@kernel
def meet_kernel(task, met, address, looks):
    """Task 0 looks whether task 1 is done at the same time"""
    if task == 1:
        store(address, 1)
    for _ in range(looks if task == 0 else 0):
        if load(address) == 1:
            met[0] = 1
            break


@several
def test_helpers_lend_a_hand():
    met, place = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for _ in range(2000):
        place[0] = 0
        meet_kernel.run(2, 2, met, place.ctypes.data, 100_000)
        if met[0]:
            return
    pytest.fail("all tasks were done by the caller")


def test_small_and_large_jobs_follow_each_other_closely():
    """A helper may read the job while it is replaced by the next"""
    counts = [np.zeros(n, np.int64) for n in (2, 40, 3, 25)]
    run(1, 1)
    calls = [
        (count_kernel.entry, (len(c), 2, c, np.zeros(1, np.int64))) for c in counts for _ in "12"
    ]
    chain = Chain(calls * 50)
    for _ in range(300):
        chain()
    assert all((c == 2 * 50 * 300).all() for c in counts)


@several
def test_helpers_sleep_and_are_woken():
    run(16, 2)
    for _ in range(5):
        deadline = time.monotonic() + 20
        while 1 not in team.asleep and time.monotonic() < deadline:
            time.sleep(0.01)
        assert 1 in team.asleep
        before = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - before < 0.1  # nobody waits by computing
        assert (run(16, 2) == 1).all()
        while 1 in team.asleep and time.monotonic() < deadline:
            pass
        assert 1 not in team.asleep


def test_callers_at_the_same_time_do_their_own_tasks():
    wrong, end = [], time.monotonic() + 2

    def call(number):
        tg.set_num_threads(min(2, CORES))
        while time.monotonic() < end:
            done = run(16 + number, 2, (0, 300 * number))
            if not (done == 1).all():
                wrong.append(done)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_caller_that_rests_from_its_helpers_does_all_alone():
    """After a helper was put aside, until the clock says otherwise"""
    team.memory[RESUMED] = time.monotonic_ns() + 200_000_000
    try:
        met, place = np.zeros(1, np.int64), np.zeros(1, np.int64)
        while time.monotonic_ns() < team.memory[RESUMED] - 50_000_000:
            meet_kernel.run(2, 2, met, place.ctypes.data, 1000)
            assert (run(16, 2) == 1).all()
            place[0] = 0
        assert not met[0]
    finally:
        team.memory[RESUMED] = 0
    test_helpers_lend_a_hand()


@several
def test_a_helper_that_is_late_is_not_waited_for_again():
    """A task that takes far longer than the others stands for one that was put aside"""
    team.memory[RESUMED] = team.memory[REST] = 0
    deadline = time.monotonic() + 60
    while not team.memory[RESUMED] and time.monotonic() < deadline:
        run(2, 2, (200_000, 20_000_000))
    assert time.monotonic_ns() < team.memory[RESUMED] < time.monotonic_ns() + 2 * LONGEST_REST
    assert (run(16, 2) == 1).all()
    team.memory[RESUMED] = team.memory[REST] = 0


SLOW = """
import os, signal, subprocess, sys, time, threading
import numpy as np, tinygrad_lite as tg
from tinygrad_lite.kernels.team import team
x = tg.Tensor(np.ones((512, 512), "f"))
(x @ x).numpy()
{}
expected = np.full((512, 512), 512, "f")
print(all(np.array_equal((x @ x).numpy(), expected) for _ in range(20)), flush=True)
"""


def python(code):
    result = subprocess.run(
        [sys.executable, "-c", SLOW.format(code)], capture_output=True, text=True, timeout=120,
        env={**os.environ, "NUMBA_NUM_THREADS": "2"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout.strip()


def test_a_helper_that_has_gone_is_not_missed():
    said = python(f"team.memory[{LEAVE}] = 1; time.sleep(0.2); team.memory[{LEAVE}] = 0")
    assert said == "True"


def test_an_interrupted_team_is_defined_again(monkeypatch):
    one, asked = Team(), []
    monkeypatch.setattr("tinygrad_lite.kernels.team.llvm.add_symbol", lambda *_: None)

    def register(leave):
        asked.append(leave)
        if len(asked) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("tinygrad_lite.kernels.team.atexit.register", register)
    with pytest.raises(KeyboardInterrupt):
        one.define()
    one.define()
    assert asked == [one.leave, one.leave]  # before anything can run that must end


def test_an_interrupted_bell_is_rung_again():
    class Bell(queue.SimpleQueue):
        interrupted = False

        def put(self, item):
            if not self.interrupted:
                self.interrupted = True
                raise KeyboardInterrupt
            super().put(item)

    one = Team()
    one.helpers, one.bells, one.asleep = [threading.current_thread()], [Bell()], {1}
    with pytest.raises(KeyboardInterrupt):
        one.wake(2)
    one.wake(2)
    one.wake(2)
    assert one.bells[0].qsize() == 1


def test_a_process_ends_while_helpers_look_for_tasks():
    for _ in range(5):
        assert python("") == "True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_in_the_midst_of_a_kernel_computes_alone():
    said = python("""
def keep():
    tg.set_num_threads(2)
    while True: (x @ x).numpy()
threading.Thread(target=keep, daemon=True).start()
for _ in range(20):
    time.sleep(0.005)
    child = os.fork()
    if child == 0:
        os._exit(0 if ((x @ x).numpy() == 512).all() else 1)
    assert os.waitpid(child, 0)[1] == 0
""")
    assert said == "True"


@pytest.mark.parametrize("n", [1.5, "2", True, None])
def test_the_number_of_threads_is_whole(n):
    with pytest.raises(TypeError, match="whole number"):
        tg.set_num_threads(n)


def test_a_team_does_without_threads_that_cannot_be_started(monkeypatch):
    def fails(_):
        raise RuntimeError("can't start new thread")

    one = Team()
    one.serve = object()  # defined
    with monkeypatch.context() as some:
        some.setattr(threading.Thread, "start", fails)
        one.wake(2)
    assert not one.helpers
    assert not one.bells

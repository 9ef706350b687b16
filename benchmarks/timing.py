"""Contenders take turns, so that a machine whose speed drifts is slow or fast for all of them."""

import multiprocessing
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import numba
import numpy as np

import tinygrad_lite as tg
from gpt.training.measure import peak_memory_mb
from tinygrad_lite.kernels.cpu import has_amx
from tinygrad_lite.kernels.peak import bandwidth_gb_s, peak_gflops, reading_gb_s


@dataclass
class Row:
    """One contender in one benchmark; first_s is its set-up and first call, compilation included"""

    benchmark: str
    config: str
    contender: str
    median_ms: float
    min_ms: float
    first_s: float
    peak_mb: float
    gflops: float | None = None
    gb_per_s: float | None = None
    tokens_per_second: float | None = None
    waiting: float | None = None  # share of the time, for messages of other processes

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


REST = 0.25  # seconds between turns: PyTorch's OpenMP threads spin for 0.2 s after their work
TURN = 0.3  # seconds of measured calls in a turn, one call at least

# Builds a contender in its own process: returns the call to time, and what it computes, to compare.
Factory = Callable[..., tuple[Callable[[], object], dict[str, np.ndarray]]]


def race(
    benchmark: str,
    config: str,
    contenders: dict[str, tuple[Factory, tuple]],
    rounds: int,
    tolerance: float,
    flops: float | None = None,
    bytes_moved: float | None = None,
) -> list[Row]:
    """Contenders take turns (A B A B ...), `rounds` of them, after two calls to warm up.

    flops, bytes_moved   of one call, for the rates that are reported

    Each lives in a process of its own: the thread pools of two libraries in one process keep each
    other from their cores, and one of them would be measured at a tenth of its speed.
    """
    workers = {
        name: _Worker(factory, arguments) for name, (factory, arguments) in contenders.items()
    }
    try:
        results = {name: worker.receive() for name, worker in workers.items()}
        _compare({name: result for name, (_, result) in results.items()}, tolerance)
        for worker in workers.values():
            worker.call()
        seconds: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(rounds):
            for name, worker in workers.items():
                time.sleep(REST)
                seconds[name] += worker.call()
        peaks = {name: worker.stop() for name, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.process.kill()
    return [
        Row(
            benchmark,
            config,
            name,
            1000 * statistics.median(times),
            1000 * min(times),
            results[name][0],
            peaks[name],
            None if flops is None else flops / statistics.median(times) / 1e9,
            None if bytes_moved is None else bytes_moved / statistics.median(times) / 1e9,
        )
        for name, times in seconds.items()
    ]


class _Worker:
    """A contender in its own process: it says how long its first call took, then takes turns."""

    def __init__(self, factory: Factory, arguments: tuple):
        spawn = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_serve, args=(theirs, factory, arguments), daemon=True)
        self.process.start()
        theirs.close()

    def receive(self) -> Any:
        return self.pipe.recv()

    def call(self) -> list[float]:
        self.pipe.send("call")
        return self.receive()

    def stop(self) -> float:
        """The peak memory of the process in MB"""
        self.pipe.send("stop")
        return self.receive()


def _serve(pipe: Any, factory: Factory, arguments: tuple) -> None:
    start = time.perf_counter()
    call, result = factory(*arguments)
    call()
    pipe.send((time.perf_counter() - start, result))
    while pipe.recv() == "call":
        call()  # wakes the threads, fills the caches
        seconds: list[float] = []
        end = time.perf_counter() + TURN
        while not seconds or time.perf_counter() < end:
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        pipe.send(seconds)
    pipe.send(peak_memory_mb())


def digest(array: np.ndarray) -> np.ndarray:
    """The norm of an array and some of its numbers: what is compared of large results"""
    flat = np.asarray(array).reshape(-1)
    some = flat[:: max(1, flat.size // 4096)]
    return np.append(some, np.linalg.norm(flat)).astype(np.float64)


# What bfloat16, with 8 bits of mantissa, may change; and what counts as zero but for rounding,
# as a fraction of the largest gradient, in float32 and in bfloat16
ROUNDING, ZERO, BFLOAT16_ZERO = 0.05, 1e-5, 1e-2


def _compare(results: dict[str, dict[str, np.ndarray]], tolerance: float) -> None:
    """RuntimeError unless all contenders computed the same."""
    (first, expected), *others = results.items()
    for name, result in others:
        allowed, zero = (
            (ROUNDING, BFLOAT16_ZERO)
            if any(kind in name for kind in ("bfloat16", "int8", "Q8_0"))
            else (
                tolerance,
                ZERO,
            )
        )
        # Some gradients are zero but for rounding: they are compared with the largest.
        floor = zero * max(np.linalg.norm(array) for array in expected.values())
        for key, value in result.items():
            difference = np.linalg.norm(value - expected[key])
            if not difference <= allowed * (np.linalg.norm(expected[key]) + floor):
                raise RuntimeError(
                    "benchmarks: contenders must compute the same.\n"
                    f"  got {key} of {name} {difference} apart from that of {first}\n"
                    "  try pytest tests/test_torch.py"
                )


def machine() -> dict[str, Any]:
    """Hardware, its peak rates, versions and threads, as they are printed with every result"""
    versions = {"python": platform.python_version()}
    for package in ("numpy", "numba", "torch", "jax", "transformers"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "cpu": _cpu_name(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": tg.get_num_threads(),
        "cores": numba.config.NUMBA_NUM_THREADS,
        "bfloat16": _bfloat16(),
        "peak_gflops": round(peak_gflops()),
        "bandwidth_gb_s": round(bandwidth_gb_s(), 1),
        "reading_gb_s": round(reading_gb_s(), 1),
        "commit": _commit(),
        **versions,
    }


def _bfloat16() -> str:
    if has_amx():
        return "in hardware by AMX"
    return "in hardware" if tg.has_bfloat16() else "in software, not raced"


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or "unknown"

"""A training step while other programs compute, on all threads and on one: ours and PyTorch's."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from benchmarks import step
from benchmarks.threads import with_threads
from benchmarks.timing import Factory, Row, race
from tinygrad_lite import get_num_threads

CONFIGS = ["baby", "shake"]
OTHERS = (0, 1, 2)


def run(config: str, peers: list[str]) -> list[Row]:
    most, rows = get_num_threads(), []
    contenders: dict[str, tuple[Factory, tuple]] = {}
    for n in (most, 1):
        contenders[f"ours {n} thread{'s' * (n > 1)}"] = (with_threads, (config, n))
    if "torch" in peers:
        for n in (most, 1):
            name = f"torch {n} thread{'s' * (n > 1)}"
            contenders[name] = (step.of_torch, (config, n, "eager"))
    for others in OTHERS:
        with busy(others):
            rows += race("busy", f"{config}, {others} more", contenders, 6, tolerance=1e-3)
    return rows


@contextlib.contextmanager
def busy(others: int) -> Iterator[None]:
    """Within this context so many other programs compute."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()

"""Peak resident memory of a process that does a few training steps, contender after contender."""

from benchmarks import step
from benchmarks.timing import Row, race

CONFIGS = ["baby", "recipe", "shake", "gpt2"]


def run(config: str, peers: list[str]) -> list[Row]:
    rows: list[Row] = []
    for name, contender in step.contenders(config, peers).items():
        rows += race("memory", config, {name: contender}, rounds=1, tolerance=0)
    return rows

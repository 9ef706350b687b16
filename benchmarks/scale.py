"""How time and memory of a training step grow with context, width, vocabulary and batch."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import step
from benchmarks.timing import Factory, Row, race
from tinygrad_lite import get_num_threads

BASE = dict(n_layer=2, n_head=4, n_embd=128, block_size=256, vocab_size=1000)
BATCH = 4
AXES: dict[str, tuple[str, tuple[int, ...]]] = {
    "context": ("block_size", (64, 256, 1024, 4096)),
    "width": ("n_embd", (64, 128, 256, 512, 1024)),
    "vocabulary": ("vocab_size", (100, 1000, 10_000, 50_000)),
    "batch": ("batch", (1, 4, 16, 64)),
}
TURNS = 3


def run(axis: str, peers: list[str]) -> list[Row]:
    rows = []
    for value in AXES[axis][1]:
        contenders: dict[str, tuple[Factory, tuple]] = {"ours": (ours, (axis, value))}
        if "torch" in peers:
            contenders["torch"] = (of_torch, (axis, value, get_num_threads()))
        rows += race("scale", f"{axis} {value}", contenders, TURNS, tolerance=1e-3)
    return rows


def _known(axis: str, value: int) -> str:
    """The name under which `step` finds the model"""
    field, name = AXES[axis][0], f"{axis} {value}"
    batch = value if field == "batch" else BATCH
    step.CONFIGS[name] = ({**BASE, **({} if field == "batch" else {field: value})}, batch, TURNS)
    return name


def ours(axis: str, value: int) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    return step.ours(_known(axis, value), "float32")


def of_torch(
    axis: str, value: int, threads: int
) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    return step.of_torch(_known(axis, value), threads, "eager")


def slope(rows: list[dict[str, Any]], what: str) -> float:
    """The power of the size with which the last of a contender's rows grow"""
    (_, one), (_, other) = ((r, int(r["config"].split()[1])) for r in rows[-2:])
    return math.log(rows[-1][what] / rows[-2][what]) / math.log(other / one)


def draw(rows: list[dict[str, Any]], target: Path) -> None:
    """A column an axis: milliseconds above, peak memory below"""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    axes_found = [a for a in AXES if any(r["config"].startswith(a) for r in rows)]
    figure, panels = pyplot.subplots(
        2, len(axes_found), figsize=(3.4 * len(axes_found), 6), squeeze=False, layout="constrained"
    )
    for column, axis in enumerate(axes_found):
        for row, (what, label) in enumerate((("min_ms", "ms"), ("peak_mb", "MB"))):
            panel = panels[row][column]
            for name in ("ours", "torch"):
                own = [r for r in rows if r["contender"] == name and r["config"].startswith(axis)]
                if len(own) > 1:
                    sizes = [int(r["config"].split()[1]) for r in own]
                    told = f"{name}, at last by a power of {slope(own, what):.2f}"
                    panel.plot(sizes, [r[what] for r in own], "o-", label=told)
            panel.set(xscale="log", yscale="log", xlabel=axis, ylabel=label)
            panel.legend(fontsize=7)
    figure.savefig(target, dpi=110)
    pyplot.close(figure)

"""What a run's log tells: losses over steps and seconds, evaluations, the best of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpt.errors import require
from gpt.training.log import read_records

SPARKS = "▁▂▃▄▅▆▇█"
NUMBERS = ("loss", "lr", "grad_norm", "ms", "tokens_per_second")  # of a step


Evaluation = tuple[int, float, float]  # step, seconds, validation loss


@dataclass(frozen=True)
class History:
    """Arrays (steps,): the step's number, the loss of its batch, the same smoothed, seconds of
    training until its end, learning rate, gradient norm, tokens a second. evaluations: [(step,
    seconds, validation loss), ...]"""

    step: np.ndarray
    loss: np.ndarray
    smooth: np.ndarray
    seconds: np.ndarray
    lr: np.ndarray
    grad_norm: np.ndarray
    speed: np.ndarray
    evaluations: list[Evaluation]
    best: Evaluation | None  # whose weights were kept


def read_history(log: Path) -> History:
    """The history of a log.jsonl; ValueError if it holds no step"""
    records = [r for r in read_records(log) if "step" in r]
    steps = [r for r in records if all(_is_number(r.get(n)) for n in NUMBERS)]
    require(bool(steps), "plot: a log must hold at least one step.", f"{log}", "a run with steps")
    columns = {n: np.array([r[n] for r in steps], float) for n in ("loss", "lr", "grad_norm")}
    seconds = np.cumsum([r["ms"] / 1000 for r in steps])
    time_of = dict(zip([r["step"] for r in steps], seconds.tolist(), strict=True))
    return History(
        step=np.array([r["step"] for r in steps]),
        smooth=smoothed(columns["loss"], max(1, len(steps) // 40)),
        seconds=seconds,
        speed=np.array([r["tokens_per_second"] for r in steps], float),
        evaluations=[
            (r["step"], time_of[r["step"]], r["val_loss"])
            for r in records
            if _is_number(r.get("val_loss")) and r["step"] in time_of
        ],
        best=_best(records, time_of),
        **columns,
    )  # fmt: skip


def _is_number(value: object) -> bool:
    """Such as a log holds: damaged lines may have any"""
    return isinstance(value, int | float) and abs(value) < 1e30


def _best(records: list[dict[str, Any]], time_of: dict[int, float]) -> Evaluation | None:
    """The evaluation whose weights were kept; of old logs, which do not say it, the lowest"""
    measured = [r for r in records if _is_number(r.get("val_loss")) and r["step"] in time_of]
    marked = [r for r in measured if r.get("best") is True]
    lowest = min(measured, key=lambda r: r["val_loss"], default=None)
    best = marked[-1] if marked else lowest
    return None if best is None else (best["step"], time_of[best["step"]], best["val_loss"])


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of `window` values around each: it does not lag behind them"""
    total = np.convolve(values, np.ones(window), "full")
    count = np.convolve(np.ones(len(values)), np.ones(window), "full")
    start = (window - 1) // 2
    return (total / count)[start : start + len(values)]


def thinned(count: int, most: int) -> np.ndarray:
    """At most `most` numbers below count, evenly spread, the first and the last among them"""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def sparkline(values: np.ndarray, width: int) -> str:
    """A line of small bars, from the first value to the last; no more than there are values"""
    values = values[thinned(len(values), width)]
    low, high = float(values.min()), float(values.max())
    scale = (len(SPARKS) - 1) / (high - low) if high > low else 0.0
    return "".join(SPARKS[round((v - low) * scale)] for v in values.tolist())

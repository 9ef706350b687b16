"""Does a stopped run go on with the same bits? Train twice, once without a stop, and compare."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpt.text.tokens import TokenIds
from gpt.training.log import read_records
from gpt.training.loop import train
from gpt.training.run import Run
from gpt.training.setup import Setup
from gpt.training.state import EvalRecord, TrainState
from tinygrad_lite import get_num_threads, set_num_threads

CLOCKED = ("ms", "tokens_per_second")  # of a record, what the clock says


def verify_resume(
    setup: Setup,
    training: TokenIds,
    validation: TokenIds,
    stops: Sequence[int],
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[str]]:
    """Compare a run without a stop with one that is stopped after each of the steps `stops`, loaded
    from its files into a new state, and goes on, each time on another number of threads.

    folder   an empty one, in which both runs are made

    Returns what was compared, with the names of what differs: "weights", "optimizers", "progress"
    (step, best loss, random streams), "log".
    """
    steps, done = 2 * setup.train.steps, 0

    def count() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, steps)

    runs = []
    for name, ends in (("whole", [setup.train.steps]), ("stopped", [*stops, setup.train.steps])):
        run = Run.create(folder / name)
        with run.locked():
            run.begin(setup, TrainState(setup.model, setup.train))
            for number, end in enumerate(ends):
                state = _part(run, setup, training, validation, end, number, count)
        runs.append((run, state))
    (whole, one), (stopped, other) = runs
    arrays, others = one.arrays(), other.arrays()
    different = [n for n in arrays if arrays[n].tobytes() != others[n].tobytes()]
    logs = [[_unclocked(r) for r in read_records(run.log)] for run in (whole, stopped)]
    return {
        "weights": [n for n in different if n.startswith("model.")],
        "optimizers": [n for n in different if not n.startswith("model.")],
        "progress": [] if one.progress() == other.progress() else ["progress"],
        "log": [] if logs[0] == logs[1] else ["log.jsonl"],
    }


def _part(
    run: Run,
    setup: Setup,
    training: TokenIds,
    validation: TokenIds,
    end: int,
    number: int,
    count: Callable[[], None],
) -> TrainState:
    """Load what the run's folder holds, and go on until step `end`, where it is saved."""
    state, threads = TrainState(setup.model, setup.train), get_num_threads()
    run.load_last(state)
    run.rewind(state.step)
    try:
        set_num_threads(1 + (threads - 1 + number) % threads)
        for record in train(state, training, validation) if state.step < end else ():
            run.append(record)
            if isinstance(record, EvalRecord):
                if record.best:
                    run.save_best(state)
            else:
                count()
                if state.evaluation_due():
                    continue
            if state.step >= end:
                break
    finally:
        set_num_threads(threads)
    run.save_last(state)
    return state


def _unclocked(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in CLOCKED}


def spread(steps: int, count: int, seed: int) -> list[int]:
    """So many different steps before the last, in order, at random"""
    most = max(min(count, steps - 1), 0)
    chosen = np.random.default_rng(seed).choice(np.arange(1, steps), most, replace=False)
    return sorted(chosen.tolist())


def shortened(setup: Setup, steps: int) -> Setup:
    """The same run with fewer steps, and never ended early"""
    train_config = dataclasses.replace(setup.train, steps=steps, minutes=0.0, patience=0)
    return dataclasses.replace(setup, train=train_config)

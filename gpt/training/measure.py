"""What a step takes on this machine: measured by doing a few on a model that is thrown away."""

import contextlib
import resource
import statistics
import sys
import time

import numpy as np

from gpt.config import GPTConfig, TrainConfig
from gpt.errors import NonFiniteError
from gpt.training.loop import batch, train_step
from gpt.training.state import TrainState
from tinygrad_lite import compile_ahead, precision


def measure(
    model: GPTConfig, config: TrainConfig, training: np.ndarray, steps: int = 3
) -> tuple[float, float]:
    """(seconds a step, peak memory of this process in MB) after a first step that compiles."""

    def whole_step() -> None:
        state = TrainState(model, config)
        inputs, targets = batch(training, config, model.block_size, state.rng)
        with precision(config.precision):
            *_, grad_scale = state.gradients(inputs, targets)
            state.apply(grad_scale)

    compile_ahead(whole_step)
    state = TrainState(model, config)
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        with contextlib.suppress(NonFiniteError):  # the run itself will say so
            train_step(state, training)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]), peak_memory_mb()


def peak_memory_mb() -> float:
    """The largest resident size of this process so far, in MB (10^6 bytes)"""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6

"""What a step takes on this machine: measured by doing a few on a model that is thrown away."""

import contextlib
import resource
import statistics
import sys
import time
from collections.abc import Callable

from gpt.config import GPTConfig, TrainConfig
from gpt.errors import NonFiniteError
from gpt.model import GPT
from gpt.text.tokens import TokenIds
from gpt.training.evaluate import FINAL
from gpt.training.loop import batch, train_step, windows_of
from gpt.training.state import TrainState
from tinygrad_lite import (
    attention_weights,
    compile_ahead,
    count_missing,
    distributed,
    no_grad,
    precision,
    zeros,
)


def _a_step(model: GPTConfig, config: TrainConfig, training: TokenIds) -> Callable[[], None]:
    """A step that is not recorded, of a model of its own"""

    def step() -> None:
        state = TrainState(model, config)
        inputs, targets = batch(training, config, model.block_size, state.rng)
        with precision(config.precision):
            *_, grad_scale = state.gradients(inputs, targets)
            state.apply(grad_scale)

    return step


def _an_evaluation(model: GPTConfig, config: TrainConfig, training: TokenIds) -> Callable[[], None]:
    """What else a run computes, of a model of its own: the loss, a sample, attention weights"""

    def evaluation() -> None:
        one, tokens = GPT(model).eval(), training[None, : min(2, model.block_size)]
        with no_grad(), precision(config.precision):
            one.loss(tokens, tokens)
            cache = one.new_cache(1)
            for some in (tokens, tokens[:, :1]):
                one.next_logits(some, cache)
            q = zeros(1, model.n_head, 2, model.n_embd // model.n_head)
            attention_weights(q, q, True, 1.0)

    return evaluation


def missing_kernels(model: GPTConfig, config: TrainConfig, training: TokenIds) -> tuple[int, int]:
    """(kernels that a step would compile, all that it needs)"""
    return count_missing(_a_step(model, config, training))


ENOUGH = 1.0  # seconds of steps that are enough to tell how long one takes
SHARE = 0.02  # of the time of all steps
STEPS = (3, 60)  # that are done, at least and at most


def measure(
    model: GPTConfig, config: TrainConfig, training: TokenIds, enough: float = ENOUGH
) -> tuple[float, float]:
    """(seconds of a step that nothing disturbs, peak memory of this process in MB), after a first
    step that compiles; from `enough` seconds of steps, but little of what the run will take."""
    step, evaluation = _a_step(model, config, training), _an_evaluation(model, config, training)
    with distributed.in_turns(), distributed.alone():
        compile_ahead(lambda: (step(), evaluation()))
    state = TrainState(model, config)
    seconds: list[float] = []
    while (
        len(seconds) <= 1  # of steps that take long one is enough
        or (len(seconds) <= STEPS[0] and sum(seconds[1:]) < enough)
        or (
            sum(seconds[1:]) < min(enough, SHARE * config.steps * seconds[-1])
            and len(seconds) <= STEPS[1]
        )
    ):
        start = time.perf_counter()
        with contextlib.suppress(NonFiniteError):  # the run itself will say so
            train_step(state, training)
        seconds.append(distributed.largest(time.perf_counter() - start))
    # Not the median: while something else computes, many steps take far longer than most will
    few = len(seconds) <= STEPS[0]
    step_seconds = min(seconds[1:]) if few else statistics.quantiles(seconds[1:], n=4)[0]
    return step_seconds, peak_memory_mb()


def predicted_seconds(
    seconds: float, state: TrainState, model: GPTConfig, counts: tuple[int, int]
) -> float:
    """How long the steps that are left, and their evaluations, will take.

    seconds   of a step
    counts    tokens of both splits
    """
    config, left = state.config, state.config.steps - state.step
    interval = config.eval_interval or max(1, config.steps // 10)
    read = (left // interval) * min(config.eval_tokens, counts[1]) + min(counts[1], FINAL)
    return left * seconds + read * _predicted_token(seconds, config, model, counts)


def least_seconds(
    seconds: float, config: TrainConfig, model: GPTConfig, counts: tuple[int, int]
) -> float:
    """How long a run by the clock will take at least: two steps, and its last evaluation"""
    return 2 * seconds + min(counts[1], FINAL) * _predicted_token(seconds, config, model, counts)


def _predicted_token(
    seconds: float, config: TrainConfig, model: GPTConfig, counts: tuple[int, int]
) -> float:
    """Seconds of an evaluation for each token: those of a step, without its backward pass"""
    windows = windows_of(counts[0], config, model.block_size)
    return seconds / (windows * model.block_size) / 3


def peak_memory_mb() -> float:
    """The largest resident size of this process so far, in MB (10^6 bytes)"""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6

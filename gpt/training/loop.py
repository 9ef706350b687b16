"""The training loop. It yields a record for each step and prints nothing; its caller owns it.

state = TrainState(model_config, train_config)
for record in train(state, training_tokens, validation_tokens):
    ...
"""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gpt.config import TrainConfig
from gpt.errors import NonFiniteError, require
from gpt.text.tokens import TokenIds
from gpt.training.clock import Clock
from gpt.training.state import EvalRecord, TrainState, blame
from tinygrad_lite import distributed, optim, precision, rows_drawn


@dataclass(frozen=True)
class StepRecord:
    """One step: mean loss of its batch in nats, AdamW's learning rate, gradient norm before
    clipping, and how long it took."""

    step: int
    loss: float
    lr: float
    grad_norm: float
    ms: float
    tokens_per_second: float


def schedule(config: TrainConfig):
    """Factor of the learning rates at step 0, 1, ..."""
    warmup = min(config.warmup, config.steps // 2)
    if config.schedule == "cosine":
        return optim.warmup_cosine(config.steps, warmup, config.min_lr)
    return optim.warmup_plateau_decay(config.steps, warmup, config.plateau, config.min_lr)


def batch(
    tokens: TokenIds, config: TrainConfig, block_size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets (batch_size, block_size): random windows, or all of them in their order;
    the targets one token later"""
    count = len(tokens) - block_size
    random = config.batches == "random"
    starts = rng.integers(0, count, config.batch_size) if random else np.arange(count)
    window = starts[:, None] + np.arange(block_size)
    return tokens[window], tokens[window + 1]


def windows_of(tokens: int, config: TrainConfig, block_size: int) -> int:
    """How many windows a step trains on, of a split of so many tokens"""
    return config.batch_size if config.batches == "random" else tokens - block_size


def check_lengths(training: int, validation: int, block_size: int) -> None:
    """ValueError unless a window fits into a training split of so many tokens, and something is
    left to predict."""
    shorter = f", or --block-size {training // 4}" if validation > 0 and training > 3 else ""
    require(
        training > block_size and validation > 0,
        "train: the training split must be longer than a block, and that for validation hold a"
        " token to predict.",
        f"{training} + {validation} tokens with block_size={block_size}",
        f"a longer text{shorter}",
    )


def train(
    state: TrainState, training: TokenIds, validation: TokenIds
) -> Iterator[StepRecord | EvalRecord]:
    """Train until config.steps steps are done, or with config.minutes until that time is over, or
    until the validation loss only rises; an
    EvalRecord comes at every eval_interval steps and after the last. `state` is as it should be
    saved after each record but a StepRecord that an EvalRecord will follow.

    training, validation   token ids (n,), as tokenized() gives them; the first of validation is
                           context, and not predicted
    """
    model, size = state.model, state.model.config.block_size
    check_lengths(len(training), len(validation) - 1, size)
    tokens = windows_of(len(training), state.config, size) * size
    timed = bool(state.config.minutes)
    clock = Clock(state, len(training), len(validation) - 1, tokens) if timed else None
    model.train()
    while not state.done():
        start = time.perf_counter()
        config, factor = state.config, schedule(state.config)
        for optimizer, highest in state.optimizers.values():
            optimizer.lr = highest * factor(state.step)
        loss, norm = train_step(state, training)
        state.step += 1
        seconds = time.perf_counter() - start
        lr = config.lr * factor(state.step - 1)
        if clock is not None:
            clock.step()
        yield StepRecord(state.step, loss, lr, norm, 1000 * seconds, tokens / seconds)
        if state.evaluation_due():
            start = time.perf_counter()
            record = state.evaluate(validation)
            if clock is not None:
                clock.evaluated(time.perf_counter() - start)
            yield record


def train_step(state: TrainState, training: TokenIds) -> tuple[float, float]:
    """One batch: forward, backward, clip, update. Returns the loss and the gradient's norm."""
    size = state.model.config.block_size
    inputs, targets = batch(training, state.config, size, state.rng)
    rows, weight = distributed.part(len(inputs))
    several = distributed.size() > 1
    drawn = rows_drawn(rows.start, rows.stop) if several else contextlib.nullcontext()
    state.model.zero_grad()  # a step that failed has left its gradients
    with precision(state.config.precision), drawn:
        *results, grad_scale = state.compute_gradients(inputs[rows], targets[rows], weight)
        loss, norm = map(float, results)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise NonFiniteError(blame(state, loss, norm))
        state.update(grad_scale)
    return loss, norm

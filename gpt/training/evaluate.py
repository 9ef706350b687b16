"""The validation loss: every token of a split predicted once, in windows of block_size."""

import math

import numpy as np

from gpt.model import GPT
from tinygrad_lite import no_grad

BATCH = 16  # windows at a time: enough to keep every core busy


def evaluate(model: GPT, tokens: np.ndarray, most: int | None = None) -> float:
    """Mean cross-entropy in nats of tokens[1:], each predicted from those before it in its window.

    tokens (n,); most   only about so many tokens, in windows spread evenly over the split
    """
    size = model.config.block_size
    inputs, targets = tokens[:-1], tokens[1:]
    starts = windows(len(inputs), size, most)
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    try:
        with no_grad():
            full = starts[starts + size <= len(inputs)]
            for i in range(0, len(full), BATCH):
                window = full[i : i + BATCH, None] + np.arange(size)
                loss = model.loss(inputs[window], targets[window]).item()
                total, count = total + loss * window.size, count + window.size
            for start in starts[starts + size > len(inputs)]:  # the last window is shorter
                rest = targets[start:]
                loss = model.loss(inputs[None, start:], rest[None]).item()
                total, count = total + loss * rest.size, count + rest.size
    finally:
        model.train(was_training)
    return total / count


def windows(count: int, size: int, most: int | None = None) -> np.ndarray:
    """Where the windows begin that `evaluate` reads of `count` tokens; the last may be shorter than
    `size`"""
    starts = np.arange(0, count, size)
    if most is None or count <= max(most, size):
        return starts
    whole = starts[: count // size]
    wanted = max(1, most // size)
    return whole[np.linspace(0, len(whole) - 1, min(wanted, len(whole)), dtype=int)]


def bits(nats: float) -> float:
    return nats / math.log(2)

"""The validation loss: every token of a split predicted once, in windows of block_size."""

import math

import numpy as np

from gpt.errors import require
from gpt.model import GPT
from gpt.text.tokens import TokenIds
from tinygrad_lite import no_grad

FINAL = 1 << 18  # tokens of the validation split that the last evaluation of a run reads, at most
BATCH = 16  # windows at a time: enough to keep every core busy
LOGITS = 1 << 25  # numbers at a time, at most


def evaluate(model: GPT, tokens: TokenIds, most: int | None = None) -> float:
    """Mean cross-entropy in nats of tokens[1:], each predicted from those before it in its window.

    tokens (n,); most   only about so many tokens, in windows spread evenly over the split
    """
    size, count = model.config.block_size, len(tokens) - 1
    require(
        count > 0,
        "evaluate: the first token is context, and the others are predicted.",
        f"{count + 1} tokens",
        "two or more",
    )
    starts = windows(count, size, most)
    was_training = model.training
    model.eval()
    total, seen = 0.0, 0
    together = max(1, min(BATCH, LOGITS // (size * model.config.vocab_size)))
    try:
        with no_grad():
            full = starts[starts + size <= count]
            for i in range(0, len(full), together):
                window = full[i : i + together, None] + np.arange(size)
                loss = model.loss(tokens[window], tokens[window + 1]).item()
                total, seen = total + loss * window.size, seen + window.size
            for start in starts[starts + size > count]:  # the last window is shorter
                rest = tokens[start:]
                loss = model.loss(rest[None, :-1], rest[None, 1:]).item()
                total, seen = total + loss * (len(rest) - 1), seen + len(rest) - 1
    finally:
        model.train(was_training)
    return total / seen


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

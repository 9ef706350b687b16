"""The validation loss: every token of a split predicted once, in windows of block_size."""

import math

import numpy as np

from gpt.errors import require
from gpt.model import GPT
from gpt.text.tokens import TokenIds
from tinygrad_lite import distributed, no_grad

FINAL = 1 << 18  # tokens of the validation split that the last evaluation of a run reads, at most
BATCH = 16  # windows at a time: enough to keep every core busy
LOGITS = 1 << 25  # numbers at a time, at most


def evaluate(
    model: GPT, tokens: TokenIds, most: int | None = None, over_ranks: bool = False
) -> float:
    """Mean cross-entropy in nats of tokens[1:], each predicted from those before it in its window.

    tokens (n,)
    most         only about so many tokens, in windows spread evenly over the split
    over_ranks   each of the ranks, which all call it, computes a part
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
    full = starts[starts + size <= count]
    batches = [(full[i : i + together], size) for i in range(0, len(full), together)]
    batches += [(start[None], count - start) for start in starts[len(full) :]]  # a shorter window
    rank, ranks = (distributed.rank(), distributed.size()) if over_ranks else (0, 1)
    try:
        with no_grad():
            for first, length in batches[rank::ranks]:
                window = first[:, None] + np.arange(length)
                loss = model.loss(tokens[window], tokens[window + 1]).item()
                total, seen = total + loss * window.size, seen + window.size
    finally:
        model.train(was_training)
    if ranks > 1:
        total, seen = distributed.all_reduce(np.array([total, seen], np.float64)).tolist()
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

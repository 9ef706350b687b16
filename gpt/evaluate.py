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
    starts = np.arange(0, len(inputs), size)
    if most is not None and len(inputs) > most:
        whole = starts[: len(inputs) // size]
        wanted = max(1, most // size)
        starts = whole[np.linspace(0, len(whole) - 1, min(wanted, len(whole)), dtype=int)]
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


def bits(nats: float) -> float:
    return nats / math.log(2)


def unigram_loss(training: np.ndarray, validation: np.ndarray, vocab_size: int) -> float:
    """Cross-entropy in nats of validation[1:] for the frequencies of tokens in the training split,
    each counted once more than it occurs (Laplace)"""
    return float(-np.log(_frequencies(training, vocab_size)[validation[1:]]).mean())


def bigram_loss(training: np.ndarray, validation: np.ndarray, vocab_size: int) -> float:
    """The same for frequencies after the token before. To its followers in the training split each
    token adds one more, spread like the unigram model (MacKay and Peto 1995)."""
    pairs, counts = np.unique(training[:-1] * vocab_size + training[1:], return_counts=True)
    before = np.bincount(training[:-1], minlength=vocab_size)
    wanted = validation[:-1] * vocab_size + validation[1:]
    at = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
    found = np.where(pairs[at] == wanted, counts[at], 0)
    prior = _frequencies(training, vocab_size)[validation[1:]]
    return float(-np.log((found + prior) / (before[validation[:-1]] + 1)).mean())


def _frequencies(tokens: np.ndarray, vocab_size: int) -> np.ndarray:
    counts = np.bincount(tokens, minlength=vocab_size) + 1
    return counts / counts.sum()

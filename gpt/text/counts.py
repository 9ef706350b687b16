"""What a model is compared with: losses of counts, in nats for each token."""

import numpy as np


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

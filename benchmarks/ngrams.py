"""What a loss is worth: a model of counts with Kneser-Ney smoothing, and a program that compresses.

Interpolated Kneser-Ney (Chen, Goodman 1999, section 2.7): of each count a discount D is taken, and
given to the model of contexts that are one token shorter,

    p(w | context) = max(c(context w) - D, 0) / c(context) + D * n(context) / c(context) * p'(w)

where n counts the different tokens that follow, and where all but the longest contexts count in how
many different longer ones they occur, instead of how often. D = n1 / (n1 + 2 n2), from the numbers
of those that occur once and twice.
"""

import lzma
import math

import numpy as np


def kneser_ney_loss(training: np.ndarray, validation: np.ndarray, vocab: int, order: int) -> float:
    """Mean cross-entropy in nats of validation[1:]; ids (n,), order 5: four tokens of context"""
    joined = np.concatenate([training, validation]).astype(np.int64)
    split, start = len(training), len(training) + 1
    probability = np.full(len(joined) - start, 1 / vocab)
    for n in range(1, order + 1):
        grams, contexts = _numbered(joined, n), _numbered(joined, n - 1)
        # A gram of n tokens by the place of its last; its context ends one earlier
        ends = np.arange(n - 1, split)
        if n == order:
            kinds = np.arange(len(ends))
        else:  # each with the token before it once
            longer = _numbered(joined, n + 1)
            _, kinds = np.unique(longer[ends[1:]], return_index=True)
            kinds = kinds + 1
        used = ends[kinds]
        size = int(max(grams.max(), contexts.max())) + 1
        count = np.bincount(grams[used], minlength=size)
        before = contexts[used - 1] if n > 1 else np.zeros(len(used), np.int64)
        total = np.bincount(before, minlength=size)
        firsts = np.unique(np.stack([before, grams[used]]), axis=1)[0]
        different = np.bincount(firsts, minlength=size)
        discount = _discount(count)
        wanted = np.arange(start, len(joined))
        context = contexts[wanted - 1] if n > 1 else np.zeros(len(wanted), np.int64)
        seen = np.maximum(total[context], 1)
        own = np.maximum(count[grams[wanted]] - discount, 0) / seen
        rest = discount * different[context] / seen
        probability = np.where(total[context] > 0, own + rest * probability, probability)
    return float(-np.log(probability).mean())


def _discount(count: np.ndarray) -> float:
    once, twice = int((count == 1).sum()), int((count == 2).sum())
    return once / (once + 2 * twice) if once else 0.5


def _numbered(ids: np.ndarray, n: int) -> np.ndarray:
    """For each place the number of the n tokens that end there, equal where they are"""
    number = np.zeros(len(ids), np.int64)
    for back in range(n):
        shifted = np.concatenate([np.full(back, -1), ids[: len(ids) - back]]) + 1
        number = np.unique(number * (int(ids.max()) + 2) + shifted, return_inverse=True)[1]
    return number


def xz_loss(training: str, validation: str) -> float:
    """Nats for each character of a text that xz writes after another"""
    both, first = (
        len(lzma.compress(t.encode(), preset=9 | lzma.PRESET_EXTREME))
        for t in (training + validation, training)
    )
    return 8 * (both - first) * math.log(2) / max(len(validation), 1)

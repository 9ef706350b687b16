"""What a model is compared with: losses of counts, and of a program that compresses texts."""

import gzip
import lzma
import math

import numpy as np

from gpt.text.tokenizers import Tokenizer
from gpt.text.tokens import TokenIds

# The levels that a loss is compared with, and what they are called in a sentence
SAID = {
    "a uniform guess": "guessing",
    "how often each token occurs": "counting tokens",
    "what followed the one before": "counting pairs of tokens",
    "what followed the two before": "counting triples of tokens",
    "gzip -9": "gzip",
}
COMPRESSED = 1 << 20  # tokens whose text is given to a program that compresses, at most
COUNTED = 1 << 21  # tokens of a split that are counted, at most: the first


def ngram_losses(
    training: TokenIds, validation: TokenIds, vocab_size: int, orders: int = 3
) -> list[float]:
    """Cross-entropies in nats of validation[1:], one for each order: for the frequencies, in the
    training split, of single tokens, of tokens after the one before, after the two before, ...

    Single tokens are each counted once more than they occur (Laplace). To the followers of each
    context one more is added, spread like the model of shorter contexts (MacKay and Peto 1995).
    """
    training, validation = (np.asarray(ids[:COUNTED], np.int64) for ids in (training, validation))
    wanted = validation[1:]
    counts = np.bincount(training, minlength=vocab_size) + 1
    probability = (counts / counts.sum())[wanted]
    losses = [_loss(probability)]
    # A context is a number: of one token its id, of more the place of the whole among all seen
    context, at = training[:-1], validation[:-1]
    for order in range(2, orders + 1):
        if len(context) == 0 or len(wanted) == 0:
            losses.append(losses[-1])
            continue
        seen, number, count = np.unique(
            context * vocab_size + training[order - 1 :], return_inverse=True, return_counts=True
        )
        asked = np.where(at >= 0, at * vocab_size + wanted, -1)
        place = np.minimum(np.searchsorted(seen, asked), len(seen) - 1)
        known = seen[place] == asked
        total = np.bincount(context, minlength=int(max(context.max(), at.max())) + 1)
        follows = np.where(at >= 0, total[np.maximum(at, 0)], 0)
        probability = (np.where(known, count[place], 0) + probability) / (follows + 1)
        losses.append(_loss(probability))
        context = number[:-1]
        at = np.concatenate([[-1], np.where(known, place, -1)[:-1]])
    return losses


def _loss(probability: np.ndarray) -> float:
    return float(-np.log(probability).mean())


def gzip_loss(text: str, tokens: int) -> float:
    """Nats for each of `tokens` tokens in which gzip writes the text that they stand for"""
    data = gzip.compress(text.encode("utf-8", "surrogatepass"), 9, mtime=0)
    return 8 * len(data) * math.log(2) / max(tokens, 1)


def xz_per_character(text: str) -> float:
    """Nats for each character of `text` in which xz writes it, in its fast way: few where it
    repeats itself, also far apart"""
    data = lzma.compress(text.encode("utf-8", "surrogatepass"), preset=1)
    return 8 * len(data) * math.log(2) / max(len(text), 1)


def levels(tokenizer: Tokenizer, training: TokenIds, validation: TokenIds) -> dict[str, float]:
    """The losses of SAID, in nats for each token of validation[1:]; without a training text those
    that need none"""
    uniform, *counted, packer = SAID
    found = {uniform: math.log(tokenizer.vocab_size)}
    if len(training) > 1:
        losses = ngram_losses(training, validation, tokenizer.vocab_size, len(counted))
        found |= dict(zip(counted, losses, strict=True))
    packed = validation[1:COMPRESSED]
    return found | {packer: gzip_loss(tokenizer.decode(packed), len(packed))}


SAME = 5e-5  # nats: losses that are printed as the same number


def standing(loss: float, levels: dict[str, float]) -> tuple[str, bool]:
    """Where a loss stands between levels, in a few words; and whether it is better than all"""
    highest = max(level for name, level in levels.items() if name != "gzip -9")
    levels = {n: level for n, level in levels.items() if level <= highest}  # gzip of a few words
    lead = {n: level - loss for n, level in levels.items()}
    beaten = min((n for n in lead if lead[n] > SAME), key=lead.__getitem__, default=None)
    beats = max((n for n in lead if lead[n] < -SAME), key=lead.__getitem__, default=None)
    equal = next((n for n in lead if abs(lead[n]) <= SAME), None)
    parts = [f"better than {SAID[beaten]}"] if beaten else []
    parts += [f"as good as {SAID[equal]}"] if equal else []
    parts += [f"worse than {SAID[beats]}"] if beats else []
    return ", ".join(parts), beats is None

"""What a model expects: the likeliest next tokens, and how surprised it is by those that came."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpt.errors import require
from gpt.inside.forward import ForwardPass, probabilities_of
from gpt.model import GPT
from tinygrad_lite import Tensor, no_grad


@dataclass(frozen=True)
class Surprise:
    """How a token was expected, by those before it.

    rank     1 for the likeliest
    likeliest   the ids of the five likeliest, and their probabilities
    """

    token: int
    probability: float
    rank: int
    likeliest: list[tuple[int, float]]

    @property
    def bits(self) -> float:
        return float(-np.log2(max(self.probability, 1e-300)))


def likeliest(probabilities: np.ndarray, count: int) -> list[tuple[int, float]]:
    """The `count` likeliest tokens of probabilities (V,), the smaller id first among equals"""
    count = min(count, len(probabilities))
    least = np.partition(probabilities, -count)[-count] if count else np.inf
    among = np.flatnonzero(probabilities >= least)
    order = among[np.argsort(-probabilities[among], kind="stable")][:count]
    return [(int(i), float(probabilities[i])) for i in order]


def surprises(model: GPT, tokens: Sequence[int] | np.ndarray) -> list[Surprise]:
    """For each of tokens (T,) but the first. Longer texts than block_size are read in windows that
    overlap by half: all but the first tokens are predicted from at least half a block."""
    tokens = np.asarray(tokens)
    require(
        len(tokens) >= 2,
        "surprise: there must be a token before the one that is predicted.",
        f"{len(tokens)} tokens",
        "a longer text",
    )
    size = model.config.block_size
    stride, found = max(1, size // 2), []
    was_training = model.training
    model.eval()
    try:
        with no_grad():
            done = 1
            while done < len(tokens):
                start = max(0, min(done - stride, len(tokens) - 1 - size)) if done > 1 else 0
                window = tokens[start : start + size]
                p = probabilities_of(model(window[None]).numpy()[0])
                for at in range(done, min(start + size, len(tokens) - 1) + 1):
                    found.append(_surprise(p[at - 1 - start], int(tokens[at])))
                done = min(start + size, len(tokens) - 1) + 1
    finally:
        model.train(was_training)
    return found


def surprise_at(logits: np.ndarray, token: int) -> Surprise:
    """How a token is expected by logits (V,)"""
    return _surprise(probabilities_of(logits), token)


def _surprise(p: np.ndarray, token: int) -> Surprise:
    rank = 1 + int((p > p[token]).sum())
    return Surprise(token, float(p[token]), rank, likeliest(p, 5))


def logit_lens(model: GPT, forward: ForwardPass, shown: slice = slice(None)) -> np.ndarray:
    """What the model would predict if it ended after each layer (nostalgebraist 2020, "interpreting
    GPT: the logit lens"): probabilities (layers + 1, T, V) of the tokens that `shown` takes, the
    first from the embedding. The last are the model's own."""
    streams = [forward["embedding"][shown]]
    streams += [forward[f"layer_{i}.output"][shown] for i in range(1, forward.config.n_layer + 1)]
    was_training = model.training
    model.eval()
    try:
        with no_grad():
            logits = model.head(model.final_norm(Tensor(np.stack(streams)))).numpy()
    finally:
        model.train(was_training)
    return probabilities_of(logits)

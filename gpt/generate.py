"""Sampling: one token after another from the model's prediction."""

from collections.abc import Iterator

import numpy as np

from gpt.config import require
from gpt.model import GPT
from tinygrad_lite import no_grad


def check_sampling(tokens: int, temperature: float, top_k: int | None) -> None:
    """ValueError unless the settings of `generate` make sense."""
    require(
        tokens >= 0,
        "generate: the number of tokens must not be negative.",
        f"tokens={tokens}",
        "tokens=200",
    )
    require(
        0 <= temperature < float("inf"),
        "generate: the temperature must be at least 0.",
        f"temperature={temperature}",
        "temperature=0.8, or 0 for the likeliest token",
    )
    require(
        top_k is None or top_k >= 1,
        "generate: top_k must be at least 1.",
        f"top_k={top_k}",
        "top_k=10, or none to sample from all tokens",
    )


def generate(
    model: GPT,
    prompt: np.ndarray,
    tokens: int,
    temperature: float = 0.8,
    top_k: int | None = None,
    seed: int = 0,
) -> Iterator[int]:
    """Yield `tokens` tokens that continue `prompt` (T,), T >= 1.

    temperature   0 takes the likeliest token; higher is more varied
    top_k         sample only from so many likeliest tokens
    The model sees the last block_size tokens.
    """
    check_sampling(tokens, temperature, top_k)
    rng = np.random.default_rng(seed)
    text = list(np.asarray(prompt))
    was_training = model.training
    model.eval()
    try:
        for _ in range(tokens):
            with no_grad():
                window = np.asarray(text[-model.config.block_size :])[None]
                logits = model(window).numpy()[0, -1].astype(np.float64)
            token = _choose(logits, temperature, top_k, rng)
            text.append(token)
            yield token
    finally:
        model.train(was_training)


def _choose(
    logits: np.ndarray, temperature: float, top_k: int | None, rng: np.random.Generator
) -> int:
    if temperature == 0:
        return int(np.argmax(logits))
    if top_k is not None and top_k < len(logits):
        lowest = np.partition(logits, -top_k)[-top_k]
        logits = np.where(logits < lowest, -np.inf, logits)
    p = np.exp((logits - logits.max()) / temperature)
    return int(rng.choice(len(p), p=p / p.sum()))

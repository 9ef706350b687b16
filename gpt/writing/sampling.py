"""Sampling: one token after another from the model's prediction, and the text that they are."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gpt.errors import require
from gpt.model import GPT
from tinygrad_lite import jit, nn, no_grad


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen from the logits; in the order of the fields.

    repetition_penalty   logits of tokens that are in the text already are divided by it, or
                         multiplied where negative (Keskar and others 2019, arXiv:1909.05858)
    temperature          0 takes the likeliest token; higher is more varied
    top_k                only so many likeliest tokens
    top_p                only the likeliest tokens that together have this probability (Holtzman and
                         others 2020, arXiv:1904.09751)
    min_p                only tokens with this fraction of the likeliest one's probability (Nguyen
                         and others 2024, arXiv:2407.01082)
    """

    repetition_penalty: float = 1.0
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        ranges = (
            ("repetition_penalty", 0 < self.repetition_penalty < math.inf, "be positive", "1.1"),
            ("temperature", 0 <= self.temperature < math.inf, "be at least 0",
             "0.8, or 0 for the likeliest token"),
            ("top_k", self.top_k is None or self.top_k >= 1, "be at least 1",
             "10, or none to sample from all tokens"),
            ("top_p", 0 < self.top_p <= 1, "lie in (0, 1]", "0.9"),
            ("min_p", 0 <= self.min_p <= 1, "lie in [0, 1]", "0.05"),
        )  # fmt: skip
        for name, holds, rule, hint in ranges:
            value = getattr(self, name)
            require(holds, f"generate: {name} must {rule}.", f"{name}={value}", f"{name}={hint}")

    def choose(self, logits: np.ndarray, text: Sequence[int], rng: np.random.Generator) -> int:
        """A token, for its logits (V,) and the tokens before it"""
        logits = logits.astype(np.float64)
        if self.repetition_penalty != 1:
            seen = np.unique(np.asarray(text, np.int64))
            values = logits[seen]
            logits[seen] = np.where(
                values > 0, values / self.repetition_penalty, values * self.repetition_penalty
            )
        if self.temperature == 0:
            return int(np.argmax(logits))
        if self.top_k is not None and self.top_k < len(logits):
            logits[logits < np.partition(logits, -self.top_k)[-self.top_k]] = -np.inf
        p = np.exp((logits - logits.max()) / self.temperature)
        p /= p.sum()
        p[p < self.min_p * p.max()] = 0
        if self.top_p < 1:
            order = np.argsort(-p, kind="stable")
            before = np.cumsum(p[order]) - p[order]
            p[order[before >= self.top_p]] = 0
        return int(rng.choice(len(p), p=p / p.sum()))


def generate(
    model: GPT,
    prompt: np.ndarray,
    tokens: int,
    sampling: Sampling = Sampling(),
    seed: int = 0,
    cache: bool = True,
) -> Iterator[int]:
    """Yield `tokens` tokens that continue `prompt` (T,), T >= 1, chosen as `sampling` says:
    Sampling(temperature=0.8, top_p=0.9), for example.

    The model sees the last block_size tokens. cache: keep keys and values of earlier positions;
    without, every token takes a pass over all of them, with the same result but for rounding.
    """
    for (token,) in generate_batch(model, [prompt], tokens, sampling, seed, cache):
        yield token


def generate_batch(
    model: GPT,
    prompts: Sequence[np.ndarray],
    tokens: int,
    sampling: Sampling = Sampling(),
    seed: int = 0,
    cache: bool = True,
) -> Iterator[list[int]]:
    """Yield the next token of each prompt, `tokens` times; prompts may differ in length.

    Prompt i draws with seed + i, and gets what `generate` would give it alone.
    """
    for chosen in generate_with_logits(model, prompts, tokens, sampling, seed, cache):
        yield [token for token, _ in chosen]


def generate_with_logits(
    model: GPT,
    prompts: Sequence[np.ndarray],
    tokens: int,
    sampling: Sampling = Sampling(),
    seed: int = 0,
    cache: bool = True,
) -> Iterator[list[tuple[int, np.ndarray]]]:
    """The same, each token with the model's logits (V,) from which it was chosen."""
    require(
        tokens >= 0,
        "generate: the number of tokens must not be negative.",
        f"tokens={tokens}",
        "tokens=200",
    )
    require(
        len(prompts) > 0 and all(len(p) > 0 for p in prompts),
        "generate: each prompt must hold at least one token.",
        f"{len(prompts)} prompts of {[len(p) for p in prompts]} tokens",
        "a prompt, such as a new line",
    )
    for prompt in prompts:
        _check_prompt(prompt, model.config.vocab_size)
    rngs = [np.random.default_rng(seed + i) for i in range(len(prompts))]
    texts = [[int(token) for token in prompt] for prompt in prompts]
    parts = list(model.modules())
    longest = max(map(len, texts)) + tokens
    reader = _CachedReader(model, len(texts), longest) if cache else _Reader(model)
    for _ in range(tokens):
        with no_grad(), _evaluating(parts):  # not while the caller has its turn
            logits = reader.read(texts)
        chosen = [sampling.choose(*one) for one in zip(logits, texts, rngs, strict=True)]
        for text, token in zip(texts, chosen, strict=True):
            text.append(token)
        yield list(zip(chosen, logits, strict=True))


@contextlib.contextmanager
def _evaluating(parts: Sequence[nn.Module]) -> Iterator[None]:
    """Within this context modules are in evaluation mode; those that were training go on"""
    training = [module for module in parts if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _check_prompt(prompt: np.ndarray, vocab_size: int) -> None:
    ids = np.asarray(prompt)
    require(
        ids.ndim == 1 and ids.dtype.kind in "iu",
        "generate: a prompt is a list of tokens.",
        f"{prompt!r:.60}",
        "tokenizer.encode(text)",
    )
    require(
        ids.min() >= 0 and ids.max() < vocab_size,
        f"generate: each token of a prompt is one of the model's {vocab_size}.",
        f"tokens from {ids.min()} to {ids.max()}",
        "the tokenizer of the model's own run",
    )


class _Reader:
    """Logits after each text, by a pass over its last block_size tokens"""

    def __init__(self, model: GPT):
        self.model = model

    def read(self, texts: list[list[int]]) -> list[np.ndarray]:
        windows = (text[-self.model.config.block_size :] for text in texts)
        return [self.model.next_logits(np.array([window])).numpy()[0] for window in windows]


class _CachedReader(_Reader):
    """The same from what is kept of all tokens but the last.

    Once a text is longer than block_size, its window moves: every token has another position, and
    what is kept of the first goes into what is kept of the others. Nothing of it can be used then.
    """

    def __init__(self, model: GPT, count: int, longest: int):
        super().__init__(model)
        self.cache = cache = model.new_cache(count, min(longest, model.config.block_size))
        self.step = jit(lambda tokens: model.next_logits(tokens, cache))
        self.whole = jit(model.next_logits)

    def read(self, texts: list[list[int]]) -> list[np.ndarray]:
        lengths, size = self.cache.lengths.data, self.model.config.block_size
        one_more = [
            0 < n < len(text) == n + 1 <= size for n, text in zip(lengths, texts, strict=True)
        ]
        logits: list[np.ndarray] = [np.empty(0)] * len(texts)
        if any(one_more):
            lengths[~np.array(one_more)] = 0  # their rows are computed, and not used
            together = self.step(np.array([[text[-1]] for text in texts])).numpy()
            logits = [row.copy() for row in together]
        for i, text in enumerate(texts):
            if one_more[i]:
                lengths[i] += 1
                continue
            lengths[i] = 0
            window = np.array([text[-size:]])
            if len(text) > size:  # and so will be all that follow: nothing to keep
                logits[i] = self.whole(window).numpy()[0]
                continue
            logits[i] = self.model.next_logits(window, self.cache.row(i)).numpy()[0]
            lengths[i] = window.size
        return logits

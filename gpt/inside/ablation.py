"""What each part of a model is for: the loss without it, and what each head looks at.

Ablation: the output of one head, or of one feed-forward layer, becomes 0, and the validation loss
is measured again. Patterns: how much of its attention a head gives, on average, to
    the token before, the first token, and earlier tokens that are the same, in a text,
    what followed the same token earlier (induction; Olsson and others 2022, arXiv:2209.11895), in
    random tokens that come twice.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from gpt.errors import require
from gpt.inside.forward import record_pass, watched
from gpt.model import GPT
from gpt.text.tokens import TokenIds
from gpt.training.evaluate import evaluate, windows
from tinygrad_lite import Tensor

CLEAR = 0.4  # the share of its attention from which a head is called by what it looks at
PATTERNS = ("previous token", "first token", "same token", "induction")
WINDOWS = 8  # of text, and of repeated tokens, over which patterns are averaged


@dataclass
class Ablation:
    """loss   of the whole model, in nats a token; of so many `tokens`
    heads         (layers, heads) what is added to it without each head
    feed_forward  (layers,) without each feed-forward layer
    patterns      the share of each head's attention by name of the pattern, (layers, heads) each
    """

    loss: float
    tokens: int
    heads: np.ndarray
    feed_forward: np.ndarray
    patterns: dict[str, np.ndarray] = field(default_factory=dict)

    def label(self, layer: int, head: int) -> tuple[str, float] | None:
        """What the head (counted from 0) is called, and the share it rests on; None if unclear"""
        name, share = max(
            ((n, float(shares[layer, head])) for n, shares in self.patterns.items()),
            key=lambda found: found[1],
            default=("", 0.0),
        )
        return (name, share) if share >= CLEAR else None


def ablate(
    model: GPT, tokens: TokenIds, most: int, progress: Callable[[int, int], None] | None = None
) -> Ablation:
    """Measure on about `most` of tokens (n,), whose first is only read.

    progress   is called with what is done and all there is to do, in evaluations
    """
    c = model.config
    require(
        len(tokens) > 1,
        "ablate: there must be a token to predict.",
        f"{len(tokens)} tokens",
        "a longer text",
    )
    total, done = 1 + c.n_layer * (c.n_head + 1), 0

    def loss(hooks: dict) -> float:
        nonlocal done
        with watched(model, hooks):
            found = evaluate(model, tokens, most)
        done += 1
        if progress is not None:
            progress(done, total)
        return found

    base = loss({})
    heads = np.zeros((c.n_layer, c.n_head))
    feed_forward = np.zeros(c.n_layer)
    for i in range(c.n_layer):
        for h in range(c.n_head):
            heads[i, h] = loss({f"blocks.{i}.attention.attention": _without_head(h)}) - base
        feed_forward[i] = loss({f"blocks.{i}.mlp": lambda module, args, out: out * 0.0}) - base
    count = len(tokens) - 1
    measured = int(np.minimum(c.block_size, count - windows(count, c.block_size, most)).sum())
    return Ablation(base, measured, heads, feed_forward, patterns(model, tokens))


def _without_head(head: int) -> Callable:
    def hook(module: object, args: tuple, out: Tensor) -> Tensor:
        """out (B, H, T, D)"""
        kept = np.ones((1, out.shape[1], 1, 1), np.float32)
        kept[0, head] = 0
        return out * Tensor(kept)

    return hook


def patterns(model: GPT, tokens: TokenIds) -> dict[str, np.ndarray]:
    """The share of attention of each head that goes where each of PATTERNS says, (layers, heads);
    0 for what does not occur"""
    size = min(model.config.block_size, len(tokens))
    starts = np.unique(np.linspace(0, len(tokens) - size, WINDOWS, dtype=int))
    found: dict[str, list[np.ndarray]] = {name: [] for name in PATTERNS}
    for window in (tokens[start : start + size] for start in starts):
        weights = _weights(model, window)
        rows = np.arange(1, size)
        if len(rows):
            found["previous token"].append(weights[..., rows, rows - 1].mean(-1))
            # After the second token, whose first is also the one before
            found["first token"].append(weights[..., 2:, 0].mean(-1) if size > 2 else 0 * rows[0])
        same = np.tril(window[:, None] == window[None, :], -1)
        asked = same.any(1)
        if asked.any():
            found["same token"].append((weights * same).sum(-1)[..., asked].mean(-1))
    for window in _repeated(model):
        half = len(window) // 2
        rows = np.arange(half, 2 * half)
        found["induction"].append(_weights(model, window)[..., rows, rows - half + 1].mean(-1))
    shape = (model.config.n_layer, model.config.n_head)
    return {
        name: np.mean([np.broadcast_to(x, shape) for x in shares], axis=0)
        if shares
        else np.zeros(shape)
        for name, shares in found.items()
    }


def _repeated(model: GPT) -> Iterator[np.ndarray]:
    """Random tokens, all different where there are enough, twice in a row"""
    c, rng = model.config, np.random.default_rng(0)
    half = min(c.block_size // 2, c.vocab_size, 64)
    if half >= 3:
        for _ in range(WINDOWS):
            yield np.tile(rng.permutation(c.vocab_size)[:half], 2)


def _weights(model: GPT, tokens: np.ndarray) -> np.ndarray:
    """(layers, heads, T, T)"""
    forward = record_pass(model, tokens)
    return np.stack([forward[f"layer_{i}.weights"] for i in range(1, model.config.n_layer + 1)])

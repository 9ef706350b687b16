"""Named presets: an architecture, how it is trained, and how text becomes tokens."""

from dataclasses import dataclass
from typing import Any

from gpt.errors import closest, require

TOKENIZERS = ("characters", "words", "bytes", "gpt2")


@dataclass(frozen=True)
class Preset:
    """A named choice of both configurations, and of how text becomes tokens; the size of the
    vocabulary comes from the corpus."""

    about: str
    model: dict[str, Any]
    train: dict[str, Any]
    tokenizer: str = "characters"
    corpus: str = ""  # what it is trained on unless the user names another; "" means Shakespeare


def _gpt2(size: str, n_layer: int, n_head: int, n_embd: int) -> Preset:
    """Radford and others 2019, table 2; their vocabulary"""
    shape = dict(n_layer=n_layer, n_head=n_head, n_embd=n_embd)
    return Preset(
        f"GPT-2's architecture and vocabulary, {size} parameters",
        dict(vocab_size=50257, block_size=1024, bias=True, activation="gelu_tanh", **shape),
        dict(steps=1000, batch_size=4, lr=3e-4, beta2=0.95, weight_decay=0.1, eval_tokens=4096),
        tokenizer="gpt2",
    )


PRESETS = {
    "hello": Preset(
        "'hello hello' learned by heart: small enough to follow every number",
        dict(
            n_layer=1,
            n_head=2,
            n_embd=16,
            block_size=4,
            d_ff=32,
            bias=True,
            norm_placement="post",
            activation="relu",
            final_norm=False,
            tie_weights=False,
            head_bias=True,
        ),
        dict(
            steps=200,
            batch_size=7,
            batches="all",
            validation=0.0,
            lr=0.01,
            beta2=0.999,
            weight_decay=0.0,
            schedule="plateau",
            plateau=1.0,
            warmup=0,
            grad_clip=0.0,
            eval_interval=100,
        ),
        corpus="hello",
    ),
    "mini": Preset(
        "words as tokens, two narrow layers, a few hundred words of text",
        dict(n_layer=2, n_head=1, n_embd=8, block_size=8, tie_weights=False),
        dict(
            steps=600,
            batch_size=16,
            validation=0.0,
            lr=0.02,
            weight_decay=0.0,
            schedule="cosine",
            warmup=20,
            eval_interval=300,
        ),
        tokenizer="words",
        corpus="mini",
    ),
    "shakespeare": Preset(
        "the best validation loss in a minute or two on two cores",
        dict(
            n_layer=3,
            n_head=4,
            n_embd=96,
            block_size=128,
            position="rotary",
            norm="rmsnorm",
            qk_norm=True,
            token_shift=True,
            activation="relu_squared",
            zero_init=True,
            tie_weights=False,
        ),
        dict(
            steps=3300,
            batch_size=8,
            optimizer="muon",
            lr=5e-3,
            beta1=0.8,
            beta2=0.95,
            muon_lr=0.016,
            muon_momentum=0.95,
            weight_decay=0.051,  # what the plan takes for tiny Shakespeare
            schedule="plateau",
            warmup=50,
            plateau=0.3,
            min_lr=0.0,
        ),
    ),
    "baby": Preset(
        "nanoGPT's smallest Shakespeare model, the same numbers",
        dict(n_layer=4, n_head=4, n_embd=128, block_size=64),
        dict(
            steps=2000,
            batch_size=12,
            lr=1e-3,
            beta1=0.9,
            beta2=0.99,
            weight_decay=0.1,
            schedule="cosine",
            warmup=100,
            min_lr=0.1,
        ),
    ),
    "bpe": Preset(
        "pieces of words, learned from the text, as tokens",
        dict(n_layer=4, n_head=4, n_embd=128, block_size=64),
        dict(
            steps=1500,
            batch_size=16,
            lr=2e-3,
            weight_decay=0.1,
            schedule="cosine",
            warmup=100,
        ),
        tokenizer="bytes",
    ),
    "gpt2": _gpt2("124 million", 12, 12, 768),
    "gpt2-medium": _gpt2("355 million", 24, 16, 1024),
    "gpt2-large": _gpt2("774 million", 36, 20, 1280),
    "gpt2-xl": _gpt2("1.6 billion", 48, 25, 1600),
}

DEFAULT_PRESET = "shakespeare"


def preset(name: str) -> Preset:
    """The preset called `name`."""
    require(
        name in PRESETS,
        f"preset: there are presets named {', '.join(PRESETS)}.",
        f"{name!r}",
        closest(name, PRESETS),
    )
    return PRESETS[name]

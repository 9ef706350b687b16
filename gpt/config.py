"""What a model is (GPTConfig), and how it is trained (TrainConfig)."""

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any

from gpt.errors import closest, require, short

MOST = 1 << 24  # of whatever is counted: far above what fits into a machine
MOST_LAYERS = 1000
MOST_NUMBER = 10**18
ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "silu", "relu_squared")


def option(default: Any, about: str, *choices: str) -> Any:
    """A field with its default, a few words about it, and the values that it may have"""
    return dataclasses.field(default=default, metadata={"about": about, "choices": choices})


class _Checked:
    """Checks that fields of a configuration have their types and that counts are positive."""

    def _check(self, counts: tuple[str, ...]) -> None:
        owner = type(self).__name__
        for name, hint in typing.get_type_hints(type(self)).items():
            value = getattr(self, name)
            allowed = hint.__args__ if isinstance(hint, types.UnionType) else (hint,)
            allowed = (*allowed, int) if float in allowed else allowed
            fits = isinstance(value, allowed) and not (
                isinstance(value, bool) and bool not in allowed
            )
            names = " or ".join(t.__name__ for t in allowed)
            require(
                fits,
                f"{owner}: {name} must be of type {names}.",
                f"{name}={short(value)}",
                "a value of that type",
            )
        for name in counts:
            value = getattr(self, name)
            require(
                0 < value <= MOST,
                f"{owner}: {name} must be positive, and at most {MOST}.",
                f"{name}={short(value)}",
                f"{name}=1",
            )
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            name, known = field.name, field.metadata.get("choices")
            value = getattr(self, name)
            require(
                not known or value in known,
                f"{owner}: {name} must be one of {', '.join(known or ())}.",
                f"{name}={value!r}",
                closest(str(value), known or ()),
            )


@dataclass(frozen=True)
class GPTConfig(_Checked):
    """The architecture. The defaults are GPT-2's choices at a small size."""

    vocab_size: int
    n_layer: int = option(4, "blocks, one after the other")
    n_head: int = option(4, "attention heads of a block; they divide n_embd")
    n_embd: int = option(128, "channels: numbers that stand for a token")
    block_size: int = option(64, "tokens that the model sees at most")
    d_ff: int = option(0, "width of the feed-forward layer; 0 is four times n_embd")
    dropout: float = option(0.0, "share of activations that are dropped while training")
    bias: bool = option(False, "biases in linear layers and layer norms")
    norm_placement: str = option("pre", "norm before or after each part", "pre", "post")
    norm: str = option("layernorm", "how rows are normalised", "layernorm", "rmsnorm")
    final_norm: bool = option(True, "a norm between the last block and the head")
    activation: str = option("gelu", "of the feed-forward layer", *ACTIVATIONS)
    position: str = option("learned", "how the order is known", "learned", "rotary")
    qk_norm: bool = option(False, "RMS norm of queries and keys")
    token_shift: bool = option(False, "each part also reads the position before")
    tie_weights: bool = option(True, "the head shares the token embedding")
    head_bias: bool = option(False, "a bias for each token's logit")
    zero_init: bool = option(False, "output projections, and an untied head, begin as zeros")

    def __post_init__(self) -> None:
        if self.d_ff == 0:
            object.__setattr__(self, "d_ff", 4 * self.n_embd)
        self._check(("vocab_size", "n_layer", "n_head", "n_embd", "block_size", "d_ff"))
        require(
            self.n_layer <= MOST_LAYERS,
            f"GPTConfig: n_layer must be at most {MOST_LAYERS}.",
            f"n_layer={self.n_layer}",
            "n_layer=4",
        )
        n, heads = self.n_embd, self.n_head
        below, above = n // heads * heads, (n // heads + 1) * heads
        either = f"n_embd={below} or n_embd={above}" if below else f"n_embd={above}"
        require(
            n % heads == 0,
            "GPTConfig: n_embd must be a multiple of n_head.",
            f"n_embd={n}, n_head={heads}",
            either,
        )
        require(
            self.position != "rotary" or (n // heads) % 2 == 0,
            "GPTConfig: rotary positions need heads of an even size n_embd / n_head.",
            f"n_embd={n}, n_head={heads}",
            f"n_embd={2 * heads * max(1, n // heads // 2)}",
        )
        require(
            0 <= self.dropout < 1,
            "GPTConfig: dropout must lie in [0, 1).",
            f"dropout={self.dropout}",
            "dropout=0.1",
        )


@dataclass(frozen=True)
class TrainConfig(_Checked):
    """The hyperparameters of a run."""

    steps: int = option(2000, "updates of the weights")
    minutes: float = option(0.0, "for the whole run: the steps follow; 0 is as long as they take")
    batch_size: int = option(12, "windows of text in a step")
    optimizer: str = option("adamw", "muon: of the blocks' matrices", "adamw", "muon")
    lr: float = option(1e-3, "AdamW's learning rate at its highest")
    muon_lr: float = option(0.02, "Muon's learning rate at its highest")
    muon_momentum: float = option(0.95, "share of Muon's momentum that is kept in a step")
    beta1: float = option(0.9, "share of AdamW's mean gradient that is kept in a step")
    beta2: float = option(0.99, "share of AdamW's mean squared gradient that is kept")
    weight_decay: float = option(0.1, "pull of matrices towards 0")
    schedule: str = option(
        "cosine", "of the learning rates; plateau: constant, then a line", "cosine", "plateau"
    )
    warmup: int = option(100, "steps in which the learning rates rise")
    plateau: float = option(0.3, "share of the steps before a plateau's decay")
    min_lr: float = option(0.1, "share of the learning rates that is left at the end")
    grad_clip: float = option(1.0, "largest norm of the gradient; 0 is no limit")
    eval_interval: int = option(0, "steps between evaluations; 0 is a tenth of all")
    eval_tokens: int = option(20_000, "validation tokens at each evaluation; at the end all")
    seed: int = option(1337, "of initial weights, batches and dropout")
    precision: str = option(
        "auto", "of matrix products; auto: what is faster", "float32", "bfloat16", "auto"
    )
    reduce: str = option(
        "float32", "how gradients travel between ranks, where there are some", "float32", "bfloat16"
    )
    batches: str = option("random", "all: every window of the text in each step", "random", "all")
    validation: float = option(0.1, "share of the text kept for it; 0: all of it is both")
    split: str = option(
        "each", "the end of each document is kept for validation, or whole files", "each", "files"
    )
    patience: int = option(3, "evaluations in a row with rising losses that end a run; 0: none do")
    save_every: int = option(0, "steps between saves; 0: by time, at most 2 % of it")
    keep: int = option(1, "last states that are kept, to go back to")
    train_only: str = option("", "the part of the model that is trained, such as head")

    def __post_init__(self) -> None:
        self._check(("steps", "batch_size", "eval_tokens", "keep"))
        for name in ("lr", "muon_lr"):
            value = getattr(self, name)
            require(
                0 < value < float("inf"),
                f"TrainConfig: {name} must be positive and finite.",
                f"{name}={value}",
                f"{name}=0.001",
            )
        for name in (
            *("weight_decay", "warmup", "grad_clip", "seed", "eval_interval"),
            *("patience", "save_every", "minutes"),
        ):
            value = getattr(self, name)
            require(
                0 <= value <= MOST_NUMBER,
                f"TrainConfig: {name} must be finite and not negative, at most {MOST_NUMBER:.0e}.",
                f"{name}={short(value)}",
                f"{name}={int(name == 'minutes')}",  # without a clock a run may be long
            )
        for name in ("muon_momentum", "beta1", "beta2"):
            value = getattr(self, name)
            require(
                0 <= value < 1,
                f"TrainConfig: {name} must lie in [0, 1).",
                f"{name}={value}",
                f"{name}=0.9",
            )
        require(
            0 <= self.validation < 1,
            "TrainConfig: validation must lie in [0, 1).",
            f"validation={self.validation}",
            "validation=0.1",
        )
        for name in ("plateau", "min_lr"):
            value = getattr(self, name)
            require(
                0 <= value <= 1,
                f"TrainConfig: {name} must lie in [0, 1].",
                f"{name}={value}",
                f"{name}=0.1",
            )

"""What a model is (GPTConfig), and how it is trained (TrainConfig)."""

import types
import typing
from dataclasses import dataclass

from gpt.errors import closest, require


class _Checked:
    """Checks that fields of a configuration have their types and that counts are positive."""

    def _check(self, counts: tuple[str, ...], choices: dict[str, tuple[str, ...]]) -> None:
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
                f"{name}={value!r}",
                "a value of that type",
            )
        for name in counts:
            value = getattr(self, name)
            require(value > 0, f"{owner}: {name} must be positive.", f"{name}={value}", f"{name}=1")
        for name, known in choices.items():
            value = getattr(self, name)
            require(
                value in known,
                f"{owner}: {name} must be one of {', '.join(known)}.",
                f"{name}={value!r}",
                closest(str(value), known),
            )


@dataclass(frozen=True)
class GPTConfig(_Checked):
    """The architecture. The defaults are GPT-2's choices at a small size."""

    vocab_size: int
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    block_size: int = 64
    d_ff: int = 0  # width of the feed-forward layer; 0 means 4 * n_embd
    dropout: float = 0.0
    bias: bool = False  # in linear layers and layer norms
    norm_placement: str = "pre"  # "pre": x + f(norm(x)), "post": norm(x + f(x))
    norm: str = "layernorm"  # or "rmsnorm", without weights
    final_norm: bool = True
    activation: str = "gelu"
    position: str = "learned"  # or "rotary"
    qk_norm: bool = False  # RMS norm of queries and keys
    tie_weights: bool = True  # the head shares the token embedding
    head_bias: bool = False
    zero_init: bool = False  # output projections, and an untied head, begin as zeros

    def __post_init__(self) -> None:
        if self.d_ff == 0:
            object.__setattr__(self, "d_ff", 4 * self.n_embd)
        self._check(
            ("vocab_size", "n_layer", "n_head", "n_embd", "block_size", "d_ff"),
            {
                "norm_placement": ("pre", "post"),
                "norm": ("layernorm", "rmsnorm"),
                "activation": ("gelu", "gelu_tanh", "relu", "silu", "relu_squared"),
                "position": ("learned", "rotary"),
            },
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

    steps: int = 2000
    batch_size: int = 12
    optimizer: str = "adamw"  # or "muon": Muon for the blocks' matrices, AdamW for the rest
    lr: float = 1e-3  # AdamW's learning rate at its highest
    muon_lr: float = 0.02
    muon_momentum: float = 0.95
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.1  # of matrices
    schedule: str = "cosine"  # or "plateau": constant, then a straight line down
    warmup: int = 100  # steps
    plateau: float = 0.3  # fraction of all steps before the decay, for schedule "plateau"
    min_lr: float = 0.1  # fraction of the learning rate that the schedule ends at
    grad_clip: float = 1.0  # largest norm of the gradient; 0 means no limit
    eval_interval: int = 0  # steps; 0 means a tenth of all
    eval_tokens: int = 20_000  # of the validation split, at each evaluation; the last is on all
    seed: int = 1337
    precision: str = "auto"  # of matrix products: "float32", "bfloat16", or what the CPU is fast in
    batches: str = "random"  # or "all": every window of the training split in each step
    validation: float = 0.1  # fraction of the text that is kept for it; 0: validate on all of it
    train_only: str = ""  # the part of the model that is trained, such as "head"; "" means all

    def __post_init__(self) -> None:
        self._check(
            ("steps", "batch_size", "eval_tokens"),
            {
                "optimizer": ("adamw", "muon"),
                "schedule": ("cosine", "plateau"),
                "precision": ("float32", "bfloat16", "auto"),
                "batches": ("random", "all"),
            },
        )
        for name in ("lr", "muon_lr"):
            value = getattr(self, name)
            require(
                0 < value < float("inf"),
                f"TrainConfig: {name} must be positive and finite.",
                f"{name}={value}",
                f"{name}=0.001",
            )
        for name in ("weight_decay", "warmup", "grad_clip", "seed", "eval_interval"):
            value = getattr(self, name)
            require(
                value >= 0,
                f"TrainConfig: {name} must not be negative.",
                f"{name}={value}",
                f"{name}=0",
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

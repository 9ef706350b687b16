"""One forward pass of a model, with every intermediate kept by name.

`record_pass` runs the model as it is, with hooks on its modules: the logits are those of
`model(tokens)` to the bit, and `model.py` does not know of it. `stages.py` says what each name
stands for, and how to compute it from those before it.

Names: token_embedding, position_embedding, embedding; for layer i, counted from 1, layer_i.norm_1,
layer_i.query, ...; final_norm, logits, probabilities. Shapes: T tokens, C channels, H heads,
D = C / H, F feed-forward width, V vocabulary.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpt.config import GPTConfig
from gpt.errors import require
from gpt.model import GPT
from tinygrad_lite import (
    Tensor,
    attention_weights,
    cross_entropy,
    nn,
    no_grad,
    precision,
    zeros,
)

# Outputs of modules, by the ends of their names
_IN_LAYER = {
    "norm_1": "norm_1",
    "attention.shift": "shift_1",
    "attention.query": "query",
    "attention.key": "key",
    "attention.value": "value",
    "attention.attention": "heads",
    "attention.output": "attention",
    "norm_2": "norm_2",
    "mlp.shift": "shift_2",
    "mlp.up": "up",
    "mlp.activation": "hidden",
    "mlp.output": "feed_forward",
    "": "output",
}
_AROUND = {
    "token_embedding": "token_embedding",
    "position.embedding": "position_embedding",
    "dropout": "embedding",
    "final_norm": "final_norm",
    "head": "logits",
}


@dataclass
class ForwardPass:
    """What a model computed for `tokens` (T,): arrays by name, without a batch axis.

    gradients   of the mean loss of predicting tokens[1:], by the same names, where they were asked
                for: one for each output of a module
    """

    config: GPTConfig
    tokens: np.ndarray
    arrays: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray] = field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def layer(self, number: int) -> dict[str, np.ndarray]:
        """The arrays of layer `number`, counted from 1; input is what comes into it"""
        prefix = f"layer_{number}."
        inside = {n.removeprefix(prefix): a for n, a in self.arrays.items() if n.startswith(prefix)}
        before = "embedding" if number == 1 else f"layer_{number - 1}.output"
        return {"input": self.arrays[before], **inside}


def stage_names(model: GPT) -> dict[str, str]:
    """The name in a ForwardPass of what each module of the model gives, by the module's name"""
    names = dict(_AROUND)
    for i in range(model.config.n_layer):
        for part, name in _IN_LAYER.items():
            names[f"blocks.{i}.{part}".rstrip(".")] = f"layer_{i + 1}.{name}"
    return names


@contextlib.contextmanager
def watched(model: nn.Module, hooks: dict[str, Any]) -> Iterator[None]:
    """Within this context, hooks[name](module, args, output) is called after each pass through the
    module of that name."""
    modules = dict(model.named_modules())
    handles = [modules[n].register_forward_hook(h) for n, h in hooks.items() if n in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def record_pass(
    model: GPT, tokens: Sequence[int] | np.ndarray, gradients: bool = False
) -> ForwardPass:
    """A ForwardPass for tokens (T,), 1 <= T <= block_size; gradients need two tokens. The model is
    left as it was, with its own gradients."""
    tokens = np.asarray(tokens)
    _check(model.config, tokens, gradients)
    outputs: dict[str, Tensor] = {}
    probes: dict[str, Tensor] = {}
    compared: dict[str, Tensor] = {}  # queries and keys as attention sees them

    def keeper(name: str) -> Any:
        def keep(module: nn.Module, args: tuple, out: Tensor) -> Tensor | None:
            if name.endswith(".heads"):
                layer = name.removesuffix("heads")
                compared[f"{layer}q"], compared[f"{layer}k"] = args[0], args[1]
            outputs[name] = out
            if not gradients:
                return None
            probes[name] = zeros(out.shape, requires_grad=True)
            return out + probes[name]

        return keep

    hooks = {module: keeper(name) for module, name in stage_names(model).items()}
    was_training = model.training
    own = [(p, p.grad) for p in model.parameters()] if gradients else []
    model.eval()
    try:
        for p, _ in own:  # or backward would add to what the caller has
            p.grad = None
        with watched(model, hooks), contextlib.nullcontext() if gradients else no_grad():
            logits = model(tokens[None])
            if gradients:
                loss = cross_entropy(logits[:, :-1], tokens[None, 1:])
                loss.backward()
    finally:
        model.train(was_training)
        for p, grad in own:
            p.grad = grad
    kept = {name: _alone(name, t.numpy(), model.config) for name, t in outputs.items()}
    arrays = _with_derived(model.config, kept, {n: t.numpy() for n, t in compared.items()})
    found = {
        name: _alone(name, p.grad.numpy(), model.config)
        for name, p in probes.items()
        if p.grad is not None
    }
    return ForwardPass(model.config, tokens, arrays, found)


def _check(config: GPTConfig, tokens: np.ndarray, gradients: bool) -> None:
    least = 2 if gradients else 1
    require(
        tokens.ndim == 1 and tokens.dtype.kind in "iu" and len(tokens) >= least,
        f"prompt: it is a list of at least {least} token{'s' * (least > 1)}.",
        f"{tokens!r:.60}",
        "tokenizer.encode(text)",
    )
    require(
        len(tokens) <= config.block_size,
        f"prompt: the model sees at most block_size = {config.block_size} tokens.",
        f"{len(tokens)} tokens",
        "a shorter prompt",
    )
    require(
        tokens.min() >= 0 and tokens.max() < config.vocab_size,
        f"prompt: each token is one of the model's {config.vocab_size}.",
        f"tokens from {tokens.min()} to {tokens.max()}",
        "the tokenizer of the model's own run",
    )


def _alone(name: str, array: np.ndarray, config: GPTConfig) -> np.ndarray:
    """What is of the one sequence (positions have no batch axis), projections as (H, T, D)"""
    array = array if name == "position_embedding" else array[0]
    if name.rpartition(".")[2] not in ("query", "key", "value"):
        return array
    return array.reshape(len(array), config.n_head, -1).transpose(1, 0, 2)


def _with_derived(
    config: GPTConfig, kept: dict[str, np.ndarray], compared: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """All arrays in the order in which they are computed, with those that no module gives"""
    arrays: dict[str, np.ndarray] = {
        n: kept[n] for n in ("token_embedding", "position_embedding") if n in kept
    }
    x = arrays["embedding"] = kept["embedding"]
    for i in range(1, config.n_layer + 1):
        part = {name: kept[f"layer_{i}.{name}"] for name in _IN_LAYER.values()}
        q, k = compared[f"layer_{i}.q"], compared[f"layer_{i}.k"]
        part |= _attention_parts(q, k)
        part["sum_1"] = x + part["attention"]
        between = part["sum_1"] if config.norm_placement == "pre" else part["norm_1"]
        part["sum_2"] = between + part["feed_forward"]
        arrays |= {f"layer_{i}.{name}": part[name] for name in order_of(config)}
        x = part["output"]
    if config.final_norm:
        arrays["final_norm"] = kept["final_norm"]
    arrays["logits"] = kept["logits"]
    arrays["probabilities"] = probabilities_of(kept["logits"])
    return arrays


def _attention_parts(q: np.ndarray, k: np.ndarray) -> dict[str, np.ndarray]:
    """Queries and keys (1, H, T, D) as they are compared, and what comes of it before the values"""
    with precision("float32"):  # not by NumPy's BLAS, which ends the process for want of memory
        scores = (Tensor(q[0]) @ Tensor(k[0].swapaxes(-1, -2))).numpy()
    scores = scores / np.sqrt(np.float32(q.shape[-1]))
    seen = np.tri(q.shape[2], dtype=bool)
    weights = attention_weights(Tensor(q), Tensor(k), True, 1 / np.sqrt(q.shape[-1])).numpy()[0]
    masked = np.where(seen, scores, np.float32(-np.inf))
    return {"q": q[0], "k": k[0], "scores": scores, "masked": masked, "weights": weights}


def order_of(config: GPTConfig) -> list[str]:
    """The names of a layer's arrays in the order in which they are computed"""
    shifts = [["shift_1"], ["shift_2"]] if config.token_shift else [[], []]
    attention = [*shifts[0], "query", "key", "value"]
    if config.qk_norm or config.position == "rotary":
        attention += ["q", "k"]
    attention += ["scores", "masked", "weights", "heads", "attention", "sum_1"]
    feed_forward = [*shifts[1], "up", "hidden", "feed_forward"]
    if config.norm_placement == "pre":
        return ["norm_1", *attention, "norm_2", *feed_forward, "output"]
    return [*attention, "norm_1", *feed_forward, "sum_2", "output"]


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """softmax over the last axis, in float64"""
    p = np.exp(logits - logits.max(-1, keepdims=True), dtype=np.float64)
    return p / p.sum(-1, keepdims=True)

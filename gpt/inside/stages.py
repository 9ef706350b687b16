"""The stages from a text to its next token: what each does, and the lines that compute it.

The lines of a stage are NumPy; they compute the array of its name from arrays of earlier stages and
the model's weights, which `namespace` provides. The tests run them, and compare with what the model
computed itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpt.config import GPTConfig
from gpt.errors import require
from gpt.inside.forward import ForwardPass, order_of
from gpt.model import GPT
from tinygrad_lite import rotary_angles


@dataclass(frozen=True)
class Stage:
    """name   of the array, as in ForwardPass
    title, shape, about   for people: a heading, the letters of its axes, one sentence
    lines     Python that sets a variable of that name
    """

    name: str
    title: str
    shape: str
    about: str
    lines: Sequence[str]


ACTIVATIONS = {
    "relu": "hidden = np.maximum(up, 0)",
    "relu_squared": "hidden = np.maximum(up, 0) ** 2",
    "silu": "hidden = up / (1 + np.exp(-up))",
    "gelu": "hidden = up * (1 + np.vectorize(math.erf)(up / np.sqrt(2))) / 2",
    "gelu_tanh": "hidden = up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3))) / 2",
}


def before_layers(config: GPTConfig) -> list[Stage]:
    """From tokens to what enters layer 1"""
    learned = config.position == "learned"
    sum_ = "token_embedding + position_embedding" if learned else "token_embedding"
    stages = [
        Stage("token_embedding", "TOKEN EMBEDDING", "T, C",
              "Each token is looked up in a table: a row of numbers that was learned for it.",
              ["token_embedding = W_token[tokens]"]),
        Stage("position_embedding", "POSITION EMBEDDING", "T, C",
              "Each position has a learned row too: without it the model could not tell the order.",
              ["position_embedding = W_position[:T]"]),
        Stage("embedding", "RESIDUAL STREAM", "T, C",
              "Their sum is what the layers read and add to." if learned else
              "The layers read these rows and add to them; positions come in with the attention.",
              [f"embedding = {sum_}"]),
    ]  # fmt: skip
    return stages if learned else [s for s in stages if s.name != "position_embedding"]


def of_layer(config: GPTConfig) -> list[Stage]:
    """From what enters a layer, `input`, to what leaves it, `output`"""
    pre, bias = config.norm_placement == "pre", config.bias
    into_attention = "norm_1" if pre else "input"
    into_feed_forward = "norm_2" if pre else "norm_1"
    shifts = [
        _shift("shift_1", into_attention, "attention"),
        _shift("shift_2", into_feed_forward, "the feed-forward layer"),
    ]
    if config.token_shift:
        into_attention, into_feed_forward = "shift_1", "shift_2"
    stages = {
        **{s.name: s for s in shifts},
        "norm_1": _norm(config, "norm_1", "input" if pre else "sum_1", "attention reads"),
        "norm_2": _norm(config, "norm_2", "sum_1", "the feed-forward layer reads"),
        "sum_1": Stage("sum_1", "AFTER ATTENTION", "T, C",
                       "What the heads found is added to the residual stream.",
                       ["sum_1 = input + attention"]),
        "up": _linear("up", "FEED-FORWARD, UP", into_feed_forward, "W_up", bias, "T, F",
                      "Each position alone is compared with many learned patterns."),
        "hidden": Stage("hidden", "FEED-FORWARD, ACTIVATION", "T, F",
                        f"Patterns that do not fit are silenced ({config.activation}).",
                        [ACTIVATIONS[config.activation]]),
        "feed_forward": _linear("feed_forward", "FEED-FORWARD, DOWN", "hidden", "W_down", bias,
                                "T, C", "What those that fit have to say, in the stream's width."),
        "output": Stage("output", "LAYER OUTPUT", "T, C",
                        "The feed-forward layer's result is added: this goes on to what follows.",
                        ["output = sum_1 + feed_forward"]),
    }  # fmt: skip
    stages |= {s.name: s for s in _attention(config, into_attention)}
    if not pre:
        stages["sum_2"] = Stage("sum_2", "AFTER FEED-FORWARD", "T, C",
                                "The feed-forward layer's result is added to what it read.",
                                ["sum_2 = norm_1 + feed_forward"])  # fmt: skip
        last = _norm(config, "norm_2", "sum_2", "the next layer, or the head, reads")
        lines = [*last.lines, "output = norm_2"]
        stages["output"] = Stage("output", "LAYER OUTPUT", "T, C", last.about, lines)
    return [stages[name] for name in order_of(config)]


def after_layers(config: GPTConfig) -> list[Stage]:
    """From what leaves the last layer, `output`, to probabilities"""
    stages = [_norm(config, "final_norm", "output", "the head reads")] if config.final_norm else []
    read = "final_norm" if config.final_norm else "output"
    return [
        *stages,
        _linear("logits", "LOGITS", read, "W_head", config.head_bias, "T, V",
                "Each token of the vocabulary gets a score for coming next."),
        Stage("probabilities", "PROBABILITIES", "T, V",
              "Softmax makes of scores numbers between 0 and 1 that add up to 1.",
              ["probabilities = np.exp(logits - logits.max(-1, keepdims=True))",
               "probabilities /= probabilities.sum(-1, keepdims=True)"]),
    ]  # fmt: skip


def _attention(config: GPTConfig, read: str) -> list[Stage]:
    def projection(name: str, about: str) -> Stage:
        bias = f" + b_{name}" if config.bias else ""
        return Stage(name, name.upper(), "H, T, D", about,
                     [f"{name} = {read} @ W_{name}.T{bias}",
                      f"{name} = {name}.reshape(T, H, D).transpose(1, 0, 2)"])  # fmt: skip

    compared = config.qk_norm or config.position == "rotary"
    q, k = ("q", "k") if compared else ("query", "key")
    return [
        projection("query", "What each position looks for, a row of numbers for each head."),
        projection("key", "What each position offers to be found by."),
        projection("value", "What each position hands over when it is found."),
        *(_compared(config, mine, of) for mine, of in (("q", "query"), ("k", "key"))),
        Stage("scores", "ATTENTION SCORES", "H, T, T",
              "How well each query (row) fits each key (column): their dot product over sqrt(D).",
              [f"scores = {q} @ {k}.transpose(0, 2, 1) / np.sqrt(D)"]),
        Stage("masked", "CAUSAL MASK", "H, T, T",
              "No position may look at later ones: their scores become minus infinity.",
              ["masked = np.where(np.tri(T, dtype=bool), scores, -np.inf)"]),
        Stage("weights", "ATTENTION WEIGHTS", "H, T, T",
              "Softmax: each row says how a position divides its attention, 1 in all.",
              ["weights = np.exp(masked - masked.max(-1, keepdims=True))",
               "weights /= weights.sum(-1, keepdims=True)"]),
        Stage("heads", "MIXED VALUES", "H, T, D",
              "Each position gets the values of all it looks at, weighted so.",
              ["heads = weights @ value"]),
        Stage("attention", "ATTENTION OUTPUT", "T, C",
              "What all heads found, side by side, is mixed by one more matrix.",
              ["attention = heads.transpose(1, 0, 2).reshape(T, C) @ W_attention.T"
               + (" + b_attention" if config.bias else "")]),
    ]  # fmt: skip


def _compared(config: GPTConfig, name: str, of: str) -> Stage:
    """Queries and keys as they are compared: of one length, rotated by position"""
    lines, told = [f"{name} = {of}"], []
    if config.qk_norm:
        lines = [f"{name} = {of} / np.sqrt(({of} ** 2).mean(-1, keepdims=True) + 1e-6)"]
        told.append("brought to one length")
    if config.position == "rotary":
        lines.append(f"a, b = np.split({name}, 2, axis=-1)")
        lines.append(f"{name} = np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)")
        told.append("rotated by an angle for each position")
    what = {"query": "QUERY", "key": "KEY"}[of]
    return Stage(name, f"{what}, AS COMPARED", "H, T, D",
                 f"Each {of} is {' and '.join(told)}.", lines)  # fmt: skip


def _norm(config: GPTConfig, name: str, of: str, reader: str) -> Stage:
    title = "FINAL NORM" if name == "final_norm" else f"NORM {name[-1]}"
    if config.norm == "rmsnorm":
        lines = [f"{name} = {of} / np.sqrt(({of} ** 2).mean(-1, keepdims=True) + 1e-6)"]
        about = f"Each row is divided by its root mean square: this is what {reader}."
    else:
        bias = f" + b_{name}" if config.bias else ""
        lines = [
            f"{name} = {of} - {of}.mean(-1, keepdims=True)",
            f"{name} = {name} / np.sqrt({of}.var(-1, keepdims=True) + 1e-5) * g_{name}{bias}",
        ]
        about = f"Each row is brought to mean 0 and variance 1, then scaled: this is what {reader}."
    return Stage(name, title, "T, C", about, lines)


def _shift(name: str, of: str, reader: str) -> Stage:
    return Stage(name, f"TOKEN SHIFT {name[-1]}", "T, C",
                 f"Some of the position before is added, channel by channel: {reader} reads both.",
                 [f"{name} = {of}.copy()", f"{name}[1:] += w_{name} * {of}[:-1]"])  # fmt: skip


def _linear(
    name: str, title: str, read: str, weight: str, bias: bool, shape: str, about: str
) -> Stage:
    added = f" + b{weight[1:]}" if bias else ""
    return Stage(name, title, shape, about, [f"{name} = {read} @ {weight}.T{added}"])


def namespace(forward: ForwardPass, model: GPT, layer: int = 1) -> dict[str, Any]:
    """The variables that the lines of stages use: arrays of the pass, those of layer `layer`, and
    the weights, W_... matrices, g_... and b_... scales and biases"""
    c = forward.config
    weights = _weights(model, layer)
    require(
        all(p.dtype == np.float32 for p in weights.values()),
        "namespace: NumPy computes with weights in float32.",
        "a model whose weights are stored in bfloat16",
        "gpt.load, which reads them anew",
    )
    known: dict[str, Any] = {"np": np, "math": math, "tokens": forward.tokens}
    known |= {"T": len(forward.tokens), "C": c.n_embd, "H": c.n_head, "D": c.n_embd // c.n_head}
    known |= {name: a for name, a in forward.arrays.items() if "." not in name}
    known |= forward.layer(layer)
    if c.position == "rotary":
        known["cos"], known["sin"] = (
            np.asarray(a)[: len(forward.tokens)] for a in rotary_angles(c.block_size, known["D"])
        )
    known |= {name: p.numpy() for name, p in weights.items()}
    return known


def _weights(model: GPT, layer: int) -> dict[str, Any]:
    named = model.state_dict()
    found = {"W_token": model.token_embedding.weight, "W_head": model.head.weight}
    places = {
        "W_position": "position.embedding.weight",
        "b_head": "head.bias",
        "g_final_norm": "final_norm.weight",
        "b_final_norm": "final_norm.bias",
    }
    block = f"blocks.{layer - 1}"
    for variable, part in (
        *((name, f"attention.{name}") for name in ("query", "key", "value")),
        ("attention", "attention.output"),
        ("up", "mlp.up"),
        ("down", "mlp.output"),
    ):
        places |= {
            f"W_{variable}": f"{block}.{part}.weight",
            f"b_{variable}": f"{block}.{part}.bias",
        }
    for shift, part in (("shift_1", "attention"), ("shift_2", "mlp")):
        places[f"w_{shift}"] = f"{block}.{part}.shift.weight"
    for norm in ("norm_1", "norm_2"):
        places |= {f"g_{norm}": f"{block}.{norm}.weight", f"b_{norm}": f"{block}.{norm}.bias"}
    return found | {variable: named[name] for variable, name in places.items() if name in named}

"""The GPT of gpt/model.py as JAX functions of a dictionary of parameters, with our names."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gpt.config import GPTConfig

ACTIVATIONS = {
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "relu": jax.nn.relu,
    "relu_squared": lambda x: jax.nn.relu(x) ** 2,
}
Arrays = dict[str, Any]


def joined(arrays: Arrays) -> Arrays:
    """Queries, keys and values of a layer as one matrix"""
    found: dict[str, list] = {}
    for name, array in arrays.items():
        for part in (".query.", ".key.", ".value."):
            name = name.replace(part, ".qkv.")
        found.setdefault(name, []).append(array)
    return {name: jnp.concatenate(parts) for name, parts in found.items()}


def separated(arrays: Arrays) -> dict[str, np.ndarray]:
    """The inverse of `joined`"""
    found = {}
    for name, array in arrays.items():
        if ".qkv." in name:
            pieces = np.split(np.asarray(array), 3)
            for part, piece in zip((".query.", ".key.", ".value."), pieces, strict=True):
                found[name.replace(".qkv.", part)] = piece
        else:
            found[name] = np.asarray(array)
    return found


def loss_function(config: GPTConfig, dtype: Any) -> Callable:
    """(parameters, tokens, targets) -> loss, with matrix products in `dtype`"""
    head_size = config.n_embd // config.n_head

    def linear(p: Arrays, name: str, x: Any) -> Any:
        y = jnp.einsum("...c,dc->...d", x.astype(dtype), p[name + ".weight"].astype(dtype),
                       preferred_element_type=jnp.float32)  # fmt: skip
        return y + p[name + ".bias"] if name + ".bias" in p else y

    def norm(p: Arrays, name: str, x: Any) -> Any:
        if config.norm == "rmsnorm":
            return rms(x)
        x = x - x.mean(-1, keepdims=True)
        y = x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5) * p[name + ".weight"]
        return y + p[name + ".bias"] if name + ".bias" in p else y

    def rms(x: Any) -> Any:
        return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6)

    def placed(x: Any) -> Any:
        x = rms(x) if config.qk_norm else x
        if config.position != "rotary":
            return x
        frequency = 1e4 ** (-jnp.arange(head_size // 2) / (head_size // 2))
        angle = jnp.outer(jnp.arange(x.shape[1]), frequency)[:, None]
        a, b = jnp.split(x, 2, -1)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    def shifted(p: Arrays, name: str, x: Any) -> Any:
        if not config.token_shift:
            return x
        before = jnp.pad(x, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        return x + before * p[name + ".shift.weight"]

    def attention(p: Arrays, name: str, x: Any) -> Any:
        x = shifted(p, name, x)
        b, t, c = x.shape
        qkv = jnp.split(linear(p, name + ".qkv", x), 3, -1)
        q, k, v = (z.reshape(b, t, config.n_head, head_size) for z in qkv)
        q, k, v = (z.astype(dtype) for z in (placed(q), placed(k), v))
        y = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        return linear(p, name + ".output", y.reshape(b, t, c))

    def mlp(p: Arrays, name: str, x: Any) -> Any:
        activation, x = ACTIVATIONS[config.activation], shifted(p, name, x)
        return linear(p, name + ".output", activation(linear(p, name + ".up", x)))

    def loss(p: Arrays, tokens: Any, targets: Any) -> Any:
        x = p["token_embedding.weight"][tokens]
        if config.position == "learned":
            x = x + p["position.embedding.weight"][: x.shape[1]]
        for i in range(config.n_layer):
            for part, n in ((attention, "norm_1"), (mlp, "norm_2")):
                name, norm_name = f"blocks.{i}.{part.__name__}", f"blocks.{i}.{n}"
                if config.norm_placement == "pre":
                    x = x + part(p, name, norm(p, norm_name, x))
                else:
                    x = norm(p, norm_name, x + part(p, name, x))
        x = norm(p, "final_norm", x) if config.final_norm else x
        logits = linear(p, "token_embedding" if config.tie_weights else "head", x)
        picked = jnp.take_along_axis(logits, targets[..., None], -1)[..., 0]
        return (jax.nn.logsumexp(logits, -1) - picked).mean()

    return loss


def train_step(loss: Callable, lr: float, weight_decay: float) -> Callable:
    """(parameters, m, v, step, tokens, targets) -> the first four after one step: clip at 1.0,
    then AdamW"""

    def step(p: Arrays, m: Arrays, v: Arrays, count: Any, tokens: Any, targets: Any) -> tuple:
        gradients = jax.grad(loss)(p, tokens, targets)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in gradients.values()))
        factor = jnp.minimum(1.0, 1.0 / norm)
        count = count + 1
        new: tuple[Arrays, Arrays, Arrays] = ({}, {}, {})
        for name, w in p.items():
            g = gradients[name] * factor
            first = 0.9 * m[name] + 0.1 * g
            second = 0.999 * v[name] + 0.001 * g * g
            update = first / (1 - 0.9**count) / (jnp.sqrt(second / (1 - 0.999**count)) + 1e-8)
            for part, value in zip(
                new, (w * (1 - lr * weight_decay) - lr * update, first, second), strict=True
            ):
                part[name] = value
        return (*new, count)

    return jax.jit(step, donate_argnums=(0, 1, 2, 3))

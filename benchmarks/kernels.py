"""Fused ops, forward and backward, beside PyTorch's eager and compiled ones.

Bytes are what an op must read and write at least: inputs, outputs, and their gradients. What is
dropped is drawn differently by each: compared is what comes out where nothing is.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_lite as tg
from benchmarks.timing import Factory, Row, race
from tinygrad_lite import Tensor, optim

# The shape of the first input: rows of a 6 x 384 model, GPT-2's logits, heads (B, H, T, D)
SHAPES: dict[str, tuple[int, ...]] = {
    "softmax": (2048, 1024),
    "layernorm": (2048, 384),
    "gelu": (2048, 1536),
    "cross_entropy": (256, 50304),
    "attention": (8, 6, 256, 64),
    "dropout": (2048, 1536),
    "attention_dropout": (8, 6, 256, 64),
    "adamw": (10_000_000,),
}
TRAFFIC = {"softmax": 5, "layernorm": 5, "gelu": 5, "cross_entropy": 3, "dropout": 4, "adamw": 7}
DROPS = 0.1


def run(config: str, peers: list[str]) -> list[Row]:
    contenders: dict[str, tuple[Factory, tuple]] = {"ours float32": (ours, (config,))}
    if "torch" in peers:
        for kind in ("eager", "compile"):
            name = "torch compile" if kind == "compile" else "torch float32"
            contenders[name] = (of_torch, (config, tg.get_num_threads(), kind))
    size = 4 * int(np.prod(SHAPES[config]))
    traffic = TRAFFIC[config] * size if config in TRAFFIC else None
    return race("kernels", config, contenders, 10, tolerance=1e-3, bytes_moved=traffic)


def _inputs(config: str) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shape = SHAPES[config]
    x = rng.standard_normal(shape, np.float32)
    more = {
        "layernorm": [np.ones(shape[-1:], np.float32), np.zeros(shape[-1:], np.float32)],
        "attention": [rng.standard_normal(shape, np.float32) for _ in range(2)],
        "attention_dropout": [rng.standard_normal(shape, np.float32) for _ in range(2)],
        "adamw": [rng.standard_normal(shape, np.float32)],
    }
    return [x, *more.get(config, [])]


def _targets(config: str) -> np.ndarray:
    rows, classes = SHAPES[config]
    return np.random.default_rng(1).integers(0, classes, rows)


def ours(config: str) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    inputs = [Tensor(x, requires_grad=True) for x in _inputs(config)]
    if config == "adamw":
        w, w.grad = inputs
        adamw = optim.AdamW([w])
        step = tg.jit(adamw.step)
        step()
        return step, {"w": w.numpy().copy()}
    targets = Tensor(_targets(config)) if config == "cross_entropy" else None
    rng = np.random.default_rng(3)
    drops = DROPS
    functions: dict[str, Callable[..., Tensor]] = {
        "softmax": tg.softmax,
        "layernorm": tg.layernorm,
        "gelu": tg.gelu,
        "cross_entropy": lambda x: tg.cross_entropy(x, targets),
        "attention": lambda q, k, v: tg.scaled_dot_product_attention(q, k, v, is_causal=True),
        "dropout": lambda x: tg.dropout(x, drops, rng),
        "attention_dropout": lambda q, k, v: tg.scaled_dot_product_attention(
            q, k, v, is_causal=True, dropout_p=drops, seed=rng
        ),
    }
    given = functions[config], [x.numpy() for x in inputs], _gradient(config)
    call, found = differentiated(*given)
    if "dropout" in config:
        drops = 0.0
        _, found = differentiated(*given)
        drops = DROPS
    return call, found


def _gradient(config: str) -> np.ndarray:
    """Of the result, which is a number for cross-entropy"""
    shape = () if config == "cross_entropy" else SHAPES[config]
    return np.asarray(np.random.default_rng(2).standard_normal(shape), np.float32)


def differentiated(
    function: Callable[..., Tensor], arrays: list[np.ndarray], gradient: np.ndarray
) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    """A recorded call of the function and its backward pass, and the gradients of its operands"""
    inputs, g = [Tensor(x, requires_grad=True) for x in arrays], Tensor(gradient)

    @tg.jit
    def both() -> None:
        function(*inputs).backward(g)

    def call() -> None:
        for x in inputs:
            x.grad = None
        both()

    call()
    return call, {f"gradient {i}": _data(x.grad) for i, x in enumerate(inputs)}


def _data(gradient: Tensor | None) -> np.ndarray:
    assert gradient is not None
    return gradient.numpy().copy()


def of_torch(
    config: str, threads: int, kind: str
) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    inputs = [torch.tensor(x, requires_grad=True) for x in _inputs(config)]
    if config == "adamw":
        w, gradient = inputs
        w.grad = gradient.detach()
        adamw = torch.optim.AdamW([w], fused=True)
        adamw.step()
        return adamw.step, {"w": w.detach().numpy().copy()}
    targets = torch.tensor(_targets(config)) if config == "cross_entropy" else None
    drops = DROPS
    functions: dict[str, Callable[..., Any]] = {
        "softmax": lambda x: F.softmax(x, -1),
        "layernorm": lambda x, w, b: F.layer_norm(x, w.shape, w, b),
        "gelu": F.gelu,
        "cross_entropy": lambda x: F.cross_entropy(x, targets),
        "attention": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        "dropout": lambda x: F.dropout(x, drops),
        "attention_dropout": lambda q, k, v: F.scaled_dot_product_attention(
            q, k, v, dropout_p=drops, is_causal=True
        ),
    }
    given = functions[config], _inputs(config), _gradient(config), kind
    call, found = differentiated_by_torch(*given)
    if "dropout" in config:
        drops = 0.0
        _, found = differentiated_by_torch(*given)
        drops = DROPS
    return call, found


def differentiated_by_torch(
    function: Callable[..., Any], arrays: list[np.ndarray], gradient: np.ndarray, kind: str
) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    """The same in PyTorch; kind "compile" or "eager" """
    import torch

    inputs, g = [torch.tensor(x, requires_grad=True) for x in arrays], torch.tensor(gradient)
    function = torch.compile(function) if kind == "compile" else function

    def call() -> None:
        for x in inputs:
            x.grad = None
        function(*inputs).backward(g)

    call()
    return call, {f"gradient {i}": x.grad.numpy() for i, x in enumerate(inputs)}

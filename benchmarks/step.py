"""One training step: forward, backward, clip at 1.0, AdamW. Ours beside PyTorch's."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.timing import Factory, Row, race
from gpt.config import PRESETS, GPTConfig
from gpt.model import GPT
from tinygrad_lite import Tensor, get_num_threads, optim

CONFIGS: dict[str, tuple[dict[str, Any], int]] = {
    "baby": (dict(vocab_size=65, **PRESETS["baby"].model), PRESETS["baby"].train["batch_size"]),
    "recipe": (
        dict(vocab_size=65, **PRESETS["shakespeare"].model),
        PRESETS["shakespeare"].train["batch_size"],
    ),
    "shake": (dict(vocab_size=65, n_layer=6, n_head=6, n_embd=384, block_size=256), 8),
}
ROUNDS = {"baby": 20, "recipe": 15, "shake": 8}


def run(config: str, peers: list[str]) -> list[Row]:
    contenders: dict[str, tuple[Factory, tuple]] = {"ours float32": (ours, (config,))}
    if "torch" in peers:
        contenders["torch float32"] = (torch_eager, (config, get_num_threads()))
    return race("step", config, contenders, ROUNDS[config], tolerance=1e-3)


def _setup(config: str) -> tuple[GPT, np.ndarray]:
    """A model and a batch, the same in every process"""
    options, batch_size = CONFIGS[config]
    model = GPT(GPTConfig(**options))
    rng = np.random.default_rng(0)
    for p in model.parameters():  # zero-initialised weights would hide gradients
        p.data += 0.02 * rng.standard_normal(p.shape, np.float32)
    shape = (batch_size, model.config.block_size + 1)
    return model, rng.integers(0, model.config.vocab_size, shape)


def _gradient(parameter: Tensor) -> np.ndarray:
    assert parameter.grad is not None
    return parameter.grad.numpy().copy()


def ours(config: str) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    model, tokens = _setup(config)
    parameters = model.parameters()
    adamw = optim.AdamW(parameters, lr=1e-4)

    def backward() -> float:
        loss = model.loss(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        return loss.item()

    def step() -> None:
        backward()
        optim.clip_grad_norm(parameters, 1.0)
        adamw.step()
        adamw.zero_grad()

    result = {"loss": np.array(backward())}
    result |= {n: _gradient(p) for n, p in model.named_parameters()}
    adamw.zero_grad()
    return step, result


def torch_eager(config: str, threads: int) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    import torch

    from benchmarks.torch_gpt import TorchGPT

    torch.set_num_threads(threads)
    model, batch = _setup(config)
    other = TorchGPT(model)
    tokens = torch.tensor(batch)
    adamw = torch.optim.AdamW(other.parameters(), lr=1e-4)

    def backward() -> torch.Tensor:
        loss = other.loss(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        return loss

    def step() -> None:
        backward()
        torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
        adamw.step()
        adamw.zero_grad(set_to_none=True)

    result = {"loss": np.array(backward().item()), **other.gradients()}
    adamw.zero_grad(set_to_none=True)
    return step, result

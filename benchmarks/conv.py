"""Convolutions, forward and backward, beside PyTorch's eager and compiled ones."""

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_lite as tg
from benchmarks.kernels import differentiated, differentiated_by_torch
from benchmarks.timing import Factory, Row, race
from tinygrad_lite import Tensor

BATCH = 32
# channels, outputs, kernel, side of the image, padding, groups
CONFIGS: dict[str, tuple[int, ...]] = {
    "3x3 first": (3, 32, 3, 32, 1, 1),
    "3x3": (64, 64, 3, 16, 1, 1),
    "depthwise": (64, 64, 3, 16, 1, 64),
    "1x1": (64, 64, 1, 16, 0, 1),
}


def run(config: str, peers: list[str]) -> list[Row]:
    contenders: dict[str, tuple[Factory, tuple]] = {"ours float32": (ours, (config,))}
    if "torch" in peers:
        for kind, name in (("eager", "torch float32"), ("compile", "torch compile")):
            contenders[name] = (of_torch, (config, tg.get_num_threads(), kind))
    channels, outputs, kernel, side, _, groups = CONFIGS[config]
    flops = 6.0 * BATCH * outputs * side * side * channels // groups * kernel * kernel
    return race("conv", config, contenders, 10, tolerance=1e-3, flops=flops)


def _inputs(config: str) -> list[np.ndarray]:
    channels, outputs, kernel, side, _, groups = CONFIGS[config]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, channels, side, side), np.float32)
    w = 0.1 * rng.standard_normal((outputs, channels // groups, kernel, kernel), np.float32)
    return [x, w, np.zeros(outputs, np.float32)]


def _gradient(config: str) -> np.ndarray:
    _, outputs, _, side, *_ = CONFIGS[config]
    return np.random.default_rng(2).standard_normal((BATCH, outputs, side, side), np.float32)


def ours(config: str) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    *_, padding, groups = CONFIGS[config]

    def convolve(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return tg.conv2d(x, w, b, padding=padding, groups=groups)

    return differentiated(convolve, _inputs(config), _gradient(config))


def of_torch(
    config: str, threads: int, kind: str
) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    import torch

    torch.set_num_threads(threads)
    *_, padding, groups = CONFIGS[config]

    def convolve(x: Any, w: Any, b: Any) -> Any:
        return torch.nn.functional.conv2d(x, w, b, padding=padding, groups=groups)

    return differentiated_by_torch(convolve, _inputs(config), _gradient(config), kind)

"""Layers that map features: linear, embeddings, norms, dropout, and changes of shape.

Initial values are drawn from `rng`, a numpy.random.Generator, as PyTorch does (Linear: uniform with
bound 1/sqrt(in_features); Embedding: normal with deviation 1). The same number as `rng` gives the
same values: give all layers of a model one generator, so that no two begin alike.
"""

from typing import Any

import numpy as np

from tinygrad_lite.functional.interpolation import interpolate, pixel_shuffle
from tinygrad_lite.fused.dropout import check_probability, dropout
from tinygrad_lite.fused.embedding import embedding
from tinygrad_lite.fused.layernorm import layernorm
from tinygrad_lite.fused.linear import linear
from tinygrad_lite.fused.rmsnorm import rmsnorm
from tinygrad_lite.fused.token_shift import token_shift
from tinygrad_lite.nn.module import Module, Parameter
from tinygrad_lite.tensor import Tensor, as_tensor


class Linear(Module):
    """x (..., in_features) -> x @ weight^T + bias (..., out_features)"""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, rng: Any):
        rng, bound = np.random.default_rng(rng), 1 / np.sqrt(in_features)
        self.weight = Parameter(rng.uniform(-bound, bound, (out_features, in_features)))
        self.bias = Parameter(rng.uniform(-bound, bound, out_features)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight) if self.bias is None else linear(x, self.weight, self.bias)


class Embedding(Module):
    """index (...) of integers -> rows of the table (..., embedding_dim)"""

    def __init__(self, num_embeddings: int, embedding_dim: int, *, rng: Any):
        rng = np.random.default_rng(rng)
        self.weight = Parameter(rng.standard_normal((num_embeddings, embedding_dim)))

    def forward(self, index: Any) -> Tensor:
        return embedding(index, self.weight)


class LayerNorm(Module):
    """x (..., size) normalised over its last axis; see fused/layernorm.py"""

    def __init__(self, size: int | tuple[int], eps: float = 1e-5, bias: bool = True):
        if np.size(size) != 1:
            raise ValueError(
                "LayerNorm: the last axis alone is normalised.\n"
                f"  got {size}\n  try its length and x.flatten(start), or nn.GroupNorm(1, channels)"
            )
        self.weight = Parameter(np.ones(size))
        self.bias = Parameter(np.zeros(size)) if bias else None
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is None:
            return layernorm(x, self.weight, eps=self.eps)
        return layernorm(x, self.weight, self.bias, eps=self.eps)


class RMSNorm(Module):
    """x (..., size) divided by its root mean square; see fused/rmsnorm.py"""

    def __init__(self, size: int, eps: float = 1e-6, weight: bool = True):
        self.weight = Parameter(np.ones(size)) if weight else None
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if self.weight is None:
            return rmsnorm(x, eps=self.eps)
        return rmsnorm(x, self.weight, eps=self.eps)


class TokenShift(Module):
    """x (..., T, size) + weight (size,) * the position before; see fused/token_shift.py"""

    def __init__(self, size: int):
        self.weight = Parameter(np.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        return token_shift(x, self.weight)


class Dropout(Module):
    """Drops elements with probability p while training; draws from `rng`."""

    def __init__(self, p: float, *, rng: Any):
        check_probability(p)
        self.p = p
        self.rng = np.random.default_rng(rng)

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.rng) if self.training else x


class Flatten(Module):
    """The axes from start_axis to end_axis joined into one: all but the batch"""

    def __init__(self, start_axis: int = 1, end_axis: int = -1):
        self.start_axis, self.end_axis = start_axis, end_axis

    def forward(self, x: Tensor) -> Tensor:
        return as_tensor(x).flatten(self.start_axis, self.end_axis)


class Unflatten(Module):
    """An axis made several of these sizes"""

    def __init__(self, axis: int, sizes: Any):
        self.axis, self.sizes = axis, tuple(sizes)

    def forward(self, x: Tensor) -> Tensor:
        return as_tensor(x).unflatten(self.axis, self.sizes)


class Upsample(Module):
    """Images made larger, see tg.interpolate"""

    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
        align_corners: bool | None = None,
    ):  # fmt: skip
        self.settings = (size, scale_factor, mode, align_corners)

    def forward(self, x: Tensor) -> Tensor:
        return interpolate(x, *self.settings)


class PixelShuffle(Module):
    """(..., C r^2, H, W) -> (..., C, H r, W r)"""

    def __init__(self, upscale_factor: int):
        self.upscale_factor = upscale_factor

    def forward(self, x: Tensor) -> Tensor:
        return pixel_shuffle(x, self.upscale_factor)

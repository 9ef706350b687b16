"""Modules: parameters with a forward pass, in PyTorch's vocabulary.

Initial values: Linear and Embedding draw from `rng`, a numpy.random.Generator, as PyTorch does
(uniform with bound 1/sqrt(in_features); normal with deviation 1).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_lite.fused.activations import gelu, relu_squared, silu
from tinygrad_lite.fused.dropout import dropout
from tinygrad_lite.fused.embedding import embedding
from tinygrad_lite.fused.layernorm import layernorm
from tinygrad_lite.fused.linear import linear
from tinygrad_lite.fused.rmsnorm import rmsnorm
from tinygrad_lite.kernels.record import call
from tinygrad_lite.tensor import Tensor, clear_gradients


def Parameter(data: Any) -> Tensor:
    """A float32 leaf that requires gradients."""
    return Tensor(np.asarray(data, np.float32), requires_grad=True)


class Module:
    """Attributes that are Tensors with requires_grad are parameters; those that are Modules are
    parts, and their parameters carry the attribute's name in front: "head.weight"."""

    training = True

    def forward(self, *args: Any) -> Any:
        raise TypeError(
            "Module: a module defines forward.\n"
            f"  got {type(self).__name__} without it\n  try def forward(self, x): ..."
        )

    def __call__(self, *args: Any, **settings: Any) -> Any:
        return self.forward(*args, **settings)

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """This module as "" and every part by its name"""
        yield prefix, self
        for name, part in vars(self).items():
            if isinstance(part, Module):
                yield from part.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Each parameter once, also one that two modules share (under its first name)."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Tensor) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def parameters(self) -> list[Tensor]:
        return [parameter for _, parameter in self.named_parameters()]

    def state_dict(self) -> dict[str, Tensor]:
        """The parameters by name (shared, not copied)"""
        return dict(self.named_parameters())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy arrays into the parameters; names and shapes must agree, or nothing is changed."""
        own = self.state_dict()
        values = {n: v.data if isinstance(v, Tensor) else np.asarray(v) for n, v in state.items()}
        wrong = [f"{name} is missing" for name in own if name not in values]
        wrong += [f"{name} is not part of the model" for name in values if name not in own]
        wrong += [
            f"{name} is {values[name].shape} in the file and {p.shape} in the model"
            for name, p in own.items()
            if name in values and values[name].shape != p.shape
        ]
        if wrong:
            listed = "; ".join(wrong[:8]) + (
                "" if len(wrong) <= 8 else f"; and {len(wrong) - 8} more"
            )
            raise ValueError(
                "load_state_dict: the state must hold exactly the model's parameters.\n"
                f"  got {listed}\n  try a model of the same configuration"
            )
        for name, parameter in own.items():
            parameter.data[...] = values[name]

    def train(self, mode: bool = True) -> "Module":
        """Training mode: dropout is active."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> "Module":
        """Evaluation mode: dropout passes its input on."""
        return self.train(False)

    def zero_grad(self) -> None:
        call(clear_gradients, self.parameters())


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

    def __init__(self, size: int, bias: bool = True, eps: float = 1e-5):
        self.weight = Parameter(np.ones(size))
        self.bias = Parameter(np.zeros(size)) if bias else None
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is None:
            return layernorm(x, self.weight, eps=self.eps)
        return layernorm(x, self.weight, self.bias, eps=self.eps)


class RMSNorm(Module):
    """x (..., size) divided by its root mean square; see fused/rmsnorm.py"""

    def __init__(self, size: int, weight: bool = True, eps: float = 1e-6):
        self.weight = Parameter(np.ones(size)) if weight else None
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if self.weight is None:
            return rmsnorm(x, eps=self.eps)
        return rmsnorm(x, self.weight, eps=self.eps)


class Dropout(Module):
    """Drops elements with probability p while training; draws from `rng`."""

    def __init__(self, p: float, *, rng: Any):
        self.p = p
        self.rng = np.random.default_rng(rng)

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.rng) if self.training else x


class Identity(Module):
    """x -> x: the absent part"""

    def forward(self, x: Tensor) -> Tensor:
        return x


class _Activation(Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def ReLU() -> Module:
    return _Activation(lambda x: x.relu())


def GELU(approximate: str = "none") -> Module:
    """approximate="tanh" is the form that GPT-2 uses"""
    return _Activation(lambda x: gelu(x, approximate))


def SiLU() -> Module:
    return _Activation(silu)


def ReLUSquared() -> Module:
    return _Activation(relu_squared)


class Sequential(Module):
    """Modules one after the other; their names are "0", "1", ..."""

    def __init__(self, *modules: Module):
        for i, module in enumerate(modules):
            setattr(self, str(i), module)

    def __iter__(self) -> Iterator[Module]:
        return iter(part for part in vars(self).values() if isinstance(part, Module))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, i: int) -> Module:
        return list(self)[i]

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x


class ModuleList(Sequential):
    """A list of modules, to be called by their owner."""

    def __init__(self, modules: Any = ()):
        super().__init__(*modules)

    def forward(self, x: Any) -> Any:
        raise TypeError(
            "ModuleList: a list of modules has no forward pass of its own.\n"
            "  got a call\n  try for module in modules: x = module(x), or nn.Sequential"
        )

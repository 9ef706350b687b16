"""The GPT of gpt/model.py from PyTorch's own fast parts, with the same parameters."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from gpt.model import GPT

ACTIVATIONS: dict[str, Any] = {
    "gelu": F.gelu,
    "relu": F.relu,
    "relu_squared": lambda x: F.relu(x).square(),
}


class TorchGPT(torch.nn.Module):
    """The same options; queries, keys and values come from one product."""

    def __init__(self, model: GPT):
        super().__init__()
        self.config = model.config
        self.names: dict[str, list[str]] = {}  # a parameter here, and those of ours that it joins
        own = dict(model.named_parameters())
        for name in own:
            fused = name.replace(".query.", ".qkv.").replace(".key.", ".qkv.")
            self.names.setdefault(fused.replace(".value.", ".qkv."), []).append(name)
        self.p = torch.nn.ParameterDict(
            {
                name.replace(".", "/"): torch.nn.Parameter(
                    torch.cat([torch.tensor(own[part].numpy()) for part in parts])
                )
                for name, parts in self.names.items()
            }
        )
        c = self.config
        half = c.n_embd // c.n_head // 2
        angle = torch.outer(torch.arange(c.block_size), 1e4 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angle.cos()[:, None])
        self.register_buffer("sin", angle.sin()[:, None])

    def get(self, name: str) -> Any:
        return self.p.get(name.replace(".", "/"), None)

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        size = (x.shape[-1],)
        if self.config.norm == "rmsnorm":
            return F.rms_norm(x, size, eps=1e-6)
        return F.layer_norm(x, size, self.get(name + ".weight"), self.get(name + ".bias"))

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.get(name + ".weight"), self.get(name + ".bias"))

    def placed(self, x: torch.Tensor) -> torch.Tensor:
        """QK-norm and rotary positions of x (B, T, H, D)"""
        if self.config.qk_norm:
            x = F.rms_norm(x, x.shape[-1:], eps=1e-6)
        if self.config.position != "rotary":
            return x
        a, b = x.chunk(2, -1)
        cos, sin = self.cos[: x.shape[1]], self.sin[: x.shape[1]]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)

    def shifted(self, name: str, x: torch.Tensor) -> torch.Tensor:
        weight = self.get(name + ".shift.weight")
        return x if weight is None else x + F.pad(x, (0, 0, 1, 0))[:, :-1] * weight

    def attention(self, name: str, x: torch.Tensor) -> torch.Tensor:
        x = self.shifted(name, x)
        (b, t, c), h = x.shape, self.config.n_head
        q, k, v = (z.view(b, t, h, c // h) for z in self.linear(name + ".qkv", x).split(c, -1))
        q, k, v = (z.transpose(1, 2) for z in (self.placed(q), self.placed(k), v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.linear(name + ".output", y.transpose(1, 2).reshape(b, t, c))

    def mlp(self, name: str, x: torch.Tensor) -> torch.Tensor:
        x = self.shifted(name, x)
        return self.linear(name + ".output", ACTIVATIONS[self.config.activation](
            self.linear(name + ".up", x)))  # fmt: skip

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        c = self.config
        x = F.embedding(tokens, self.get("token_embedding.weight"))
        if c.position == "learned":
            x = x + self.get("position.embedding.weight")[: x.shape[1]]
        for i in range(c.n_layer):
            block = f"blocks.{i}."
            for part, norm in ((self.attention, "norm_1"), (self.mlp, "norm_2")):
                name = block + part.__name__
                if c.norm_placement == "pre":
                    x = x + part(name, self.norm(block + norm, x))
                else:
                    x = self.norm(block + norm, x + part(name, x))
        x = self.norm("final_norm", x) if c.final_norm else x
        head = self.get("token_embedding.weight" if c.tie_weights else "head.weight")
        return F.linear(x, head, self.get("head.bias"))

    def loss(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(self(tokens).flatten(0, 1), targets.flatten())

    def gradients(self) -> dict[str, np.ndarray]:
        """The gradients under the names of our parameters"""
        found: dict[str, np.ndarray] = {}
        for name, parts in self.names.items():
            gradient = self.get(name).grad.numpy()
            pieces = np.split(gradient, len(parts))
            found.update(zip(parts, pieces, strict=True))
        return found

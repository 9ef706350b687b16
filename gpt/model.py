"""GPT: a transformer decoder that predicts the next token (Radford and others 2018, 2019).

tokens (B, T) -> logits (B, T, V). B batch, T time, C channels (n_embd), H heads, D = C / H,
V vocabulary. Each option of GPTConfig chooses a part when the model is built; what is computed
with the parts is the same few lines for all of them.
"""

from typing import Any

import numpy as np

from gpt.config import GPTConfig
from tinygrad_lite import (
    KVCache,
    Tensor,
    arange,
    cross_entropy,
    embedding,
    linear,
    nn,
    rotary,
    rotary_angles,
    scaled_dot_product_attention,
)

ACTIVATIONS = {
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "relu_squared": nn.ReLUSquared,
}


def norm(config: GPTConfig) -> nn.Module:
    if config.norm == "rmsnorm":
        return nn.RMSNorm(config.n_embd, weight=False)
    return nn.LayerNorm(config.n_embd, bias=config.bias)


class NoPosition(nn.Module):
    """x -> x: where the other kind of position is used"""

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        return x


class LearnedPosition(nn.Module):
    """Adds a learned vector for each position: x (B, T, C), places (T,) or (B, T) -> (B, T, C)"""

    def __init__(self, config: GPTConfig, rng: np.random.Generator):
        self.embedding = nn.Embedding(config.block_size, config.n_embd, rng=rng)

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        return x + self.embedding(places)


class RotaryPosition(nn.Module):
    """Turns queries and keys by an angle for each position: x (B, T, H, D) -> (B, T, H, D)"""

    def __init__(self, config: GPTConfig):
        cos, sin = rotary_angles(config.block_size, config.n_embd // config.n_head)
        self.cos, self.sin = Tensor(cos), Tensor(sin)

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        if places.ndim == 1:  # 0, 1, ..., T - 1
            return rotary(x, self.cos[: x.shape[1]], self.sin[: x.shape[1]])
        return rotary(x, embedding(places, self.cos), embedding(places, self.sin))


class CausalAttention(nn.Module):
    """Each position looks at itself and the past: q, k, v (B, H, T, D) -> (B, H, T, D)"""

    def __init__(self, config: GPTConfig, rng: np.random.Generator):
        self.dropout = config.dropout
        self.rng = rng

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        p = self.dropout if self.training else 0.0
        return scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=p, seed=self.rng)


class NoShift(nn.Module):
    """x -> x: where each part reads its own position alone"""

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        return x


class TokenShift(nn.TokenShift):
    """Each position with some of the one before: (B, T, C) -> (B, T, C); `place` of those in the
    model, counted from 0"""

    def __init__(self, config: GPTConfig, place: int):
        super().__init__(config.n_embd)
        self.place = place

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        return cache.shift(self.place, x, self.weight) if cache else super().forward(x)


class SelfAttention(nn.Module):
    """Multi-head causal self-attention: (B, T, C) -> (B, T, C)

    With a cache, what T positions see is what is kept of earlier ones, and themselves.
    """

    def __init__(self, config: GPTConfig, layer: int, rng: np.random.Generator):
        self.layer = layer
        c, head_size = config.n_embd, config.n_embd // config.n_head
        self.n_head = config.n_head
        self.shift = TokenShift(config, 2 * layer) if config.token_shift else NoShift()
        self.query = nn.Linear(c, c, config.bias, rng=rng)
        self.key = nn.Linear(c, c, config.bias, rng=rng)
        self.value = nn.Linear(c, c, config.bias, rng=rng)
        self.output = nn.Linear(c, c, config.bias, rng=rng)
        self.qk_norm = nn.RMSNorm(head_size, weight=False) if config.qk_norm else nn.Identity()
        self.position = RotaryPosition(config) if config.position == "rotary" else NoPosition()
        self.attention = CausalAttention(config, rng)
        self.dropout = nn.Dropout(config.dropout, rng=rng)

    def forward(self, x: Tensor, places: Tensor, cache: KVCache | None = None) -> Tensor:
        B, T, C = x.shape
        heads = (B, T, self.n_head, C // self.n_head)
        x = self.shift(x, cache)
        q = self.position(self.qk_norm(self.query(x).reshape(heads)), places)  # (B, T, H, D)
        k = self.position(self.qk_norm(self.key(x).reshape(heads)), places)
        v = self.value(x).reshape(heads)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H, T, D)
        y = cache.attend(self.layer, q, k, v) if cache else self.attention(q, k, v)
        return self.dropout(self.output(y.transpose(1, 2).reshape(B, T, C)))


class MLP(nn.Module):
    """The feed-forward layer, the same for each position: (B, T, C) -> (B, T, C)"""

    def __init__(self, config: GPTConfig, layer: int, rng: np.random.Generator):
        self.shift = TokenShift(config, 2 * layer + 1) if config.token_shift else NoShift()
        self.up = nn.Linear(config.n_embd, config.d_ff, config.bias, rng=rng)
        self.activation = ACTIVATIONS[config.activation]()
        self.output = nn.Linear(config.d_ff, config.n_embd, config.bias, rng=rng)
        self.dropout = nn.Dropout(config.dropout, rng=rng)

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        x = self.shift(x, cache)
        return self.dropout(self.output(self.activation(self.up(x))))


class Block(nn.Module):
    """Attention and feed-forward layer around a residual stream (GPT-2: norm first)"""

    def __init__(self, config: GPTConfig, layer: int, rng: np.random.Generator):
        self.norm_1 = norm(config)
        self.attention = SelfAttention(config, layer, rng)
        self.norm_2 = norm(config)
        self.mlp = MLP(config, layer, rng)

    def forward(self, x: Tensor, places: Tensor, cache: KVCache | None = None) -> Tensor:
        x = x + self.attention(self.norm_1(x), places, cache)
        x = x + self.mlp(self.norm_2(x), cache)
        return x


class PostNormBlock(Block):
    """The same with the norm after each sum (Vaswani and others 2017; GPT-1)"""

    def forward(self, x: Tensor, places: Tensor, cache: KVCache | None = None) -> Tensor:
        x = self.norm_1(x + self.attention(x, places, cache))
        x = self.norm_2(x + self.mlp(x, cache))
        return x


class TiedHead(nn.Module):
    """Logits as products with the token embedding (Press, Wolf 2016): (B, T, C) -> (B, T, V)"""

    def __init__(self, embedding: nn.Embedding, bias: bool):
        self.weight = embedding.weight
        self.bias = nn.Parameter(np.zeros(len(embedding.weight))) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class GPT(nn.Module):
    """The language model. `seed` decides its initial values and, while training, its dropout."""

    def __init__(self, config: GPTConfig, seed: int = 0):
        self.config = config
        self.rng = rng = np.random.default_rng(seed)
        block = Block if config.norm_placement == "pre" else PostNormBlock
        self.token_embedding = nn.Embedding(config.vocab_size, config.n_embd, rng=rng)
        learned = config.position == "learned"
        self.position = LearnedPosition(config, rng) if learned else NoPosition()
        self.dropout = nn.Dropout(config.dropout, rng=rng)
        self.blocks = nn.ModuleList([block(config, i, rng) for i in range(config.n_layer)])
        self.final_norm = norm(config) if config.final_norm else nn.Identity()
        self.head = (
            TiedHead(self.token_embedding, config.head_bias)
            if config.tie_weights
            else nn.Linear(config.n_embd, config.vocab_size, config.head_bias, rng=rng)
        )
        initialize(self, rng)

    def forward(self, tokens: Any) -> Tensor:
        """Logits (B, T, V) for the token after each of tokens (B, T), integers, T <= block_size."""
        return self.head(self.hidden(tokens))

    def hidden(self, tokens: Any, cache: KVCache | None = None) -> Tensor:
        """What the head sees (B, T, C): the residual stream after the last block."""
        tokens = self._checked(tokens)
        T = tokens.shape[1]
        places = arange(T) if cache is None or T > 1 else cache.lengths.unsqueeze(1)
        x = self.dropout(self.position(self.token_embedding(tokens), places))
        for block in self.blocks:
            x = block(x, places, cache)
        return self.final_norm(x)

    def next_logits(self, tokens: Any, cache: KVCache | None = None) -> Tensor:
        """Logits (B, V) for the token after the last of tokens (B, T).

        With a cache, tokens come after those that it keeps: all of a prompt at first, then one at
        a time. The caller moves cache.lengths on.
        """
        return self.head(self.hidden(tokens, cache)[:, -1])

    def new_cache(self, batch: int, size: int | None = None) -> KVCache:
        """An empty memory for `batch` sequences of up to `size` tokens, of block_size without it"""
        c = self.config
        size = c.block_size if size is None else size
        shifts = 2 * c.n_layer if c.token_shift else 0
        return KVCache(c.n_layer, batch, size, c.n_head, c.n_embd // c.n_head, shifts)

    def loss(self, tokens: Any, targets: Any) -> Tensor:
        """Mean cross-entropy in nats of targets (B, T), each the token after its place."""
        return cross_entropy(self(tokens), targets)

    def _checked(self, tokens: Any) -> Tensor:
        tokens = tokens if isinstance(tokens, Tensor) else Tensor(tokens)
        size = self.config.block_size
        if tokens.ndim != 2 or not 1 <= tokens.shape[1] <= size:
            raise ValueError(
                f"GPT: tokens are (B, T) with 1 <= T <= block_size = {size}.\n"
                f"  got shape {tokens.shape}\n  try tokens[:, -{size}:]"
            )
        return tokens


def initialize(model: GPT, rng: np.random.Generator) -> None:
    """GPT-2's initialisation: matrices from N(0, 0.02), those that write into the residual stream
    divided by sqrt(2 * n_layer), biases 0; with zero_init the latter, and an untied head, are 0.
    """
    config = model.config
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            writes = name.endswith("output.weight")
            untied_head = name == "head.weight"
            std = 0.02 / np.sqrt(2 * config.n_layer) if writes else 0.02
            if config.zero_init and (writes or untied_head):
                std = 0.0
            parameter.data[...] = std * rng.standard_normal(parameter.shape, np.float32)
        elif name.endswith("bias"):
            parameter.data[...] = 0.0

"""Multi-head attention and a transformer's encoder layer, with PyTorch's names of parameters."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_lite.fused.activations import gelu, relu
from tinygrad_lite.fused.attention import scaled_dot_product_attention
from tinygrad_lite.fused.dropout import check_probability, dropout
from tinygrad_lite.fused.linear import linear
from tinygrad_lite.fused.softmax import softmax
from tinygrad_lite.kernels.watch import constant
from tinygrad_lite.nn import init
from tinygrad_lite.nn.layers import Dropout, LayerNorm, Linear
from tinygrad_lite.nn.module import Module, Parameter
from tinygrad_lite.ops.elementwise import masked_fill
from tinygrad_lite.tensor import Tensor, as_tensor


class MultiheadAttention(Module):
    """softmax(Q K^T / sqrt(D)) V in several heads  (Vaswani and others 2017)

    Inputs are (T, B, C), or with batch_first (B, T, C), or (T, C) without a batch.
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
        batch_first: bool = False, *, rng: Any,
    ):  # fmt: skip
        check_probability(dropout)
        if num_heads < 1 or embed_dim % num_heads:
            raise ValueError(
                "MultiheadAttention: heads divide the channels.\n"
                f"  got {num_heads} heads for {embed_dim} channels\n  try num_heads=1"
            )
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.batch_first, self.rng = batch_first, np.random.default_rng(rng)
        self.in_proj_weight = Parameter(np.zeros((3 * embed_dim, embed_dim)))
        init.xavier_uniform_(self.in_proj_weight, rng=self.rng)
        self.in_proj_bias = Parameter(np.zeros(3 * embed_dim)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, rng=self.rng)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None,
        average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """(output like query, weights (B, T, S), or (B, heads, T, S) unless averaged, or None).

        key_padding_mask   (B, S) bool: keys that are not looked at
        attn_mask          (T, S) or (B * heads, T, S): bool, where not to look, or added to scores
        is_causal          each query looks at no later key; in place of attn_mask
        """
        query, key, value = map(as_tensor, (query, key, value))
        alone = query.ndim == 2
        _check_inputs(query, key, value, 0 if self.batch_first else 1)
        if alone:
            query, key, value = (t.unsqueeze(0) for t in (query, key, value))
        elif not self.batch_first:
            query, key, value = (t.transpose(0, 1) for t in (query, key, value))
        q, k, v = (self._heads(t, part) for part, t in enumerate((query, key, value)))
        drops = self.dropout if self.training else 0.0
        plain = key_padding_mask is None and attn_mask is None
        plain = plain and (not is_causal or q.shape[2] == k.shape[2])  # else masks differ
        weights = None
        if plain and not need_weights:
            out = scaled_dot_product_attention(q, k, v, is_causal, None, drops, self.rng)
        else:
            scores = q @ k.transpose() / math.sqrt(q.shape[-1])
            if is_causal:
                hidden = np.triu(np.ones(scores.shape[-2:], bool), 1)
                scores = masked_fill(scores, Tensor(constant(hidden)), -math.inf)
            batch, _, times, keys = scores.shape
            for name, given, shapes, to in (
                ("attn_mask", attn_mask, [(times, keys), (batch * self.num_heads, times, keys)],
                 (-1, self.num_heads, times, keys)),
                ("key_padding_mask", key_padding_mask, [(keys,)] if alone else [(batch, keys)],
                 (-1, 1, 1, keys)),
            ):  # fmt: skip
                if given is not None:
                    mask = _mask(name, as_tensor(given), shapes)
                    mask = mask if mask.shape == (times, keys) and to[1] > 1 else mask.reshape(to)
                    is_bool = mask.dtype == np.bool_
                    scores = masked_fill(scores, mask, -math.inf) if is_bool else scores + mask
            weights = dropout(softmax(scores), drops, self.rng)
            out = weights @ v
        out = self.out_proj(out.transpose(1, 2).flatten(2))
        out = out.squeeze(0) if alone else out if self.batch_first else out.transpose(0, 1)
        if not need_weights or weights is None:
            return out, None
        weights = weights.mean(1) if average_attn_weights else weights
        return out, weights.squeeze(0) if alone else weights

    def _heads(self, x: Tensor, part: int) -> Tensor:
        """(B, heads, T, D): queries, keys or values"""
        rows = slice(part * self.embed_dim, (part + 1) * self.embed_dim)
        bias = None if self.in_proj_bias is None else self.in_proj_bias[rows]
        made = linear(x, self.in_proj_weight[rows], bias)
        return made.reshape(*made.shape[:2], self.num_heads, -1).transpose(1, 2)


def _check_inputs(query: Tensor, key: Tensor, value: Tensor, batch: int) -> None:
    """ValueError unless there is a value for each key, and all have one batch, which is this axis
    of three"""
    dims = {query.ndim, key.ndim, value.ndim}
    fits = dims in ({2}, {3}) and key.shape[:-1] == value.shape[:-1]
    if not fits or (dims == {3} and query.shape[batch] != key.shape[batch]):
        axes = (
            "(T, B, C) and (S, B, C), or batch_first=True" if batch else "(B, T, C) and (B, S, C)"
        )
        raise ValueError(
            "MultiheadAttention: each key has a value, and queries, keys and values have one"
            " batch, or none.\n"
            f"  got {query.shape}, {key.shape} and {value.shape}\n"
            f"  try {axes}"
        )


def _mask(name: str, mask: Tensor, shapes: Sequence[tuple[int, ...]]) -> Tensor:
    if mask.shape not in shapes or mask.dtype.kind not in "bf":
        raise ValueError(
            f"MultiheadAttention: {name} is bool, true where nobody looks, or floats that are added"
            " to the scores, one for each pair, or each key.\n"
            f"  got {mask.dtype} {mask.shape}\n"
            f"  try {' or '.join(map(str, shapes))}, and mask.bool() of zeros and ones"
        )
    return mask


class TransformerEncoderLayer(Module):
    """Attention and a feed-forward part, each added to what goes in and normalised: after it, or
    before with norm_first"""

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: str | Callable = "relu", layer_norm_eps: float = 1e-5,
        batch_first: bool = False, norm_first: bool = False, bias: bool = True, *, rng: Any,
    ):  # fmt: skip
        rng = np.random.default_rng(rng)
        known = {"relu": relu, "gelu": gelu}
        if not callable(activation) and activation not in known:
            raise ValueError(
                "TransformerEncoderLayer: the activation is 'relu', 'gelu' or a function.\n"
                f"  got {activation!r}\n  try 'relu'"
            )
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first, rng=rng)
        self.linear1 = Linear(d_model, dim_feedforward, bias, rng=rng)
        self.linear2 = Linear(dim_feedforward, d_model, bias, rng=rng)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias)
        self.dropout, self.dropout1, self.dropout2 = (Dropout(dropout, rng=rng) for _ in range(3))
        self.norm_first = norm_first
        self.activation = activation if callable(activation) else known[activation]

    def forward(
        self, src: Tensor, src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None, is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        def attend(x: Tensor) -> Tensor:
            out, _ = self.self_attn(
                x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal
            )
            return self.dropout1(out)

        def feed(x: Tensor) -> Tensor:
            return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))

        if self.norm_first:
            x = src + attend(self.norm1(src))
            return x + feed(self.norm2(x))
        x = self.norm1(src + attend(src))
        return self.norm2(x + feed(x))

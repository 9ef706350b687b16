"""Attention for one more position at a time: keys and values of earlier positions are kept.

For a query q (D,) of the newest position n, keys K (n + 1, D) and values V (n + 1, D), its own
among them:   out = softmax(K q * scale) V.   No gradients: this is for inference.
"""

import math

import numpy as np

from tinygrad_lite.fused.attention import scaled_dot_product_attention
from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.record import call, contiguous, empty
from tinygrad_lite.kernels.rows import dot, largest, total
from tinygrad_lite.kernels.simd import exp
from tinygrad_lite.tensor import Tensor


@kernel
def kv_cache_step(chunk, out, keys, values, scores, q, k, v, lengths, scale):
    """keys, values (B, H, S, D) receive k, v (B, H, D) at position lengths[b]; then out (B, H, D);
    scores (B * H, S)"""
    heads = keys.shape[1]
    pairs = part_of(len(scores), chunk)
    one = scores.dtype.type(1)
    for pair in range(pairs.start, pairs.stop):
        b, h = pair // heads, pair % heads
        n = lengths[b] + 1
        p, out_ = scores[pair, :n], out[b, h]
        keys[b, h, n - 1] = k[b, h]
        values[b, h, n - 1] = v[b, h]
        for s in range(n):
            p[s] = dot(keys[b, h, s], q[b, h]) * scale
        shift = largest(p)
        for s in range(n):
            p[s] = exp(p[s] - shift)
        inverse = one / total(p)
        out_[:] = 0
        for s in range(n):
            weight, v_ = p[s] * inverse, values[b, h, s]
            for i in range(v_.size):
                out_[i] += weight * v_[i]


class KVCache:
    """Memory for the keys and values of `size` positions in each layer and sequence.

    lengths (batch,)   positions that each sequence has so far: `attend` writes after them, and who
                       has finished a pass through all layers moves them on
    """

    def __init__(self, layers: int, batch: int, size: int, heads: int, head_size: int):
        shape = (layers, batch, heads, size, head_size)
        self.keys, self.values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.lengths = np.zeros(batch, np.int64)

    def row(self, b: int) -> "KVCache":
        """Sequence b alone: a view of the same memory"""
        one = KVCache.__new__(KVCache)
        one.keys, one.values = self.keys[:, b : b + 1], self.values[:, b : b + 1]
        one.lengths = self.lengths[b : b + 1]
        return one

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Causal attention of q to everything so far, k and v included.

        All are (B, H, T, D), with T = 1, or any T where nothing is kept yet.
        """
        time = q.shape[2]
        if time > 1 and self.lengths.any():
            raise ValueError(
                "KVCache: several positions at once are taken only as the first.\n"
                f"  got {time} after {self.lengths.max()}\n  try one at a time, or lengths[:] = 0"
            )
        keys, values = self.keys[layer], self.values[layer]
        if time > 1:
            call(np.copyto, keys[:, :, :time], k.data)
            call(np.copyto, values[:, :, :time], v.data)
            return scaled_dot_product_attention(q, k, v, is_causal=True)
        q_, k_, v_ = (contiguous(x.data[:, :, 0]) for x in (q, k, v))
        out = empty(q_.shape, q_.dtype)
        scores = empty((q_.shape[0] * q_.shape[1], keys.shape[2]), q_.dtype)
        scale = q_.dtype.type(1 / math.sqrt(q_.shape[-1]))
        kv_cache_step(out, keys, values, scores, q_, k_, v_, self.lengths, scale)
        return Tensor._wrap(out[:, :, None])

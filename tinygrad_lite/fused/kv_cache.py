"""One more position at a time: what attention and token shifts need of earlier ones is kept.

For a query q (D,) of the newest position n, keys K (n + 1, D) and values V (n + 1, D), its own
among them:   out = softmax(K q * scale) V.   No gradients: this is for inference.
"""

import math

import numpy as np

from tinygrad_lite.fused.attention import scaled_dot_product_attention
from tinygrad_lite.fused.token_shift import token_shift
from tinygrad_lite.kernels.arrays import contiguous
from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.rows import dot, largest, total
from tinygrad_lite.kernels.simd import exp
from tinygrad_lite.kernels.watch import procedure
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
        k_, v_, key, value = k[b, h], v[b, h], keys[b, h, n - 1], values[b, h, n - 1]
        for i in range(k_.size):
            key[i] = k_[i]
            value[i] = v_[i]
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


@kernel
def token_shift_step(chunk, out, inputs, x, w, lengths):
    """inputs (B, S, C) receives x (B, C) at position n = lengths[b]; then out (B, C) = x + w (C,)
    times the input at n - 1, where there is one"""
    rows = part_of(len(x), chunk)
    for b in range(rows.start, rows.stop):
        n = lengths[b]
        out_, kept, x_ = out[b], inputs[b, n], x[b]
        for j in range(w.size):
            out_[j] = kept[j] = x_[j]
        if n > 0:
            before = inputs[b, n - 1]
            for j in range(w.size):
                out_[j] += w[j] * before[j]


class KVCache:
    """Memory for the keys and values of `size` positions in each layer and sequence, and for the
    inputs of so many token shifts there.

    lengths (batch,)   positions that each sequence has so far: `attend` writes after them, and who
                       has finished a pass through all layers moves them on
    """

    def __init__(
        self, layers: int, batch: int, size: int, heads: int, head_size: int, shifts: int = 0
    ):
        shape = (layers, batch, heads, size, head_size)
        self.keys = Tensor(np.zeros(shape, np.float32))
        self.values = Tensor(np.zeros(shape, np.float32))
        self.inputs = Tensor(np.zeros((shifts, batch, size, heads * head_size), np.float32))
        self.lengths = Tensor(np.zeros(batch, np.int64))

    def row(self, b: int) -> "KVCache":
        """Sequence b alone: a view of the same memory"""
        one = KVCache.__new__(KVCache)
        one.keys = Tensor(self.keys.data[:, b : b + 1])
        one.values = Tensor(self.values.data[:, b : b + 1])
        one.inputs = Tensor(self.inputs.data[:, b : b + 1])
        one.lengths = Tensor(self.lengths.data[b : b + 1])
        return one

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Causal attention of q to everything so far, k and v included.

        All are (B, H, T, D), with T = 1, or any T where nothing is kept yet.
        """
        keys, values, lengths = self.keys.data[layer], self.values.data[layer], self.lengths.data
        batch, heads, size, head_size = keys.shape
        time = q.shape[2] if q.ndim == 4 else 0
        fits = values.shape == keys.shape and values.dtype == keys.dtype == np.float32
        fits = fits and lengths.shape == (batch,) and lengths.dtype == np.int64
        given = q.shape == k.shape == v.shape == (batch, heads, time, head_size)
        if not (fits and given) or time < 1:
            raise ValueError(
                f"KVCache: q, k and v are (B, H, T, D) with B, H, D = {batch}, {heads},"
                f" {head_size}.\n  got {q.shape}, {k.shape} and {v.shape}\n"
                "  try a cache made for this model and batch"
            )
        _check_room(lengths, time, size)
        q_, k_, v_ = (contiguous(x.data, np.float32) for x in (q, k, v))
        if time > 1:
            keys[:, :, :time] = k_
            values[:, :, :time] = v_
            return scaled_dot_product_attention(q, k, v, is_causal=True)
        out = np.empty_like(q_)
        scores = np.empty((batch * heads, size), np.float32, like=q_)
        scale = np.float32(1 / math.sqrt(head_size))
        flat = (batch, heads, head_size)
        kv_cache_step(out.reshape(flat), keys, values, scores, q_.reshape(flat), k_.reshape(flat),
                      v_.reshape(flat), lengths, scale)  # fmt: skip
        return Tensor._wrap(out)

    def shift(self, place: int, x: Tensor, weight: Tensor) -> Tensor:
        """token_shift of x (B, T, C), T = 1, or any T where nothing is kept yet, for the shift of
        number `place`"""
        inputs, lengths = self.inputs.data[place], self.lengths.data
        batch, size, width = inputs.shape
        time = x.shape[1] if x.ndim == 3 else 0
        fits = x.shape == (batch, time, width) and weight.shape == (width,) and time > 0
        fits = fits and inputs.dtype == np.float32
        if not fits or lengths.shape != (batch,) or lengths.dtype != np.int64:
            raise ValueError(
                f"KVCache: x of a token shift is (B, T, C) with B, C = {batch}, {width}.\n"
                f"  got {x.shape} and a weight {weight.shape}\n"
                "  try a cache made for this model and batch"
            )
        _check_room(lengths, time, size)
        x_, w = contiguous(x.data, np.float32), contiguous(weight.data, np.float32)
        if time > 1:
            inputs[:, :time] = x_
            return token_shift(x, weight)
        out = np.empty_like(x_)
        flat = (batch, width)
        token_shift_step(out.reshape(flat), inputs, x_.reshape(flat), w, lengths)
        return Tensor._wrap(out)


@procedure
def _check_room(lengths: np.ndarray, time: int, size: int) -> None:
    kept = lengths.tolist()  # a few numbers: faster than NumPy's reductions
    if time > 1 and any(kept):
        raise ValueError(
            "KVCache: several positions at once are taken only as the first.\n"
            f"  got {time} after {max(kept)}\n  try one at a time, or lengths.data[:] = 0"
        )
    if kept and (min(kept) < 0 or max(kept) + time > size):
        raise ValueError(
            f"KVCache: there is room for {size} positions.\n"
            f"  got {time} after {max(kept)}\n  try a larger cache, or lengths.data[:] = 0"
        )

"""Scaled dot-product attention (Vaswani and others 2017, section 3.2.1), fused.

For each head, with queries Q (T, D), keys K (S, D) and values V (S, D):

    S = Q K^T * scale,  P = softmax(S) over the keys that a query may see,  O = P V

    dV = P^T dO,  dP = dO V^T,  dS = P * (dP - delta) * scale,  delta = row sums of dO * O
    dQ = dS K,  dK = dS^T Q

With dropout P V is (M * P) V, where M is 1 / (1 - p) or 0: then dV = (M * P)^T dO and
dP = M * (dO V^T); the row sums of dP * P are those of dO * O still.

As in FlashAttention (Dao and others 2022, arXiv:2205.14135) no (T, S) matrix is kept: queries are
taken BLOCK at a time, the keys that a causal mask hides from the whole block are never touched,
and the backward pass computes P again from the maximum and the sum of each row. The products run
on the GEMM's register tiles. One thread works on one head of one batch element, so nothing is
shared.

Kernels take (B, T, H, D), the order in which a linear layer leaves the heads.
"""

import math

import numpy as np

from tinygrad_lite.fused.dropout import (
    _dropout,
    check_probability,
    first_row,
    key_of,
    limit_and_scale,
)
from tinygrad_lite.fused.softmax import softmax
from tinygrad_lite.kernels.arrays import contiguous, float_dtype
from tinygrad_lite.kernels.compile import kernel
from tinygrad_lite.kernels.cpu import ROWS, columns_of
from tinygrad_lite.kernels.gemm import BLOCK_ROWS, multiply
from tinygrad_lite.kernels.pack import pack
from tinygrad_lite.kernels.random_bits import drop
from tinygrad_lite.kernels.rows import LANES, dot, largest, total
from tinygrad_lite.kernels.simd import exp
from tinygrad_lite.kernels.tasks import TAKEN, reset, take, workspace
from tinygrad_lite.kernels.team import get_num_threads
from tinygrad_lite.kernels.watch import constant
from tinygrad_lite.ops.elementwise import add, mul, where
from tinygrad_lite.ops.matmul import matmul
from tinygrad_lite.ops.movement import causal_mask
from tinygrad_lite.tensor import as_tensor, op

BLOCK = 64  # queries at a time: their scores stay in the L2 cache


@kernel
def attention_forward(
    t, out, stats, q, k, v, scale, causal, key, first, limit, kept, counters, spaces
):
    """out (B, T, H, D), stats (B, H, T, 2): for each row of scores its maximum, and 1 / the sum of
    exp(score - maximum). Where the limit is not 0, weights (B, H, T, S) are dropped, see
    dropout.py, and the others multiplied by `kept`; their rows are counted from `first`."""
    batch, time, heads, size = q.shape
    keys = k.shape[1]
    width = columns_of(q)
    wide = (keys + width - 1) // width * width
    ld, row = wide + LANES, heads * size
    q_, k_, v_, out_ = q.reshape(-1), k.reshape(-1), v.reshape(-1), out.reshape(-1)
    space = spaces[t]
    work = batch * heads
    one = q.dtype.type(1)
    scores = BLOCK_ROWS * width
    k_t = scores + BLOCK * ld
    values = k_t + size * wide
    task = take(counters, TAKEN)
    while task < work:
        b, h = task // heads, task % heads
        q_at, k_at = b * time * row + h * size, b * keys * row + h * size
        pack(space, k_t, k_, k_at, 1, row, size, keys)
        pack(space, values, v_, k_at, row, 1, keys, size)
        for i in range(0, time, BLOCK):
            block = min(BLOCK, time - i)
            seen = min(keys, keys - time + i + block) if causal else keys
            seen_wide = (seen + width - 1) // width * width
            multiply(space, scores, ld, q_, q_at + i * row, row, 1, ROWS * row,
                     space, k_t, size * width, block, seen_wide, size, False,
                     space)  # fmt: skip
            for r in range(block):
                row_at = scores + r * ld
                visible = min(seen, keys - time + i + r + 1) if causal else seen
                p = space[row_at : row_at + visible]
                shift = largest(p) * scale
                for j in range(visible):
                    p[j] = exp(p[j] * scale - shift)
                sum_p = total(p)
                inverse = one / sum_p
                stats[b, h, i + r, 0], stats[b, h, i + r, 1] = shift, inverse
                for j in range(visible):
                    p[j] *= inverse
                if limit > 0:
                    drop(p, p, key[0], first + (b * heads + h) * time + i + r, limit, kept)
                space[row_at + visible : row_at + seen] = 0
            multiply(out_, q_at + i * row, row, space, scores, ld, 1, ROWS * ld,
                     space, values, keys * width, block, size, seen, False,
                     space)  # fmt: skip
        task = take(counters, TAKEN)
    reset(counters, len(spaces))


@kernel
def attention_backward(
    t, dq, dk, dv, g, q, k, v, out, stats, scale, causal, key, first, limit, kept, counters, spaces
):
    batch, time, heads, size = q.shape
    keys = k.shape[1]
    width = columns_of(q)
    wide = (keys + width - 1) // width * width
    size_wide = (size + width - 1) // width * width
    ld, row = wide + LANES, heads * size
    q_, k_, v_, g_ = q.reshape(-1), k.reshape(-1), v.reshape(-1), g.reshape(-1)
    dq_, dk_, dv_, out_ = dq.reshape(-1), dk.reshape(-1), dv.reshape(-1), out.reshape(-1)
    space = spaces[t]
    work = batch * heads
    p_at = BLOCK_ROWS * width
    ds_at = p_at + BLOCK * ld
    k_t = ds_at + BLOCK * ld
    v_t = k_t + size * wide
    k_rows = v_t + size * wide
    q_rows = k_rows + keys * size_wide
    g_rows = q_rows + BLOCK * size_wide
    task = take(counters, TAKEN)
    while task < work:
        b, h = task // heads, task % heads
        q_at, k_at = b * time * row + h * size, b * keys * row + h * size
        pack(space, k_t, k_, k_at, 1, row, size, keys)
        pack(space, v_t, v_, k_at, 1, row, size, keys)
        pack(space, k_rows, k_, k_at, row, 1, keys, size)
        for s in range(keys):
            dk_[k_at + s * row : k_at + s * row + size] = 0
            dv_[k_at + s * row : k_at + s * row + size] = 0
        for i in range(0, time, BLOCK):
            block = min(BLOCK, time - i)
            seen = min(keys, keys - time + i + block) if causal else keys
            seen_wide = (seen + width - 1) // width * width
            here = q_at + i * row
            # forward: S = Q K^T * scale, P = exp(S - maximum) * inverse
            multiply(space, p_at, ld, q_, here, row, 1, ROWS * row, space, k_t, size * width,
                     block, seen_wide, size, False, space)  # fmt: skip
            # forward: O = P V, therefore: dP = dO V^T
            multiply(space, ds_at, ld, g_, here, row, 1, ROWS * row, space, v_t, size * width,
                     block, seen_wide, size, False, space)  # fmt: skip
            for r in range(block):
                p_r, ds_r, g_r = p_at + r * ld, ds_at + r * ld, here + r * row
                delta = dot(g_[g_r : g_r + size], out_[g_r : g_r + size])
                visible = min(seen, keys - time + i + r + 1) if causal else seen
                p, ds = space[p_r : p_r + visible], space[ds_r : ds_r + visible]
                shift, inverse = stats[b, h, i + r, 0], stats[b, h, i + r, 1]
                number = first + (b * heads + h) * time + i + r
                if limit > 0:
                    drop(ds, ds, key[0], number, limit, kept)
                for j in range(visible):
                    p[j] = exp(p[j] * scale - shift) * inverse
                    ds[j] = p[j] * (ds[j] - delta) * scale
                if limit > 0:
                    drop(p, p, key[0], number, limit, kept)
                space[p_r + visible : p_r + seen] = 0
                space[ds_r + visible : ds_r + seen] = 0
            pack(space, q_rows, q_, here, row, 1, block, size)
            pack(space, g_rows, g_, here, row, 1, block, size)
            # dQ = dS K,  dK += dS^T Q,  dV += P^T dO
            multiply(dq_, here, row, space, ds_at, ld, 1, ROWS * ld, space, k_rows,
                     keys * width, block, size, seen, False, space)  # fmt: skip
            multiply(dk_, k_at, row, space, ds_at, 1, ld, ROWS, space, q_rows,
                     block * width, seen, size, block, True, space)  # fmt: skip
            multiply(dv_, k_at, row, space, p_at, 1, ld, ROWS, space, g_rows,
                     block * width, seen, size, block, True, space)  # fmt: skip
        task = take(counters, TAKEN)
    reset(counters, len(spaces))


def _spaces(q: np.ndarray, keys: int) -> np.ndarray:
    """Scratch for each thread: the edge tile, two blocks of scores, packed keys and values."""
    size = q.shape[-1]
    width = columns_of(q)
    wide, size_wide = -(-keys // width) * width, -(-size // width) * width
    need = (
        BLOCK_ROWS * width
        + 2 * BLOCK * (wide + LANES)
        + 2 * size * wide
        + keys * size_wide
        + 2 * BLOCK * size_wide
    )
    return workspace().get("attention", q.dtype, get_num_threads(), need)


def _heads_inside(x, dtype):
    """(B, H, T, D) to C-contiguous (B, T, H, D): no copy if the heads come from a linear layer"""
    return contiguous(np.swapaxes(x, 1, 2), dtype)


@op
def _attention(q, k, v, key, is_causal, scale, p, first):
    dtype = float_dtype(q, k, v)
    scale = dtype.type(scale)
    dropping = key, first, *limit_and_scale(p, dtype)
    q, k, v = (_heads_inside(x, dtype) for x in (q, k, v))
    out = np.empty_like(q)
    stats = np.empty((q.shape[0], q.shape[2], q.shape[1], 2), dtype, like=q)
    spaces = _spaces(q, k.shape[1])
    attention_forward.run(len(spaces), len(spaces), out, stats, q, k, v, scale, is_causal,
                          *dropping, workspace().counters, spaces)  # fmt: skip

    def vjp(g):
        dq, dk, dv = np.empty_like(q), np.empty_like(k), np.empty_like(v)
        spaces = _spaces(q, k.shape[1])
        g = _heads_inside(g, dtype)
        attention_backward.run(len(spaces), len(spaces), dq, dk, dv, g, q, k, v, out, stats,
                               scale, is_causal, *dropping, workspace().counters,
                               spaces)  # fmt: skip
        return tuple(np.swapaxes(d, 1, 2) for d in (dq, dk, dv))

    return np.swapaxes(out, 1, 2), vjp


def scaled_dot_product_attention(
    q,
    k,
    v,
    is_causal=False,
    scale=None,
    dropout_p=0.0,
    seed=None,
    return_weights=False,
    attn_mask=None,
):
    """softmax(q k^T * scale) v for q (B, H, T, D), k and v (B, H, S, D): (B, H, T, D).

    is_causal   a query sees the keys up to its own position; with S > T the last query sees all
    scale       1 / sqrt(D) unless given
    dropout_p   probability with which an attention weight is dropped; needs seed, a number or a
                numpy.random.Generator
    return_weights  also return the weights (B, H, T, S), before some are dropped; the composed
                path, which keeps them
    attn_mask   broadcasts to (B, H, T, S): booleans, true where a query may look, or numbers that
                are added to the scores; the composed path

    >>> tg.scaled_dot_product_attention(*3 * [tg.ones(1, 1, 2, 4)]).tolist()
    [[[[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]]]
    """
    if q.ndim != 4 or k.shape != v.shape or k.ndim != 4 or q.shape[:2] != k.shape[:2] \
            or q.shape[3] != k.shape[3] or (is_causal and q.shape[2] > k.shape[2]):  # fmt: skip
        raise ValueError(
            "scaled_dot_product_attention: q is (B, H, T, D), k and v are (B, H, S, D), and for"
            f" causal attention T <= S.\n  got {q.shape}, {k.shape} and {v.shape}\n"
            "  try x.reshape(B, T, H, D).transpose(1, 2)"
        )
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    check_probability(dropout_p)
    first = first_row(q.shape) if dropout_p else 0  # before anything is drawn: it may refuse
    key = key_of(seed) if dropout_p else constant(np.zeros(1, np.uint64))
    if not return_weights and attn_mask is None:
        return _attention(q, k, v, key, is_causal=is_causal, scale=scale, p=dropout_p, first=first)
    weights = attention_weights(q, k, is_causal, scale, attn_mask)
    kept = _dropout(weights, key, p=dropout_p, first=first) if dropout_p else weights
    out = matmul(kept, v)
    return (out, weights) if return_weights else out


def attention_weights(q, k, is_causal, scale, attn_mask=None):
    """softmax(q k^T * scale) over the visible keys, composed: (B, H, T, S)

    >>> tg.attention_weights(tg.ones(1, 1, 2, 4), tg.ones(1, 1, 2, 4), True, 0.5).tolist()
    [[[[1.0, 0.0], [0.5, 0.5]]]]
    """
    if attn_mask is not None and attn_mask.dtype.kind not in "bf":
        raise TypeError(
            "attention: a mask is of booleans, true where a query may look, or of fractions that"
            f" are added to the scores.\n  got {attn_mask.dtype}\n  try mask.astype(bool)"
        )
    scores = mul(matmul(q, as_tensor(k).transpose(-2, -1)), scale)
    if attn_mask is not None:
        allowed = attn_mask.dtype.kind == "b"
        scores = where(attn_mask, scores, -np.inf) if allowed else add(scores, attn_mask)
    return softmax(causal_mask(scores) if is_causal else scores)

"""What ops compute, in NumPy."""

import math

import numpy as np


def np_assigned(x, index, values):
    y = x.copy()
    y[index] = values
    return y


def np_at(function, x, index, values):
    y = x.copy()
    function.at(y, index, values)
    return y


def np_unfold(x, axis, size, step):
    moved = np.moveaxis(x, axis, -1)
    starts = range(0, moved.shape[-1] - size + 1, step)
    return np.moveaxis(np.stack([moved[..., s : s + size] for s in starts], -2), -2, axis % x.ndim)


def np_softmax(x, axis=-1):
    p = np.exp(x - x.max(axis, keepdims=True))
    return p / p.sum(axis, keepdims=True)


def np_largest_finite(x, axis=None, keepdim=False):
    return np.max(x, axis, keepdims=True)


def np_logsumexp(x, axis=None, keepdim=False):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdim))


def np_layernorm(x, w, b=0.0):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred**2, -1, keepdims=True) + 1e-5) * w + b


def np_rmsnorm(x, w=1.0):
    return x / np.sqrt(np.mean(x * x, -1, keepdims=True) + 1e-6) * w


def np_token_shift(x, w):
    before = np.concatenate([np.zeros_like(x[..., :1, :]), x], axis=-2)[..., :-1, :]
    return x + before[..., : x.shape[-2], :] * w


def np_attention(q, k, v, causal, scale):
    scores = np.einsum("bhtd,bhsd->bhts", q, k) * scale
    if causal:
        t, s = scores.shape[-2:]
        scores = np.where(np.arange(s) > np.arange(t)[:, None] + s - t, -np.inf, scores)
    return np.einsum("bhts,bhsd->bhtd", np_softmax(scores), v)


def np_dropout(x, p, seed):
    """Of a row, and of a column, bits by SplitMix64 and MurmurHash3, see kernels/random_bits.py"""

    def mixed(x, *steps):
        for shift, factor in steps:
            x = x ^ (x >> x.dtype.type(shift))
            x = x * x.dtype.type(factor)
        return x

    x = np.asarray(x)
    rows, columns = (x.size, 1) if x.ndim < 2 else (math.prod(x.shape[:-1]), x.shape[-1])
    key = np.random.default_rng(seed).integers(0, 1 << 64, dtype=np.uint64)
    z = key + np.arange(1, rows + 1, dtype=np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15)
    z = mixed(z, (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
    z ^= z >> np.uint64(31)
    lower, upper = z.astype(np.uint32), (z >> np.uint64(32)).astype(np.uint32)
    bits = np.arange(columns, dtype=np.uint32) * np.uint32(0x9E3779B9) + lower
    bits = mixed(bits, (16, 0x85EBCA6B)) ^ upper
    bits = mixed(bits, (13, 0xC2B2AE35))
    bits ^= bits >> np.uint32(16)
    return x * (bits >= p * 2**32).reshape(x.shape) / (1 - p)


def np_cross_entropy(x, t):
    log_p = x - np_logsumexp(x, -1, True)
    counted = t != -100
    chosen = np.take_along_axis(log_p, np.where(counted, t, 0)[..., None], -1)[..., 0]
    return -np.sum(chosen * counted) / counted.sum()


def np_rotary(x, cos, sin):
    half = x.shape[-1] // 2
    a, b, c, s = x[..., :half], x[..., half:], cos[:, None], sin[:, None]
    return np.concatenate([a * c - b * s, b * c + a * s], -1)


def np_gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def reduction(function, **fixed):
    return lambda x, axis=None, keepdim=False: function(x, axis=axis, keepdims=keepdim, **fixed)


def np_convolution(x, w, b, given):
    """Window by window"""
    pairs = {k: v if isinstance(v, tuple) else (v, v) for k, v in given.items() if k != "groups"}
    (sh, sw), (ph, pw), (dh, dw) = pairs["stride"], pairs["padding"], pairs["dilation"]
    groups, (outputs, channels, kh, kw) = given["groups"], w.shape
    x = np.pad(x, [(0, 0), (0, 0), (ph, ph), (pw, pw)])
    height = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1
    width = (x.shape[3] - dw * (kw - 1) - 1) // sw + 1
    y = np.zeros((len(x), outputs, height, width))
    for o in range(outputs):
        first = o // (outputs // groups) * channels
        for i in range(height):
            for j in range(width):
                window = x[:, first : first + channels, i * sh :, j * sw :]
                window = window[:, :, : dh * (kh - 1) + 1 : dh, : dw * (kw - 1) + 1 : dw]
                y[:, o, i, j] = np.sum(window * w[o], axis=(1, 2, 3)) + b[o]
    return y


def np_pool(function, x, fill):
    """Windows (3, 2) at steps of 2 of x padded by 1, the last of which may reach beyond"""
    _, _, h, w = x.shape
    rows = -(-(h - 1) // 2) + 1
    rows -= (rows - 1) * 2 >= h + 1
    columns = -(-w // 2) + 1
    columns -= (columns - 1) * 2 >= w + 1
    x = np.pad(x, [(0, 0), (0, 0), (1, 4), (1, 4)], constant_values=fill)
    return np.array(
        [
            [[[function(m[2 * i : 2 * i + 3, 2 * j : 2 * j + 2]) for j in range(columns)]
              for i in range(rows)] for m in image]
            for image in x
        ]
    )  # fmt: skip


def np_sigmoid(x):
    return 1 / (1 + np.exp(-x))


def np_rnn(x, h, w):
    found = []
    for a in x:
        h = np.tanh(a + h @ w.T)
        found.append(h)
    return np.array(found)


def np_lstm(x, h, w):
    c, hs, cs = h * 0.5, [], []
    for a in x:
        i, f, g, o = np.split(a + h @ w.T, 4, -1)
        c = np_sigmoid(f) * c + np_sigmoid(i) * np.tanh(g)
        h = np_sigmoid(o) * np.tanh(c)
        hs.append(h)
        cs.append(c)
    return np.array([hs, cs])


def np_gru(x, h, w):
    found = []
    for a in x:
        (xr, xz, xn), (ur, uz, un) = (np.split(v, 3, -1) for v in (a, h @ w.T + w.sum(1)))
        r, z = np_sigmoid(xr + ur), np_sigmoid(xz + uz)
        n = np.tanh(xn + r * un)
        h = (1 - z) * n + z * h
        found.append(h)
    return np.array(found)


def np_convolution_weights(g, x):
    padded = np.pad(x, [(0, 0), (0, 0), (0, 0), (1, 1), (0, 0)])
    places = [(i, j) for i in range(3) for j in range(2)]
    found = [np.einsum("bozhw,bczhw->ocz", g, padded[..., i : i + 5, j : j + 4]) for i, j in places]
    return np.stack(found, -1).reshape(2, 3, 1, 3, 2)

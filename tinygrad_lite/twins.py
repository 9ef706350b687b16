"""Fused ops once more, made of ops: what can be differentiated twice.

By the names of ops. A twin takes an op's operands and settings, and gives its value as a Tensor, or
(anything, vjp) where its gradients are better written down than found. The tests compare each with
its op. What has no twin, and no body in NumPy, is named in ONCE, with what to do.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lite.fused import pooling
from tinygrad_lite.fused.activations import _leaky_relu
from tinygrad_lite.fused.activations import sigmoid as logistic
from tinygrad_lite.fused.convolution import _convolution, _convolution_weights
from tinygrad_lite.fused.dropout import _dropout
from tinygrad_lite.fused.linear import from_stored, is_stored
from tinygrad_lite.kernels.watch import constant
from tinygrad_lite.ops.comparisons import gt, ne
from tinygrad_lite.ops.elementwise import where
from tinygrad_lite.ops.indexing import gather, getitem
from tinygrad_lite.ops.joining import cat, chunk, stack
from tinygrad_lite.ops.movement import causal_mask, expand
from tinygrad_lite.ops.reductions import logsumexp
from tinygrad_lite.ops.transcendental import erf, exp, logaddexp, tanh
from tinygrad_lite.tensor import Tensor, as_tensor

ONCE = {
    "multiplied": "scatter_reduce of logarithms with 'sum'",
    "extreme_at": "the largest of what is gathered",
}


def relu(x: Tensor) -> Tensor:
    return where(gt(x, 0), x, 0)


def relu_squared(x: Tensor) -> Tensor:
    return relu(x) * relu(x)


def sigmoid(x: Tensor) -> tuple[Tensor, Callable]:
    return x, lambda g: (g * (logistic(x) * logistic(-x)),)  # exact far from 0 too


def silu(x: Tensor) -> Tensor:
    return x * logistic(x)


def softplus(x: Tensor) -> Tensor:
    return logaddexp(x, 0.0)


def leaky_relu(g: Tensor, x: Tensor, slope: float) -> tuple[Tensor, Callable]:
    return g, lambda h: (_leaky_relu(h, x, slope=slope), None)


def gelu_exact(x: Tensor) -> Tensor:
    return x * (erf(x * math.sqrt(0.5)) + 1) * 0.5


def gelu_tanh(x: Tensor) -> Tensor:
    inner = (x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)
    return x * (tanh(inner) + 1) * 0.5


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    return x - logsumexp(x, axis, True)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    return exp(log_softmax(x, axis))


def layernorm(x: Tensor, weight: Tensor, bias: Any = None, eps: float = 1e-5) -> Tensor:
    centred = x - x.mean(-1, True)
    y = centred * ((centred * centred).mean(-1, True) + eps).rsqrt() * weight
    return y if bias is None else y + bias


def rmsnorm(x: Tensor, weight: Any = None, eps: float = 1e-6) -> Tensor:
    y = x * ((x * x).mean(-1, True) + eps).rsqrt()
    return y if weight is None else y * weight


def batchnorm(x: Tensor, weight: Any, bias: Any, moments: Any, eps: float) -> Tensor:
    axes, channels = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
    centred = x - x.mean(axes, True)
    y = centred * ((centred * centred).mean(axes, True) + eps).rsqrt()
    y = y if weight is None else y * weight.reshape(channels)
    return y if bias is None else y + bias.reshape(channels)


def _read(weight: Any) -> Tensor:
    """The numbers of a matrix that may be stored in fewer bits"""
    weight = as_tensor(weight)
    return Tensor(from_stored(weight.data)) if is_stored(weight) else weight


def linear(x: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    y = x @ _read(weight).transpose()
    return y if bias is None else y + bias


def token_shift(x: Tensor, weight: Tensor) -> Tensor:
    widths = [*[(0, 0)] * (x.ndim - 2), (1, 0), (0, 0)]
    return x + getitem(x.pad(widths), (..., slice(x.shape[-2]), slice(None))) * weight


def dropout(x: Tensor, key: Any, p: float, first: int) -> tuple[Tensor, Callable]:
    return x, lambda g: (_dropout(g, key, p=p, first=first), None)


def attention(
    q: Tensor, k: Tensor, v: Tensor, key: Any, is_causal: bool, scale: float, p: float, first: int
) -> Tensor:
    scores = q @ as_tensor(k).transpose() * scale  # an array would turn all its axes around
    weights = softmax(causal_mask(scores) if is_causal else scores)
    return (_dropout(weights, key, p=p, first=first) if p else weights) @ v


def cross_entropy(logits: Tensor, targets: Any, ignore_index: int = -100) -> Tensor:
    targets = targets if isinstance(targets, Tensor) else Tensor(constant(np.asarray(targets)))
    counts = ne(targets, ignore_index)
    places = where(counts, targets, 0).astype(np.int64)
    chosen = gather(log_softmax(logits), -1, places.unsqueeze(-1)).squeeze(-1)
    return -where(counts, chosen, 0).sum() / counts.astype(logits.dtype).sum()


def embedding(index: Any, weight: Tensor) -> Tensor:
    return getitem(weight, index)


def rotary(x: Tensor, cos: Any, sin: Any) -> Tensor:
    a, b = chunk(x, 2, -1)
    c, s = (t.data if isinstance(t, Tensor) else t for t in (cos, sin))
    c, s = (t[..., None, :] for t in (c, s))
    return cat([a * c - b * s, b * c + a * s], -1)


def prod(x: Tensor, axis: Any = None, keepdim: bool = False) -> Tensor:
    """Products of pairs, and of these"""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    given = [a % x.ndim for a in axes] if x.ndim else []
    rest = [i for i in range(x.ndim) if i not in given]
    count = int(np.prod([x.shape[i] for i in given], dtype=int))
    y = x.permute(*rest, *given).reshape(*[x.shape[i] for i in rest], count)
    if count == 0:
        y = y.sum(-1, True) + 1
    while y.shape[-1] > 1:
        half = y.shape[-1] // 2
        pairs = y[..., :half] * y[..., half : 2 * half]
        y = cat([pairs, y[..., 2 * half :]], -1) if y.shape[-1] % 2 else pairs
    shape = [1 if i in given else n for i, n in enumerate(x.shape)]
    y = y.reshape(*shape)
    return y if keepdim else y.squeeze(tuple(given)) if given else y


def _each_start(x: Tensor, axis: int, fill: float) -> Tensor:
    """(..., n, n): in row i, the first i + 1 elements of an axis, which is made the last, and
    `fill`"""
    moved = x.movedim(axis, -1)
    n = moved.shape[-1]
    rows = expand(moved.unsqueeze(-2), (*moved.shape[:-1], n, n))
    return where(constant(np.tril(np.ones((n, n), bool))), rows, fill)


def cumprod(x: Tensor, axis: int = 0) -> Tensor:
    return prod(_each_start(x, axis, 1.0), -1).movedim(-1, axis) if x.ndim else x


def logcumsumexp(x: Tensor, axis: int = 0) -> Tensor:
    if not x.ndim:
        return x
    return logsumexp(_each_start(x, axis, -math.inf), -1).movedim(-1, axis)


def max_pool(x: Tensor, windows: Any, steps: Any) -> Tensor:
    places = pooling._max_places(x.detach(), windows, steps)
    rows = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
    return gather(rows, -1, places.reshape(*places.shape[:2], -1)).reshape(places.shape)


def mean_pool(x: Tensor, windows: Any, divisor: float) -> tuple[Tensor, Callable]:
    return x, lambda g: (pooling._mean_spread(g, windows, divisor, x.shape),)


def mean_spread(g: Tensor, windows: Any, divisor: float, shape: Any) -> tuple[Tensor, Callable]:
    return g, lambda h: (pooling._mean_pool(h, windows, divisor),)


def convolution(
    x: Tensor, w: Tensor, bias: Any, *, groups: int, transposed: Any = None, **how: Any
) -> tuple[Tensor, Callable]:
    def vjp(g: Tensor) -> tuple:
        back = x.shape[2:] if transposed is None else None
        y_side, x_side = (g, x) if transposed is None else (x, g)
        return (
            _convolution(g, w, None, groups=groups, transposed=back, **how),
            _convolution_weights(y_side, x_side, shape=w.shape, groups=groups, **how),
            g.sum((0, 2, 3, 4)),
        )

    return x, vjp


def convolution_weights(
    g: Tensor, x: Tensor, shape: Any, *, groups: int, **how: Any
) -> tuple[Tensor, Callable]:
    def vjp(h: Tensor) -> tuple:
        return (
            _convolution(x, h, None, groups=groups, **how),
            _convolution(g, h, None, groups=groups, transposed=x.shape[2:], **how),
        )

    return g, vjp


def rnn(x: Tensor, h: Tensor, w: Tensor, relu_: bool) -> Tensor:
    found, w = [], _read(w)
    for a in x:
        a = a + h @ w.transpose()
        h = relu(a) if relu_ else tanh(a)
        found.append(h)
    return stack(found)


def lstm(x: Tensor, h: Tensor, c: Tensor, w: Tensor) -> Tensor:
    hs, cs, w = [], [], _read(w)
    for a in x:
        i, f, g, o = chunk(a + h @ w.transpose(), 4, -1)
        c = logistic(f) * c + logistic(i) * tanh(g)
        h = logistic(o) * tanh(c)
        hs.append(h)
        cs.append(c)
    return stack([stack(hs), stack(cs)])


def gru(x: Tensor, h: Tensor, w: Tensor, b: Tensor) -> Tensor:
    found, w = [], _read(w)
    for a in x:
        (xr, xz, xn), (ur, uz, un) = chunk(a, 3, -1), chunk(h @ w.transpose() + b, 3, -1)
        r, z = logistic(xr + ur), logistic(xz + uz)
        n = tanh(xn + r * un)
        h = n + z * (h - n)
        found.append(h)
    return stack(found)


TWINS: dict[str, Callable] = {
    f.__name__: f
    for f in (relu, relu_squared, leaky_relu, sigmoid, silu, softplus, gelu_exact, gelu_tanh,
              log_softmax, softmax, layernorm, rmsnorm, batchnorm, linear, token_shift, dropout,
              attention, cross_entropy, embedding, rotary, prod, cumprod, logcumsumexp, max_pool,
              mean_pool, mean_spread, convolution, convolution_weights, rnn, lstm, gru)
}  # fmt: skip

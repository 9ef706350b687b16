"""Activations with a kernel: ReLU, leaky and squared, GELU, its tanh form, SiLU, sigmoid, softplus.

relu(x)      = max(x, 0)
gelu(x)      = x * Phi(x) = x/2 * (1 + erf(x / sqrt 2))          (Hendrycks, Gimpel 2016)
gelu_tanh(x) = x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))  (the same, section 2)
sigmoid(x)   = 1 / (1 + exp(-x)) = (1 + tanh(x/2)) / 2
silu(x)      = x * sigmoid(x)                                     (Elfwing and others 2017)
softplus(x)  = log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))
relu_squared(x) = max(x, 0)^2                                     (So and others 2021, "Primer")

(1 + tanh(u)) / 2 is computed as sigmoid(2u), which is exact also where tanh(u) is near -1. Each
backward kernel computes dx = g * f'(x) from x: recomputing costs less than storing.
"""

import math

import numpy as np

from tinygrad_lite.kernels.arrays import contiguous, float_dtype
from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.simd import exp, log1p, logistic, logistic_pair, normal
from tinygrad_lite.tensor import Own, as_tensor, op

_DENSITY_AT_0 = 1 / math.sqrt(2 * math.pi)
_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


@kernel
def relu_forward(chunk, y, x):
    zero, part = x.dtype.type(0), part_of(x.size, chunk)
    y, x = y[part], x[part]
    for i in range(x.size):
        y[i] = zero if x[i] <= zero else x[i]


@kernel
def relu_backward(chunk, dx, g, x):
    zero, part = x.dtype.type(0), part_of(x.size, chunk)
    dx, g, x = dx[part], g[part], x[part]
    for i in range(x.size):
        dx[i] = zero if x[i] <= zero else g[i]


@kernel
def leaky_relu_kernel(chunk, y, g, x, slope):
    zero, part = x.dtype.type(0), part_of(x.size, chunk)
    y, g, x = y[part], g[part], x[part]
    for i in range(x.size):
        y[i] = g[i] if x[i] > zero else slope * g[i]


@kernel
def gelu_forward(chunk, y, x):
    part = part_of(x.size, chunk)
    y, x = y[part], x[part]
    for i in range(x.size):
        phi, _ = normal(x[i])
        y[i] = x[i] * phi


@kernel
def gelu_backward(chunk, dx, g, x):
    density, part = x.dtype.type(_DENSITY_AT_0), part_of(x.size, chunk)
    dx, g, x = dx[part], g[part], x[part]
    for i in range(x.size):
        # forward: y = x * Phi(x), therefore: dx = g * (Phi(x) + x * density(x))
        phi, e = normal(x[i])
        dx[i] = g[i] * (phi + x[i] * density * e)


@kernel
def gelu_tanh_forward(chunk, y, x):
    f = x.dtype.type
    scale, cubic = f(2 * _SQRT_2_OVER_PI), f(_CUBIC)
    part = part_of(x.size, chunk)
    y, x = y[part], x[part]
    for i in range(x.size):
        v = x[i]
        y[i] = v * logistic(scale * (v + cubic * v * v * v))


@kernel
def gelu_tanh_backward(chunk, dx, g, x):
    f = x.dtype.type
    one, scale, cubic, three = f(1), f(2 * _SQRT_2_OVER_PI), f(_CUBIC), f(3)
    part = part_of(x.size, chunk)
    dx, g, x = dx[part], g[part], x[part]
    for i in range(x.size):
        # forward: u = scale * (x + cubic * x^3), s = sigmoid(u), y = x * s, therefore:
        v = x[i]
        s, rest = logistic_pair(scale * (v + cubic * v * v * v))
        du = scale * (one + three * cubic * v * v)
        dx[i] = g[i] * (s + v * s * rest * du)


@kernel
def silu_forward(chunk, y, x):
    part = part_of(x.size, chunk)
    y, x = y[part], x[part]
    for i in range(x.size):
        y[i] = x[i] * logistic(x[i])


@kernel
def silu_backward(chunk, dx, g, x):
    one = x.dtype.type(1)
    part = part_of(x.size, chunk)
    dx, g, x = dx[part], g[part], x[part]
    for i in range(x.size):
        # forward: s = sigmoid(x), y = x * s, therefore: dx = g * s * (1 + x * (1 - s))
        s, rest = logistic_pair(x[i])
        dx[i] = g[i] * s * (one + x[i] * rest)


@kernel
def sigmoid_forward(chunk, y, x):
    part = part_of(x.size, chunk)
    y, x = y[part], x[part]
    for i in range(x.size):
        y[i] = logistic(x[i])


@kernel
def sigmoid_backward(chunk, dx, g, x):
    part = part_of(x.size, chunk)
    dx, g, x = dx[part], g[part], x[part]
    for i in range(x.size):
        # forward: y = sigmoid(x), therefore: dx = g * y * (1 - y)
        y, rest = logistic_pair(x[i])
        dx[i] = g[i] * (y * rest)


@kernel
def softplus_forward(chunk, y, x):
    zero, part = x.dtype.type(0), part_of(x.size, chunk)
    y, x = y[part], x[part]
    for i in range(x.size):
        positive = x[i] if x[i] > zero else zero
        y[i] = positive + log1p(exp(-abs(x[i])))


@kernel
def softplus_backward(chunk, dx, g, x):
    part = part_of(x.size, chunk)
    dx, g, x = dx[part], g[part], x[part]
    for i in range(x.size):
        dx[i] = g[i] * logistic(x[i])


@kernel
def relu_squared_forward(chunk, y, x):
    zero = x.dtype.type(0)
    part = part_of(x.size, chunk)
    y, x = y[part], x[part]
    for i in range(x.size):
        r = zero if x[i] < zero else x[i]
        y[i] = r * r


@kernel
def relu_squared_backward(chunk, dx, g, x):
    zero = x.dtype.type(0)
    part = part_of(x.size, chunk)
    dx, g, x = dx[part], g[part], x[part]
    for i in range(x.size):
        # forward: y = max(x, 0)^2, therefore: dx = 2 * g * max(x, 0)
        r = zero if x[i] < zero else x[i]
        dx[i] = g[i] * (r + r)


def _each(x, forward, backward):
    x = contiguous(x, float_dtype(x))
    y = np.empty_like(x)
    forward(y.reshape(-1), x.reshape(-1))

    def vjp(g):
        dx = np.empty_like(x)
        backward(dx.reshape(-1), contiguous(g).reshape(-1), x.reshape(-1))
        return (dx,)

    return y, vjp


@op
def relu(x):
    """max(x, 0)

    >>> tg.relu([-1, 2]).tolist()
    [0.0, 2.0]
    """
    return _each(x, relu_forward, relu_backward)


@op
def _gelu_exact(x):
    return _each(x, gelu_forward, gelu_backward)


@op
def _gelu_tanh(x):
    return _each(x, gelu_tanh_forward, gelu_tanh_backward)


@op
def silu(x):
    """x * sigmoid(x)

    >>> tg.silu([-1, 1]).tolist()
    [-0.2689, 0.7311]
    """
    return _each(x, silu_forward, silu_backward)


@op
def sigmoid(x):
    """1 / (1 + exp(-x))

    >>> tg.sigmoid([0, 2]).tolist()
    [0.5, 0.8808]
    """
    return _each(x, sigmoid_forward, sigmoid_backward)


@op
def softplus(x):
    """log(1 + exp(x)), without overflow

    >>> tg.softplus([0, 2]).tolist()
    [0.6931, 2.1269]
    """
    return _each(x, softplus_forward, softplus_backward)


@op
def relu_squared(x):
    """max(x, 0)^2

    >>> tg.relu_squared([-1, 3]).tolist()
    [0.0, 9.0]
    """
    return _each(x, relu_squared_forward, relu_squared_backward)


@op
def _leaky_relu(g, x, slope):
    """g where x > 0, else slope * g: all derivatives of leaky_relu, and with g = x itself"""
    dtype = float_dtype(x)
    x = contiguous(x, dtype)

    def scaled(g):
        y = np.empty_like(x)
        g = contiguous(g, dtype)
        leaky_relu_kernel(y.reshape(-1), g.reshape(-1), x.reshape(-1), dtype.type(slope))
        return y

    return scaled(g), lambda g: (Own(lambda: scaled(g)), None)


def leaky_relu(x, negative_slope=0.01):
    """x where x > 0, else negative_slope * x

    >>> tg.leaky_relu([-1, 2], 0.1).tolist()
    [-0.1, 2.0]
    """
    x = as_tensor(x)
    return _leaky_relu(x, x.detach(), slope=negative_slope)


def gelu(x, approximate="none"):
    """x * Phi(x), Phi the normal distribution; approximate="tanh" is the form that GPT-2 uses.

    >>> tg.gelu([-1, 1]).tolist()
    [-0.1587, 0.8413]
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(
            "gelu: there is an exact form and one with tanh.\n"
            f"  got approximate={approximate!r}\n  try 'none' or 'tanh'"
        )
    return _gelu_tanh(x) if approximate == "tanh" else _gelu_exact(x)

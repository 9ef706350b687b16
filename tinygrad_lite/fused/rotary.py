"""Rotary position embedding (Su and others 2021, arXiv:2104.09864, section 3.2).

The head is cut into halves a, b. The pair (a[i], b[i]) at position t turns by the angle
t * base^(-2i/D):   a' = a cos - b sin,   b' = b cos + a sin
The gradient turns back: the same with -sin.
"""

import numpy as np

from tinygrad_lite.kernels.arrays import contiguous, float_dtype
from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.tensor import op


@kernel
def rotary_kernel(chunk, y, x, cos, sin, sign):
    """x, y (B * T, H * D); cos, sin (T or B * T, D/2); sign is 1 forward and -1 backward"""
    rows, (time, half) = part_of(len(x), chunk), cos.shape
    y, x = y[rows], x[rows]
    for n in range(len(x)):
        t = (rows.start + n) % time
        c, s = cos[t], sin[t]
        for h in range(0, x.shape[1], 2 * half):
            a, b = x[n, h : h + half], x[n, h + half : h + 2 * half]
            a_turned, b_turned = y[n, h : h + half], y[n, h + half : h + 2 * half]
            for i in range(half):
                a_turned[i] = a[i] * c[i] - b[i] * (s[i] * sign)
                b_turned[i] = b[i] * c[i] + a[i] * (s[i] * sign)


def _fits(cos, sin, shape):
    batch, time, _, size = shape
    return cos == sin and cos in ((time, size // 2), (batch, time, size // 2))


@op
def rotary(x, cos, sin):
    """Turn x (B, T, H, D) by the angles whose cos and sin, (T, D/2) or (B, T, D/2), are given."""
    if x.ndim != 4 or x.shape[3] % 2 or not _fits(cos.shape, sin.shape, x.shape):
        raise ValueError(
            "rotary: x is (B, T, H, D) with an even D, cos and sin are (T, D/2) or (B, T, D/2).\n"
            f"  got x {x.shape}, cos {cos.shape} and sin {sin.shape}\n"
            "  try cos, sin = rotary_angles(T, D)"
        )
    x = contiguous(x, float_dtype(x))
    cos, sin = (contiguous(a, x.dtype).reshape(-1, x.shape[3] // 2) for a in (cos, sin))
    one = x.dtype.type(1)

    def turned(a, sign):
        y = np.empty_like(x)
        rows = (x.shape[0] * x.shape[1], x.shape[2] * x.shape[3])
        rotary_kernel(y.reshape(rows), contiguous(a).reshape(rows), cos, sin, sign)
        return y

    return turned(x, one), lambda g: (turned(g, -one), None, None)


def rotary_angles(time, size, base=10000.0, start=0):
    """cos and sin (time, size/2), float32, of the angles of positions start, start + 1, ..."""
    frequency = base ** (-np.arange(0, size, 2) / size)
    angles = np.outer(np.arange(start, start + time), frequency)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)

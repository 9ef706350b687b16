"""Rotary position embedding (Su and others 2021, arXiv:2104.09864, section 3.2).

The head is cut into halves a, b. The pair (a[i], b[i]) at position t turns by the angle
t * base^(-2i/D):   a' = a cos - b sin,   b' = b cos + a sin
The gradient turns back: the same with -sin.
"""

import numpy as np
from numba import prange

from tinygrad_lite.kernels.compile import kernel
from tinygrad_lite.tensor import op


@kernel
def rotary_kernel(y, x, cos, sin, sign):
    """x, y (N, T, H, D); cos, sin (T, D/2); sign is 1 forward and -1 backward"""
    batch, time, heads, size = x.shape
    half = size // 2
    for n in prange(batch * time):
        t = n % time
        for h in range(heads):
            a, b = x[n // time, t, h, :half], x[n // time, t, h, half:]
            for i in range(half):
                c, s = cos[t, i], sin[t, i] * sign
                y[n // time, t, h, i] = a[i] * c - b[i] * s
                y[n // time, t, h, half + i] = b[i] * c + a[i] * s


@op
def rotary(x, cos, sin):
    """Turn x (B, T, H, D) by the angles whose cos and sin (T, D/2) are given."""
    if x.ndim != 4 or cos.shape != (x.shape[1], x.shape[3] // 2) or x.shape[3] % 2:
        raise ValueError(
            "rotary: x is (B, T, H, D) with an even D, cos and sin are (T, D/2).\n"
            f"  got x {x.shape} and cos {cos.shape}\n  try cos, sin = rotary_angles(T, D)"
        )
    x = np.ascontiguousarray(x)
    cos, sin = (np.ascontiguousarray(a, x.dtype) for a in (cos, sin))
    one = x.dtype.type(1)

    def turned(a, sign):
        y = np.empty_like(x)
        rotary_kernel(y, np.ascontiguousarray(a), cos, sin, sign)
        return y

    return turned(x, one), lambda g: (turned(g, -one), None, None)


def rotary_angles(time, size, base=10000.0, start=0):
    """cos and sin (time, size/2), float32, of the angles of positions start, start + 1, ..."""
    frequency = base ** (-np.arange(0, size, 2) / size)
    angles = np.outer(np.arange(start, start + time), frequency)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)

"""Batch norm (Ioffe, Szegedy 2015, arXiv:1502.03167) of each channel of x (B, C, S), over the batch
and its S places: n = B * S numbers.

xhat = (x - mean) / sqrt(var + eps),  y = xhat * w + b
    dx = w / sqrt(var + eps) * (g - mean(g) - xhat * mean(g * xhat))
    dw = sum of g * xhat,  db = sum of g
"""

import math

import numpy as np

from tinygrad_lite.kernels.arrays import contiguous, float_dtype
from tinygrad_lite.kernels.compile import CHUNKS, kernel, part_of
from tinygrad_lite.kernels.rows import dot, total
from tinygrad_lite.kernels.watch import constant
from tinygrad_lite.tensor import op


@kernel
def moments_kernel(chunk, out, x, spaces):
    """out (2, C): mean and variance of each channel; spaces (CHUNKS, S)"""
    batch, channels, places = x.shape
    own, space = part_of(channels, chunk), spaces[chunk]
    n = max(1, batch * places)
    means, variances, first = out[0, own], out[1, own], own.start
    for c in range(means.size):
        added = 0.0
        for b in range(batch):
            added += total(x[b, first + c])
        mean = x.dtype.type(added / n)
        squares = 0.0
        for b in range(batch):
            row = x[b, first + c]
            for j in range(places):
                space[j] = row[j] - mean
            squares += dot(space, space)
        means[c], variances[c] = mean, squares / n


@kernel
def batchnorm_forward(chunk, y, x, moments, w, b, eps):
    batch, channels, places = x.shape
    one, small = x.dtype.type(1), x.dtype.type(eps)
    rows = part_of(batch * channels, chunk)
    y, x = y.reshape(-1, places)[rows], x.reshape(-1, places)[rows]
    for i in range(len(x)):
        c = (rows.start + i) % channels
        mean, shift = moments[0, c], b[c]
        scale = one / np.sqrt(moments[1, c] + small) * w[c]
        for j in range(places):
            y[i, j] = (x[i, j] - mean) * scale + shift


@kernel
def batchnorm_backward(chunk, dx, dw, db, g, x, moments, w, eps, spaces):
    """spaces (CHUNKS, S)"""
    batch, channels, places = x.shape
    one, small = x.dtype.type(1), x.dtype.type(eps)
    own, space = part_of(channels, chunk), spaces[chunk]
    n = max(1, batch * places)
    for c in range(own.start, own.stop):
        # forward: xhat = (x - mean) * rstd, y = xhat * w + b, therefore:
        mean, rstd = moments[0, c], one / np.sqrt(moments[1, c] + small)
        of_g, of_both = 0.0, 0.0
        for i in range(batch):
            row, slope = x[i, c], g[i, c]
            for j in range(places):
                space[j] = (row[j] - mean) * rstd
            of_g += total(slope)
            of_both += dot(slope, space)
        dw[c], db[c] = of_both, of_g
        a, d, scale = x.dtype.type(of_g / n), x.dtype.type(of_both / n), rstd * w[c]
        for i in range(batch):
            row, slope, to = x[i, c], g[i, c], dx[i, c]
            for j in range(places):
                to[j] = (slope[j] - a - (row[j] - mean) * rstd * d) * scale


def _by_channel(x, dtype):
    """x (B, C, ...) as (B, C, S)"""
    return contiguous(x, dtype).reshape(*x.shape[:2], math.prod(x.shape[2:]))


@op
def _moments(x):
    """(2, C): mean and variance, that divided by n, of each channel of x (B, C, ...)"""
    dtype = float_dtype(x)
    x = _by_channel(x, dtype)
    out = np.empty((2, x.shape[1]), dtype, like=x)
    moments_kernel(out, x, np.empty((CHUNKS, x.shape[2]), dtype, like=x))
    return out, None


@op
def _batchnorm(x, weight, bias, moments, eps):
    """x (B, C, ...) normalised by `moments`, which are x's own: they move with x"""
    dtype = float_dtype(x, weight, bias)
    shape, channels = x.shape, x.shape[1]
    rows, moments = _by_channel(x, dtype), contiguous(moments, dtype)
    w = constant(np.ones(channels, dtype)) if weight is None else contiguous(weight, dtype)
    b = constant(np.zeros(channels, dtype)) if bias is None else contiguous(bias, dtype)
    y = np.empty_like(rows)
    batchnorm_forward(y, rows, moments, w, b, eps)

    def vjp(g):
        dx = np.empty_like(rows)
        dw, db = np.empty_like(w), np.empty_like(b)
        spaces = np.empty((CHUNKS, rows.shape[2]), dtype, like=rows)
        batchnorm_backward(dx, dw, db, _by_channel(g, dtype), rows, moments, w, eps, spaces)
        return dx.reshape(shape), dw, db, None

    return y.reshape(shape), vjp

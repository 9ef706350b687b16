"""Recurrent layers over time: the loop of RNN, LSTM and GRU, each one op.

What the inputs contribute is one matrix product for all times, and comes as an operand, x (T, B,
gates * H); here is what depends on the state before, h (B, H), with W (gates * H, H):

RNN    h' = tanh(x + h W^T), or max(0, .)
LSTM   i, f, g, o = x + h W^T;  c' = sigmoid(f) c + sigmoid(i) tanh(g);  h' = sigmoid(o) tanh(c')
       (Hochreiter, Schmidhuber 1997; Gers and others 2000)
GRU    r, z, n = x, u = h W^T + b;  r = sigmoid(r + u_r), z = sigmoid(z + u_z),
       n = tanh(n + r u_n);  h' = (1 - z) n + z h                     (Cho and others 2014)

Backward in time, with a = x + h W^T: dh += da W, and at the end dW = sum over time of da^T h.
"""

import numpy as np

from tinygrad_lite.fused.linear import numbers_of
from tinygrad_lite.kernels.arrays import as_rows, contiguous, float_dtype
from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.gemm import gemm
from tinygrad_lite.kernels.simd import logistic
from tinygrad_lite.kernels.sums import sum_rows
from tinygrad_lite.tensor import op


@kernel
def rnn_forward(chunk, h, x, relu):
    """h (B, H) from x (B, H), what is to be activated"""
    rows = part_of(len(h), chunk)
    h, x = h[rows], x[rows]
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for b in range(len(h)):
        for j in range(h.shape[1]):
            if relu:
                h[b, j] = zero if x[b, j] <= zero else x[b, j]  # NaN stays
            else:
                s = logistic(x[b, j] + x[b, j])
                h[b, j] = s + s - one


@kernel
def rnn_backward(chunk, da, dh, g, h, relu):
    """da (B, H) from dh, which comes from later times, plus g"""
    rows = part_of(len(h), chunk)
    da, dh, g, h = da[rows], dh[rows], g[rows], h[rows]
    zero, one = h.dtype.type(0), h.dtype.type(1)
    for b in range(len(h)):
        for j in range(h.shape[1]):
            d = dh[b, j] + g[b, j]
            if relu:
                da[b, j] = zero if h[b, j] <= zero else d
            else:
                da[b, j] = d * (one - h[b, j] * h[b, j])


@kernel
def lstm_forward(chunk, h, c, gates, before):
    """h, c (B, H) from c `before` and gates (B, 4 H), which become activated"""
    rows, size = part_of(len(h), chunk), h.shape[1]
    h, c, gates, before = h[rows], c[rows], gates[rows], before[rows]
    one = h.dtype.type(1)
    for b in range(len(h)):
        i, f = gates[b, :size], gates[b, size : 2 * size]
        g, o = gates[b, 2 * size : 3 * size], gates[b, 3 * size :]
        for j in range(size):
            i[j], f[j], o[j] = logistic(i[j]), logistic(f[j]), logistic(o[j])
            s = logistic(g[j] + g[j])
            g[j] = s + s - one
            c[b, j] = f[j] * before[b, j] + i[j] * g[j]
            s = logistic(c[b, j] + c[b, j])
            h[b, j] = o[j] * (s + s - one)


@kernel
def lstm_backward(chunk, da, dc, dh, g_h, g_c, gates, c, before):
    """da (B, 4 H) from dh and dc of later times plus g_h and g_c; dc becomes that of `before`"""
    rows, size = part_of(len(c), chunk), c.shape[1]
    da, dc, dh, g_h, g_c = da[rows], dc[rows], dh[rows], g_h[rows], g_c[rows]
    gates, c, before = gates[rows], c[rows], before[rows]
    one = c.dtype.type(1)
    for b in range(len(c)):
        i, f = gates[b, :size], gates[b, size : 2 * size]
        g, o = gates[b, 2 * size : 3 * size], gates[b, 3 * size :]
        for j in range(size):
            s = logistic(c[b, j] + c[b, j])
            t = s + s - one
            d = dh[b, j] + g_h[b, j]
            # forward: h = o tanh(c), c = f c_before + i g, therefore:
            d_c = dc[b, j] + g_c[b, j] + d * o[j] * (one - t * t)
            da[b, j] = d_c * g[j] * i[j] * (one - i[j])
            da[b, size + j] = d_c * before[b, j] * f[j] * (one - f[j])
            da[b, 2 * size + j] = d_c * i[j] * (one - g[j] * g[j])
            da[b, 3 * size + j] = d * t * o[j] * (one - o[j])
            dc[b, j] = d_c * f[j]


@kernel
def gru_forward(chunk, h, gates, x, u, before):
    """h (B, H) and gates (B, 3 H), activated, from x, u (B, 3 H) and h `before`"""
    rows, size = part_of(len(h), chunk), h.shape[1]
    h, gates, x, u, before = h[rows], gates[rows], x[rows], u[rows], before[rows]
    one = h.dtype.type(1)
    for b in range(len(h)):
        for j in range(size):
            r = logistic(x[b, j] + u[b, j])
            z = logistic(x[b, size + j] + u[b, size + j])
            a = x[b, 2 * size + j] + r * u[b, 2 * size + j]
            s = logistic(a + a)
            n = s + s - one
            gates[b, j], gates[b, size + j], gates[b, 2 * size + j] = r, z, n
            h[b, j] = n + z * (before[b, j] - n)


@kernel
def gru_backward(chunk, dx, du, dh, g, gates, u, before):
    """dx, du (B, 3 H) from dh of later times plus g; dh becomes what h `before` has directly"""
    rows, size = part_of(len(dh), chunk), dh.shape[1]
    dx, du, dh, g = dx[rows], du[rows], dh[rows], g[rows]
    gates, u, before = gates[rows], u[rows], before[rows]
    one = dh.dtype.type(1)
    for b in range(len(dh)):
        for j in range(size):
            r, z, n = gates[b, j], gates[b, size + j], gates[b, 2 * size + j]
            d = dh[b, j] + g[b, j]
            # forward: h = n + z (before - n), n = tanh(x_n + r u_n), therefore:
            dn = d * (one - z) * (one - n * n)
            dr = dn * u[b, 2 * size + j] * r * (one - r)
            dz = d * (before[b, j] - n) * z * (one - z)
            dx[b, j], dx[b, size + j], dx[b, 2 * size + j] = dr, dz, dn
            du[b, j], du[b, size + j], du[b, 2 * size + j] = dr, dz, dn * r
            dh[b, j] = d * z


def _states(count, x, *first):
    """(count, T + 1, B, H), of which the first in time are given"""
    states = np.empty((count, x.shape[0] + 1, *first[0].shape), x.dtype, like=x)
    for state, given in zip(states, first, strict=True):
        state[0] = given
    return states


def _weight_gradient(da, h, w):
    """sum over time of da (T, B, G)^T h (T, B, H)"""
    dw = np.empty_like(w)
    gemm(dw[None], as_rows(da)[None], as_rows(h)[None], transpose_a=True)
    return dw


@op
def _rnn(x, h, w, relu):
    """(T, B, H): the states after each time; x (T, B, H), h (B, H), w (H, H)"""
    dtype = float_dtype(x, h, w)
    w, states = numbers_of(w, dtype), _states(1, contiguous(x, dtype), h)
    hs, a = states[0], np.empty(x.shape, dtype, like=states)
    a[...] = x
    for t in range(len(x)):
        gemm(a[t][None], hs[t][None], w[None], transpose_b=True, accumulate=True)
        rnn_forward(hs[t + 1], a[t], relu)

    def vjp(g):
        g, da = contiguous(g, dtype), np.empty_like(a)
        dh = np.zeros(h.shape, dtype, like=w)
        for t in reversed(range(len(a))):
            rnn_backward(da[t], dh, g[t], hs[t + 1], relu)
            gemm(dh[None], da[t][None], w[None])
        return da, dh, lambda: _weight_gradient(da, hs[:-1], w)

    return hs[1:], vjp


@op
def _lstm(x, h, c, w):
    """(2, T, B, H): h and c after each time; x (T, B, 4 H), h and c (B, H), w (4 H, H)"""
    dtype = float_dtype(x, h, c, w)
    w, states = numbers_of(w, dtype), _states(2, contiguous(x, dtype), h, c)
    hs, cs, gates = states[0], states[1], np.empty(x.shape, dtype, like=states)
    gates[...] = x
    for t in range(len(x)):
        gemm(gates[t][None], hs[t][None], w[None], transpose_b=True, accumulate=True)
        lstm_forward(hs[t + 1], cs[t + 1], gates[t], cs[t])

    def vjp(g):
        g, da = contiguous(g, dtype), np.empty_like(gates)
        dh, dc = (np.zeros(h.shape, dtype, like=w) for _ in range(2))
        for t in reversed(range(len(gates))):
            lstm_backward(da[t], dc, dh, g[0, t], g[1, t], gates[t], cs[t + 1], cs[t])
            gemm(dh[None], da[t][None], w[None])
        return da, dh, dc, lambda: _weight_gradient(da, hs[:-1], w)

    return states[:, 1:], vjp


@op
def _gru(x, h, w, b):
    """(T, B, H): the states after each time; x (T, B, 3 H), h (B, H), w (3 H, H), b (3 H,)"""
    dtype = float_dtype(x, h, w, b)
    x, w, b = contiguous(x, dtype), numbers_of(w, dtype), contiguous(b, dtype)
    hs = _states(1, x, h)[0]
    u, gates = np.empty_like(x), np.empty_like(x)
    for t in range(len(x)):
        gemm(u[t][None], hs[t][None], w[None], bias=b, transpose_b=True)
        gru_forward(hs[t + 1], gates[t], x[t], u[t], hs[t])

    def vjp(g):
        g, dx, du = contiguous(g, dtype), np.empty_like(x), np.empty_like(x)
        dh = np.zeros(h.shape, dtype, like=w)
        for t in reversed(range(len(x))):
            gru_backward(dx[t], du[t], dh, g[t], gates[t], u[t], hs[t])
            gemm(dh[None], du[t][None], w[None], accumulate=True)
        return dx, dh, lambda: _weight_gradient(du, hs[:-1], w), lambda: sum_rows(du)

    return hs[1:], vjp

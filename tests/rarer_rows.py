"""Rows of the rarer ops, see rows.py"""

import math

import numpy as np
from draws import (
    Row,
    axis_case,
    binary,
    distinct,
    separated,
    steps,
    unary,
    values,
    whole,
    with_axis,
)
from hypothesis import strategies as st
from references import np_assigned, np_at, reduction

import tinygrad_lite as tg
from tinygrad_lite import linalg
from tinygrad_lite.ops import movement as mv
from tinygrad_lite.ops import special

lgamma = np.vectorize(math.lgamma, otypes=[float])
erfc = np.vectorize(math.erfc, otypes=[float])


def slope(function, x, h=1e-3):
    """The derivative by differences of the fourth order"""
    return (8 * (function(x + h) - function(x - h)) - function(x + 2 * h) + function(x - 2 * h)) / (
        12 * h
    )


def np_trigamma(x):
    """The sum of (x + k)^-2"""
    n = 1000
    rest = 1 / (x + n)
    return sum((1 / (x + k) ** 2 for k in range(n)), rest + rest**2 / 2 + rest**3 / 6)


def np_erfinv(x):
    """By halving"""
    low, high = np.full_like(x, -6), np.full_like(x, 6)
    for _ in range(80):
        middle = (low + high) / 2
        below = 1 - erfc(middle) < x
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def shaped(*all_shapes):
    """Arrays of given shapes"""
    return lambda draw: [values(draw, shape) for shape in all_shapes]


def regular(draw, batch=()):
    """A matrix (3, 3) whose singular values are apart from 0 and from each other, and one more"""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    u, v = (np.linalg.qr(rng.standard_normal((*batch, 3, 3)))[0] for _ in range(2))
    return u * np.array([0.7, 1.4, 2.3]) @ v


def positive(draw):
    x = regular(draw)
    return x @ x.T


def symmetric(x):
    """x with its transpose, in ops and in NumPy"""
    return (x + x.swapaxes(-1, -2)) * 0.5


def one(function):
    return lambda draw: [function(draw)]


def tall(draw):
    return [regular(draw)[:, :2]]


def gaps(draw):
    return [values(draw, (4,), gap=0.2), values(draw, (4,), gap=0.2)]


def sided(u):
    """Vectors as columns without their signs, by products that keep these out"""
    return np.einsum("ik,jk,k->ij", u, u, np.arange(1.0, u.shape[1] + 1))


def without_signs(u):
    return (u * tg.arange(1, u.shape[1] + 1)) @ u.transpose()


RARER: dict[str, Row] = {
    # --- element by element -------------------------------------------------------------------
    "fmax": Row(tg.fmax, np.fmax, separated),
    "fmin": Row(tg.fmin, np.fmin, separated),
    "heaviside": Row(tg.heaviside, np.heaviside, separated, smooth=False),
    "nextafter": Row(tg.nextafter, np.nextafter, separated, smooth=False),
    "gcd": Row(tg.gcd, np.gcd, whole(2), smooth=False),
    "lcm": Row(tg.lcm, np.lcm, whole(2), smooth=False),
    "addcmul": Row(
        lambda x, a, b: tg.addcmul(x, a, b, 3.0),
        lambda x, a, b: x + 3 * a * b,
        shaped((2, 3), (3,), (2, 1)),
    ),
    "addcdiv": Row(
        lambda x, a, b: tg.addcdiv(x, a, b, 3.0),
        lambda x, a, b: x + 3 * a / b,
        lambda d: [values(d, (2, 4)), *gaps(d)],
    ),
    "positive": Row(tg.positive, np.positive, unary()),
    "frac": Row(tg.frac, lambda x: x - np.trunc(x), steps),
    "deg2rad": Row(tg.deg2rad, np.deg2rad, unary()),
    "rad2deg": Row(tg.rad2deg, np.rad2deg, unary()),
    "float_power": Row(
        lambda a, b: tg.float_power(a, b).astype(a.dtype), np.float_power, binary(0.3, 2.0)
    ),
    "nan_to_num": Row(
        lambda x: tg.nan_to_num(tg.where(x > 0, x, -np.inf), 3.0, 4.0, 5.0),
        lambda x: np.where(x > 0, x, 5.0),
        unary(gap=0.1),
    ),
    "signbit": Row(tg.signbit, np.signbit, unary(), smooth=False),
    "isposinf": Row(lambda x: tg.isposinf(1 / x), lambda x: x > np.inf, unary(), smooth=False),
    "isneginf": Row(lambda x: tg.isneginf(1 / x), lambda x: x > np.inf, unary(), smooth=False),
    "isin": Row(lambda x, y: tg.isin(x, y), np.isin, whole(2), smooth=False),
    "logaddexp2": Row(tg.logaddexp2, np.logaddexp2, binary()),
    "ldexp": Row(tg.ldexp, lambda x, e: x * 2**e, binary()),
    "sinc": Row(tg.sinc, np.sinc, unary(gap=0.1)),
    "logit": Row(tg.logit, lambda x: np.log(x / (1 - x)), unary(0.1, 0.9)),
    "log_gamma": Row(lambda x: special._log_gamma(x, 2), np_trigamma, unary(0.3, 4.0)),
    "lgamma": Row(tg.lgamma, lgamma, unary(0.2, 4.0)),
    "digamma": Row(tg.digamma, lambda x: slope(lgamma, x), unary(1.5, 4.0)),
    "mvlgamma": Row(
        lambda x: tg.mvlgamma(x, 2),
        lambda x: lgamma(x) + lgamma(x - 0.5) + 0.5 * math.log(math.pi),
        unary(1.0, 4.0),
    ),
    "erfinv": Row(tg.erfinv, np_erfinv, unary(-0.95, 0.95)),
    # --- products -----------------------------------------------------------------------------
    "outer": Row(tg.outer, np.outer, shaped((3,), (2,))),
    "inner": Row(tg.inner, np.inner, shaped((2, 3), (4, 3))),
    "vdot": Row(tg.vdot, np.vdot, shaped((3,), (3,))),
    "addmm": Row(
        lambda x, a, b: tg.addmm(x, a, b, 0.5, 2.0),
        lambda x, a, b: 0.5 * x + 2 * (a @ b),
        shaped((4,), (2, 3), (3, 4)),
    ),
    "addmv": Row(tg.addmv, lambda x, a, v: x + a @ v, shaped((2,), (2, 3), (3,))),
    "addr": Row(tg.addr, lambda x, v, w: x + np.outer(v, w), shaped((2, 3), (2,), (3,))),
    "baddbmm": Row(tg.baddbmm, lambda x, a, b: x + a @ b, shaped((1, 4), (2, 2, 3), (2, 3, 4))),
    "addbmm": Row(
        tg.addbmm, lambda x, a, b: x + (a @ b).sum(0), shaped((2, 4), (3, 2, 3), (3, 3, 4))
    ),
    "kron": Row(tg.kron, np.kron, shaped((2, 3), (2,))),
    "cross": Row(
        tg.cross,
        lambda a, b: np.stack(
            [
                a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
                a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
                a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
            ],
            1,
        ),
        shaped((2, 3), (2, 3)),
    ),
    "dist": Row(
        tg.dist,
        lambda a, b: np.linalg.norm(a - b),
        lambda d: [values(d, (2, 3), -1.0, 0.0), values(d, (2, 3), 1.0, 2.0)],
    ),
    "cov": Row(tg.cov, np.cov, shaped((2, 5))),
    "corrcoef": Row(lambda x: tg.corrcoef(x)[0, 1], lambda x: np.corrcoef(x)[0, 1], shaped((2, 5))),
    # --- statistics ---------------------------------------------------------------------------
    "nansum": Row(tg.nansum, reduction(np.nansum), axis_case),
    "nanmean": Row(tg.nanmean, reduction(np.nanmean), axis_case),
    "aminmax": Row(
        lambda x: tg.aminmax(x)[1] - tg.aminmax(x)[0], np.ptp, lambda d: [distinct(d, (2, 3))]
    ),
    "median": Row(
        lambda x: tg.median(x, 1)[0], lambda x: np.median(x, 1), lambda d: [distinct(d, (2, 3))]
    ),
    "nanmedian": Row(
        lambda x: tg.nanmedian(x), lambda x: np.sort(x, None)[2], lambda d: [distinct(d, (2, 3))]
    ),
    "middle": Row(
        lambda x: tg.median(x, 1, True)[1],
        lambda x: np.argsort(x, 1)[:, 1:2],
        lambda d: [distinct(d, (2, 3))],
        smooth=False,
    ),
    "mode": Row(
        lambda x: tg.mode(x, 1)[0], lambda x: np.min(x, 1), lambda d: [distinct(d, (2, 3))]
    ),
    "most_frequent": Row(
        lambda x: tg.mode(x)[1],
        lambda x: np.full(2, 3),
        lambda d: [np.array([[3, 1, 2, 1]] * 2)],
        smooth=False,
    ),
    "quantile": Row(
        lambda x: tg.quantile(x, [0.2, 0.9], 1),
        lambda x: np.quantile(x, [0.2, 0.9], 1),
        lambda d: [distinct(d, (2, 4))],
    ),
    "nanquantile": Row(
        lambda x: tg.nanquantile(x, 0.3),
        lambda x: np.quantile(x, 0.3),
        lambda d: [distinct(d, (2, 4))],
    ),
    "diff": Row(lambda x, a: tg.diff(x, 1, a), lambda x, a: np.diff(x, 1, a), with_axis),
    "renorm": Row(
        lambda x: tg.renorm(x, 2, 0, 1.0),
        lambda x: x / np.maximum(1, np.linalg.norm(x, axis=1, keepdims=True) + 1e-7),
        lambda d: [values(d, (2, 3), gap=0.7)],
    ),
    "bincount": Row(
        lambda x: x.bincount(), np.bincount, lambda d: [np.array([1, 3, 1])], smooth=False
    ),
    "counted": Row(
        lambda w, i: tg.bincount(i, w, 6),
        lambda w, i: np.bincount(i, w, 6),
        lambda d: [values(d, (4,)), np.array([1, 3, 1, 0])],
    ),
    "histc": Row(
        lambda x: tg.histc(x, 4, -1, 1),
        lambda x: np.histogram(x, 4, (-1, 1))[0],
        shaped((9,)),
        smooth=False,
    ),
    "searchsorted": Row(
        lambda x, y: tg.searchsorted(np.sort(x.numpy()), y),
        lambda x, y: np.searchsorted(np.sort(x), y),
        shaped((4,), (3,)),
        smooth=False,
    ),
    "multinomial": Row(
        lambda x: tg.multinomial(x, 1, seed=0),
        lambda x: np.array([[1], [0]]),
        lambda d: [np.array([[0.0, 2.0], [3.0, 0.0]])],
        smooth=False,
    ),
    # --- movement and places ------------------------------------------------------------------
    "sum_to_size": Row(
        lambda x: mv.sum_to_size(x, 2, 1), lambda x: x.sum(1, keepdims=True), shaped((2, 3))
    ),
    "summed_to": Row(lambda x: mv.sum_to_size(x, 3), lambda x: x.sum(0), shaped((2, 3))),
    "flipud": Row(tg.flipud, np.flipud, shaped((2, 3))),
    "fliplr": Row(tg.fliplr, np.fliplr, shaped((2, 3))),
    "diagflat": Row(tg.diagflat, np.diagflat, shaped((2, 2))),
    "hsplit": Row(lambda x: tg.hsplit(x, 2)[1], lambda x: np.hsplit(x, 2)[1], shaped((2, 4))),
    "vsplit": Row(lambda x: tg.vsplit(x, 2)[1], lambda x: np.vsplit(x, 2)[1], shaped((2, 4))),
    "dsplit": Row(lambda x: tg.dsplit(x, [1])[1], lambda x: x[:, :, 1:], shaped((2, 1, 3))),
    "index_reduce": Row(
        lambda x, v, i: tg.index_reduce(x, 0, i, v, "mean"),
        lambda x, v, i: np_at(np.add, x, i, v) / np_at(np.add, np.ones_like(x), i, np.ones_like(v)),
        lambda d: [values(d, (3, 2)), values(d, (4, 2)), np.array([0, 2, 2, 0])],
    ),
    "index_put": Row(
        lambda x, v, i: tg.index_put(x, (i,), v, True),
        lambda x, v, i: np_at(np.add, x, i, v),
        lambda d: [values(d, (3, 2)), values(d, (4, 2)), np.array([0, 2, 2, 0])],
    ),
    "put": Row(
        lambda x, v, i: tg.put(x, i, v),
        lambda x, v, i: np_assigned(x.reshape(-1), i, v).reshape(x.shape),
        lambda d: [values(d, (3, 2)), values(d, (3,)), np.array([5, 1, 2])],
    ),
    "masked_scatter": Row(
        lambda x, v, m: tg.masked_scatter(x, m, v),
        lambda x, v, m: np_assigned(x, m, v[:2]),
        lambda d: [values(d, (2, 2)), values(d, (3,)), np.array([[True, False], [False, True]])],
    ),
    "select_scatter": Row(
        lambda x, v: tg.select_scatter(x, v, 1, -1),
        lambda x, v: np_assigned(x, (slice(None), -1), v),
        shaped((2, 3), (2,)),
    ),
    "slice_scatter": Row(
        lambda x, v: tg.slice_scatter(x, v, 1, 0, 3, 2),
        lambda x, v: np_assigned(x, (slice(None), slice(0, 3, 2)), v),
        shaped((2, 3), (2, 2)),
    ),
    "diagonal_scatter": Row(
        lambda x, v: tg.diagonal_scatter(x, v, 1),
        lambda x, v: np_assigned(x, ([0, 1], [1, 2]), v),
        shaped((2, 3), (2,)),
    ),
    # --- linear algebra -----------------------------------------------------------------------
    "inverse": Row(linalg.inv, np.linalg.inv, lambda d: [regular(d, (2,))]),
    "solution": Row(linalg.solve, np.linalg.solve, lambda d: [regular(d, (2,)), values(d, (3, 2))]),
    "pseudo_inverse": Row(
        lambda a, b: linalg.pinv(a @ b, 1e-6),
        lambda a, b: np.linalg.pinv(a @ b, 1e-6),
        lambda d: [regular(d)[:, :2], regular(d)[:2]],
    ),
    "det": Row(linalg.det, np.linalg.det, lambda d: [regular(d, (2,))]),
    "determinant": Row(linalg.det, np.linalg.det, one(regular)),
    "log_determinant": Row(
        lambda x: linalg.slogdet(x)[1], lambda x: np.linalg.slogdet(x)[1], one(regular)
    ),
    "sign_of_determinant": Row(
        lambda x: linalg.slogdet(x)[0],
        lambda x: np.linalg.slogdet(x)[0],
        one(regular),
        smooth=False,
    ),
    "logdet": Row(linalg.logdet, lambda x: np.log(np.linalg.det(x)), one(positive)),
    "cholesky": Row(lambda x: linalg.cholesky(symmetric(x)), np.linalg.cholesky, one(positive)),
    "qr": Row(lambda x: without_signs(linalg.qr(x)[0]), lambda x: sided(np.linalg.qr(x)[0]), tall),
    "triangle": Row(
        lambda x: linalg.qr(x)[1].abs(), lambda x: np.abs(np.linalg.qr(x)[1]), one(regular)
    ),
    "eigenvalues": Row(lambda x: linalg.eigvalsh(symmetric(x)), np.linalg.eigvalsh, one(positive)),
    "eigenvectors": Row(
        lambda x: without_signs(linalg.eigh(symmetric(x))[1]),
        lambda x: sided(np.linalg.eigh(x)[1]),
        one(positive),
    ),
    "singular_values": Row(
        linalg.svdvals, lambda x: np.linalg.svd(x)[1], lambda d: [regular(d)[:, :2]]
    ),
    "svd": Row(
        lambda x: without_signs(linalg.svd(x, False)[0]),
        lambda x: sided(np.linalg.svd(x, False)[0]),
        tall,
    ),
    "left_vectors": Row(
        lambda x: without_signs(linalg.svd(x, False)[0]),
        lambda x: sided(np.linalg.svd(x, False)[0]),
        one(regular),
    ),
    "right_vectors": Row(
        lambda x: without_signs(linalg.svd(x, False)[2].transpose()),
        lambda x: sided(np.linalg.svd(x, False)[2].T),
        lambda d: [regular(d)[:2]],
    ),
    "matrix_power": Row(
        lambda x: linalg.matrix_power(x, -3), lambda x: np.linalg.matrix_power(x, -3), one(regular)
    ),
    "matrix_exp": Row(
        lambda x: linalg.matrix_exp(symmetric(x)),
        lambda x: (lambda w, v: v * np.exp(w) @ v.T)(*np.linalg.eigh(symmetric(x))),
        one(regular),
    ),
}

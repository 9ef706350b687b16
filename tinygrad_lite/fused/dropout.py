"""Dropout (Srivastava and others 2014): y = x * mask / (1 - p), each mask entry 1 with 1 - p.

Which entries are 1 follows from a key, drawn from the seed once a call, and from their places, see
kernels/random_bits.py: the mask is never stored. The backward pass drops the same places of dy.
"""

import contextlib
import math
import threading
from collections.abc import Iterator

import numpy as np

from tinygrad_lite.kernels.arrays import contiguous, float_dtype
from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.random_bits import drop
from tinygrad_lite.kernels.watch import constant, filled
from tinygrad_lite.tensor import Tensor, op


def dropout(x, p, seed):
    """x with each element set to 0 with probability p, the others scaled by 1 / (1 - p).

    seed   a number or a numpy.random.Generator

    >>> tg.dropout(tg.ones(2), 0.0, seed=0).tolist()
    [1.0, 1.0]
    """
    check_probability(p)
    if p == 0 and isinstance(x, Tensor):
        return x
    x = x if isinstance(x, Tensor) else Tensor(x)
    first = first_row(x.shape)  # before anything is drawn: it may refuse
    return _dropout(x, key_of(seed), p=p, first=first)


def check_probability(p: float) -> None:
    if not (isinstance(p, int | float | np.number) and 0 <= p < 1):
        raise ValueError(
            f"dropout: the probability must lie in [0, 1).\n  got {p!r}\n  try a value such as 0.1"
        )


def key_of(seed):
    """(1,) uint64: what decides which places are dropped"""
    return filled(_draw_key, (1,), np.uint64, seed)


def _draw_key(key, seed):
    key[0] = np.random.default_rng(seed).integers(0, 1 << 64, dtype=np.uint64)


def limit_and_scale(p: float, dtype: np.dtype) -> tuple[np.uint32, np.number]:
    """Bits below the limit drop a place; what stays is multiplied by the scale."""
    p = float(p)  # float16 knows no 2^32
    return np.uint32(p * (1 << 32)), dtype.type(1 / (1 - p))


@op
def _dropout(x, key, p, first):
    """x (..., C) without the places that a key decides on, their rows counted from `first`"""
    dtype = float_dtype(x)
    limit, scale = limit_and_scale(p, dtype)

    def of(x):
        x = contiguous(x, dtype)
        y = np.empty_like(x)
        columns = x.shape[-1] if x.ndim > 1 else 1
        rows = math.prod(x.shape[:-1]) if x.ndim > 1 else x.size
        drop_rows(y.reshape(rows, columns), x.reshape(rows, columns), key, first, limit, scale)
        return y

    return of(x), lambda g: (of(g),)


@kernel
def drop_rows(chunk, y, x, key, first, limit, scale):
    """y (N, C) from x (N, C), whose rows are those from `first` on of what the key is for"""
    rows = part_of(len(x), chunk)
    for n in range(rows.start, rows.stop):
        drop(y[n], x[n], key[0], first + n, limit, scale)


class _Drawn(threading.local):
    rows: tuple[int, int] | None = None


_drawn = _Drawn()


def drawn_rows() -> tuple[int, int] | None:
    return _drawn.rows


@contextlib.contextmanager
def rows_drawn(first: int, stop: int) -> Iterator[None]:
    """Within this context what dropout is given are rows first, ..., stop - 1 of a batch: of them
    is dropped what would be in the whole batch."""
    before, _drawn.rows = _drawn.rows, (int(first), int(stop))
    try:
        yield
    finally:
        _drawn.rows = before


def first_row(shape: tuple[int, ...]) -> int:
    """The number of the first row (..., C) of a part of a batch (B, ..., C), within the batch"""
    if _drawn.rows is None:
        return 0
    first, stop = _drawn.rows
    if shape[:1] != (stop - first,):
        raise ValueError(
            "dropout: within rows_drawn the first axis is that of the batch.\n"
            f"  got shape {shape} for {stop - first} rows\n  try dropout of the whole batch"
        )
    return first * math.prod(shape[1:-1])


def feature_dropout(x, p, seed):
    """x (B, C, ...) with whole channels of an example set to 0 with probability p, the others
    scaled by 1 / (1 - p)  (Tompson and others 2015), as PyTorch's dropout1d to dropout3d

    >>> tg.feature_dropout(tg.ones(1, 2, 1), 0.0, seed=0).tolist()
    [[[1.0], [1.0]]]
    """
    return x * dropout(_ones_by_channel(x), p, seed)


def alpha_dropout(x, p, seed):
    """x with each element set to selu's lowest value with probability p, and the whole scaled and
    moved so that mean and variance of what is normally distributed stay  (Klambauer 2017)

    >>> tg.alpha_dropout(tg.ones(2), 0.0, seed=0).tolist()
    [1.0, 1.0]
    """
    return _alpha_dropout(x, Tensor(constant(np.ones(x.shape, x.dtype))), p, seed)


def feature_alpha_dropout(x, p, seed):
    """`alpha_dropout` of whole channels of x (B, C, ...)

    >>> tg.feature_alpha_dropout(tg.ones(1, 2, 1), 0.0, seed=0).tolist()
    [[[1.0], [1.0]]]
    """
    return _alpha_dropout(x, _ones_by_channel(x), p, seed)


LOWEST = -1.7580993408473766  # of selu: -1.0507... times 1.6732...


def _alpha_dropout(x, ones, p, seed):
    check_probability(p)
    kept = dropout(ones, p, seed) * (1 - p)
    scale = ((1 - p) * (1 + p * LOWEST**2)) ** -0.5
    return (x * kept + LOWEST * (1 - kept)) * scale - scale * p * LOWEST


def _ones_by_channel(x):
    if x.ndim < 2:
        raise ValueError(
            f"dropout: x has a batch and channels.\n  got shape {x.shape}\n  try x.unsqueeze(0)"
        )
    return Tensor(constant(np.ones((*x.shape[:2], *[1] * (x.ndim - 2)), x.dtype)))

"""Dropout (Srivastava and others 2014): y = x * mask / (1 - p), each mask entry 1 with 1 - p."""

import contextlib
import math
import threading
from collections.abc import Iterator

import numpy as np

from tinygrad_lite.kernels.watch import constant, procedure
from tinygrad_lite.tensor import Tensor, op


def dropout(x, p, seed):
    """x with each element set to 0 with probability p, the others scaled by 1 / (1 - p).

    seed   a number or a numpy.random.Generator

    >>> tg.dropout(tg.ones(2), 0.0, seed=0).tolist()
    [1.0, 1.0]
    """
    check_probability(p)
    return x if p == 0 and isinstance(x, Tensor) else _dropout(x, p, seed)


def check_probability(p: float) -> None:
    if not 0 <= p < 1:
        raise ValueError(
            f"dropout: the probability must lie in [0, 1).\n  got {p}\n  try a value such as 0.1"
        )


@op
def _dropout(x, p, seed):
    mask = np.empty(x.shape, x.dtype, like=x)
    _draw(mask, seed, p, _drawn.rows)
    return x * mask, lambda g: (g * mask,)


@procedure
def _draw(mask, seed, p, rows):
    rng = np.random.default_rng(seed)
    drawn = rng.random(mask.shape, np.float32) if rows is None else _some(rng, mask.shape, rows)
    mask[...] = (drawn >= p) * mask.dtype.type(1 / (1 - p))


class _Drawn(threading.local):
    rows: tuple[int, int, int] | None = None


_drawn = _Drawn()


def drawn_rows() -> tuple[int, int, int] | None:
    return _drawn.rows


@contextlib.contextmanager
def rows_drawn(first: int, stop: int, total: int) -> Iterator[None]:
    """Within this context what dropout is given are rows first, ..., stop - 1 of a batch of
    `total`: they get the numbers that they would get in the whole batch, and the generator goes on
    from where it would be after it."""
    before, _drawn.rows = _drawn.rows, (first, stop, total)
    try:
        yield
    finally:
        _drawn.rows = before


def _some(rng: np.random.Generator, shape: tuple[int, ...], rows: tuple[int, int, int]):
    first, stop, total = rows
    if shape[0] != stop - first:
        raise ValueError(
            "dropout: within rows_drawn the first axis is that of the batch.\n"
            f"  got shape {shape} for {stop - first} rows\n  try dropout of the whole batch"
        )
    row, bits = math.prod(shape[1:]), rng.bit_generator
    if row % 2 or not isinstance(bits, np.random.PCG64) or bits.state["has_uint32"]:
        return rng.random((total, *shape[1:]), np.float32)[first:stop]
    # Two numbers come from each 64 bits: others' are passed over
    bits.advance(first * row // 2)
    drawn = rng.random(shape, np.float32)
    bits.advance((total - stop) * row // 2)
    return drawn


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

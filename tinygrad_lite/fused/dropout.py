"""Dropout (Srivastava and others 2014): y = x * mask / (1 - p), each mask entry 1 with 1 - p."""

import numpy as np

from tinygrad_lite.kernels.watch import procedure
from tinygrad_lite.tensor import Tensor, op


def dropout(x, p, seed):
    """x with each element set to 0 with probability p, the others scaled by 1 / (1 - p).

    seed   a number or a numpy.random.Generator
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
    _draw(mask, seed, p)
    return x * mask, lambda g: (g * mask,)


@procedure
def _draw(mask, seed, p):
    rng = np.random.default_rng(seed)
    mask[...] = (rng.random(mask.shape, np.float32) >= p) * mask.dtype.type(1 / (1 - p))

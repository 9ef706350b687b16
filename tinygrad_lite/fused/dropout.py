"""Dropout (Srivastava and others 2014): y = x * mask / (1 - p), each mask entry 1 with 1 - p."""

import numpy as np

from tinygrad_lite.kernels.record import call, empty
from tinygrad_lite.ops.elementwise import mul


def dropout(x, p, seed):
    """x with each element set to 0 with probability p, the others scaled by 1 / (1 - p).

    seed   a number or a numpy.random.Generator
    """
    if not 0 <= p < 1:
        raise ValueError(
            f"dropout: the probability must lie in [0, 1).\n  got {p}\n  try a value such as 0.1"
        )
    if p == 0:
        return x
    rng = np.random.default_rng(seed)
    mask = empty(x.shape, x.dtype)
    call(_draw, mask, rng, p)
    return mul(x, mask)


def _draw(mask, rng, p):
    mask[...] = (rng.random(mask.shape, np.float32) >= p) * np.float32(1 / (1 - p))

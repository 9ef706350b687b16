"""Axes made longer, or shorter: constants, mirrored, repeated or wrapped edges."""

from collections.abc import Sequence

import numpy as np

from tinygrad_lite.kernels.watch import constant
from tinygrad_lite.ops.indexing import getitem, index_select
from tinygrad_lite.tensor import Tensor, op

MODES = ("constant", "reflect", "replicate", "circular")


@op
def _pad(x, widths, value):
    inside = tuple(slice(low, low + n) for (low, _), n in zip(widths, x.shape, strict=True))
    return np.pad(x, widths, constant_values=value), lambda g: (g[inside],)


def pad(x: Tensor, padding: Sequence, value: float = 0.0, mode: str = "constant") -> Tensor:
    """Longer by so many elements before and after each axis; shorter where the width is negative.

    padding   (before, after) pairs, one for each axis; or, as in PyTorch, flat numbers
              (before, after, before, after, ...) from the last axis backwards
    mode      constant: `value`; reflect: mirrored at the edge element, replicate: that element,
              circular: from the other end

    >>> tg.pad(Tensor([1, 2]), [(1, 1)]).tolist()
    [0, 1, 2, 0]
    """
    flat = all(isinstance(n, int | np.integer) for n in padding)
    pairs = [tuple(p) for p in padding] if not flat else []
    if flat:
        pairs = [(padding[i], padding[i + 1]) for i in range(0, len(padding) - 1, 2)][::-1]
        pairs = [(0, 0)] * (x.ndim - len(pairs)) + pairs
    if len(pairs) != x.ndim or len(padding) % 2 * flat or any(len(pair) != 2 for pair in pairs):
        raise ValueError(
            "pad: there is a width before and one after each padded axis.\n"
            f"  got {padding} for shape {x.shape}\n  try {[(1, 1)] * x.ndim}"
        )
    if mode not in MODES:
        raise ValueError(
            f"pad: the mode is one of {', '.join(MODES)}.\n  got {mode!r}\n  try constant"
        )
    for n, (before, after) in zip(x.shape, pairs, strict=True):
        left = n + min(before, 0) + min(after, 0)
        most = {"constant": np.inf, "reflect": left - 1, "replicate": np.inf if left else 0}
        if left < 0 or max(before, after) > most.get(mode, left):
            raise ValueError(
                "pad: no more is cut off than there is, nor mirrored or wrapped.\n"
                f"  got {(before, after)} for an axis of {n}, mode {mode}\n  try narrower widths"
            )
    if any(n < 0 for pair in pairs for n in pair):
        cut = tuple(
            slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(x.shape, pairs, strict=True)
        )
        x = getitem(x, cut)
        pairs = [(max(b, 0), max(a, 0)) for b, a in pairs]
    if mode == "constant":
        return _pad(x, pairs, value)
    for axis, (before, after) in enumerate(pairs):
        if before or after:
            x = index_select(x, axis, constant(_places(x.shape[axis], before, after, mode)))
    return x


def _places(n: int, before: int, after: int, mode: str) -> np.ndarray:
    """Which element stands in each place of a padded axis of n"""
    places = np.arange(-before, n + after)
    if mode == "replicate":
        return np.clip(places, 0, n - 1)
    if mode == "circular":
        return places % n
    period = max(2 * (n - 1), 1)
    return n - 1 - np.abs(places % period - (n - 1))

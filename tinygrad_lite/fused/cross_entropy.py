"""Cross-entropy of logits x (N, V) with target classes t (N,), the mean over rows.

loss = mean over rows of logsumexp(x[i]) - x[i, t[i]]
    dx[i, j] = (softmax(x[i])[j] - [j = t[i]]) * g / rows that count

Only the logsumexp of each row is kept, not a second copy of the logits.
"""

import numpy as np

from tinygrad_lite.kernels.compile import CHUNKS, kernel, part_of
from tinygrad_lite.kernels.rows import as_rows, largest, total
from tinygrad_lite.kernels.simd import exp
from tinygrad_lite.tensor import op

BLOCK = 512  # classes whose exponentials are summed at a time


@kernel
def cross_entropy_forward(chunk, losses, lse, block, x, targets, ignored):
    """losses (N,) float64, lse (N,), block (CHUNKS, BLOCK) scratch; a row whose target is `ignored`
    has loss 0."""
    rows, block = part_of(len(x), chunk), block[chunk]
    losses, lse, x, targets = losses[rows], lse[rows], x[rows], targets[rows]
    for i in range(len(x)):
        highest = largest(x[i])
        sum_exp = 0.0
        for start in range(0, x.shape[1], BLOCK):
            part = x[i, start : start + BLOCK]
            for j in range(part.size):
                block[j] = exp(part[j] - highest)
            sum_exp += total(block[: part.size])
        lse[i] = highest + x.dtype.type(np.log(sum_exp))
        if targets[i] == ignored:
            losses[i] = 0.0
        else:
            losses[i] = np.log(sum_exp) + (np.float64(highest) - np.float64(x[i, targets[i]]))


@kernel
def cross_entropy_backward(chunk, dx, scale, x, lse, targets, ignored):
    rows, classes = part_of(len(x), chunk), x.shape[1]
    dx, x, lse, targets = dx[rows], x[rows], lse[rows], targets[rows]
    for i in range(len(x)):
        if targets[i] == ignored:
            for j in range(classes):
                dx[i, j] = 0
        else:
            for j in range(classes):
                dx[i, j] = exp(x[i, j] - lse[i]) * scale
            dx[i, targets[i]] -= scale


@op
def cross_entropy(logits, targets, ignore_index=-100):
    """Mean of -log softmax(logits)[target]: logits (..., V), targets (...) integers, in nats.

    Rows whose target is ignore_index do not count.
    """
    classes = logits.shape[-1]
    if targets.shape != logits.shape[:-1] or targets.dtype.kind not in "iu":
        raise ValueError(
            "cross_entropy: there is one integer target for each row of logits.\n"
            f"  got logits {logits.shape} and targets {targets.shape} of dtype {targets.dtype}\n"
            f"  try integer targets of shape {logits.shape[:-1]}"
        )
    rows, t = as_rows(logits), np.ascontiguousarray(targets, np.int64).reshape(-1)
    counted = t != ignore_index
    bad = counted & ((t < 0) | (t >= classes))
    if bad.any():
        raise IndexError(
            f"cross_entropy: every target must lie between 0 and {classes - 1}.\n"
            f"  got {t[bad][0]}\n  try logits with a class for each target, or ignore_index"
        )
    losses, lse = np.empty(len(t)), np.empty(len(t), rows.dtype)
    block = np.empty((CHUNKS, BLOCK), rows.dtype)
    cross_entropy_forward(losses, lse, block, rows, t, ignore_index)
    count = np.count_nonzero(counted)

    def vjp(g):
        dx = np.empty_like(rows)
        cross_entropy_backward(dx, rows.dtype.type(g / count), rows, lse, t, ignore_index)
        return dx.reshape(logits.shape), None

    mean = losses.sum() / count if count else np.nan
    return np.asarray(mean, rows.dtype), vjp

"""Cross-entropy of logits x (N, V) with target classes t (N,), the mean over rows.

loss = mean over rows of logsumexp(x[i]) - x[i, t[i]]
    dx[i, j] = (softmax(x[i])[j] - [j = t[i]]) * g / rows that count

Of each row two numbers are kept, its largest logit m and the sum of exp(x[i, j] - m) over all
classes but one with the largest: their logsumexp, rounded, would not know a large m from its
neighbours, and the whole sum not a loss of 1e-9 from 0.
"""

import math

import numpy as np

from tinygrad_lite.kernels.arrays import as_array, as_rows, contiguous, float_dtype
from tinygrad_lite.kernels.compile import CHUNKS, kernel, part_of
from tinygrad_lite.kernels.rows import largest, log_of_sum, sum_and_ones, total
from tinygrad_lite.kernels.simd import exp
from tinygrad_lite.kernels.watch import procedure
from tinygrad_lite.tensor import op

BLOCK = 512  # classes whose exponentials are summed at a time


@kernel
def cross_entropy_forward(chunk, losses, stats, block, x, targets, ignored):
    """losses (N,) float64, stats (N, 2): see above; block (CHUNKS, BLOCK) scratch; a row whose
    target is `ignored` has loss 0."""
    rows, block = part_of(len(x), chunk), block[chunk]
    losses, stats, x, targets = losses[rows], stats[rows], x[rows], targets[rows]
    for i in range(len(x)):
        highest, others, ones = largest(x[i]), 0.0, 0.0
        for start in range(0, x.shape[1], BLOCK):
            part = x[i, start : start + BLOCK]
            for j in range(part.size):
                block[j] = exp(part[j] - highest)
            more, of_highest = sum_and_ones(block[: part.size])
            others += more
            ones += of_highest
        others += ones - 1.0
        stats[i, 0], stats[i, 1] = highest, others
        if targets[i] == ignored:
            losses[i] = 0.0
        else:
            losses[i] = log_of_sum(others) + (np.float64(highest) - np.float64(x[i, targets[i]]))


@kernel
def cross_entropy_backward(chunk, dx, g, count, x, stats, targets, ignored):
    """g (1,): the gradient of the loss; count (1,): rows that count"""
    rows, classes = part_of(len(x), chunk), x.shape[1]
    scale, one = x.dtype.type(g[0] / count[0]), x.dtype.type(1)
    dx, x, stats, targets = dx[rows], x[rows], stats[rows], targets[rows]
    for i in range(len(x)):
        if targets[i] == ignored:
            for j in range(classes):
                dx[i, j] = 0
        else:
            highest, others = stats[i, 0], stats[i, 1]
            factor = scale / (one + others)
            for j in range(classes):
                dx[i, j] = exp(x[i, j] - highest) * factor
            if x[i, targets[i]] == highest:  # 1 - softmax is what the others have
                dx[i, targets[i]] = -others * factor
            else:
                dx[i, targets[i]] -= scale


@kernel
def mean_kernel(task, mean, count, losses, targets, ignored):
    """mean (1,): of those losses whose target counts; count (1,): how many"""
    counted = 0
    for i in range(targets.size):
        counted += targets[i] != ignored
    count[0] = counted
    mean[0] = total(losses) / counted if counted else math.nan


@op
def _cross_entropy(logits, targets, ignore_index=-100):
    """Mean of -log softmax(logits)[target]: logits (..., V), targets (...) integers, in nats.

    Rows whose target is ignore_index do not count.
    """
    classes, targets = logits.shape[-1], as_array(targets)
    if targets.shape != logits.shape[:-1] or targets.dtype.kind not in "iu":
        raise ValueError(
            "cross_entropy: there is one integer target for each row of logits.\n"
            f"  got logits {logits.shape} and targets {targets.shape} of dtype {targets.dtype}\n"
            f"  try integer targets of shape {logits.shape[:-1]}"
        )
    rows = as_rows(logits, float_dtype(logits))
    t = targets.astype(np.int64).reshape(-1)  # a copy: backward relies on what was checked
    _check_targets(t, classes, ignore_index)
    losses = np.empty(len(t), np.float64, like=rows)
    stats = np.empty((len(t), 2), rows.dtype, like=rows)
    block = np.empty((CHUNKS, BLOCK), rows.dtype, like=rows)
    cross_entropy_forward(losses, stats, block, rows, t, ignore_index)
    mean = np.empty((1,), rows.dtype, like=rows)
    count = np.empty((1,), np.float64, like=rows)
    mean_kernel.run(1, 1, mean, count, losses, t, ignore_index)

    def vjp(g):
        dx = np.empty_like(rows)
        cross_entropy_backward(dx, contiguous(g).reshape(1), count, rows, stats, t, ignore_index)
        return dx.reshape(logits.shape), None

    return mean.reshape(()), vjp


@procedure
def _check_targets(targets, classes, ignored):
    bad = (targets != ignored) & ((targets < 0) | (targets >= classes))
    if bad.any():
        raise IndexError(
            f"cross_entropy: every target must lie between 0 and {classes - 1}.\n"
            f"  got {targets[bad][0]}\n  try logits with a class for each target, or ignore_index"
        )

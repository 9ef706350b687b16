"""Factors of the learning rate over the steps of a run."""

import math
from collections.abc import Callable


def warmup_cosine(steps: int, warmup: int, lowest: float = 0.1) -> Callable[[int], float]:
    """A function that gives the factor of the learning rate at step 0, 1, ...: linear warm-up, then
    half a cosine from 1 down to `lowest` (Loshchilov, Hutter 2016, arXiv:1608.03983).

        factor = warmup_cosine(steps=1000, warmup=100)
        adamw.lr = highest * factor(step)  # before each step
    """

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        return lowest + (1 - lowest) * 0.5 * (1 + math.cos(math.pi * progress))

    return factor


def warmup_plateau_decay(
    steps: int, warmup: int, plateau: float = 0.3, lowest: float = 0.0
) -> Callable[[int], float]:
    """The same with linear warm-up, 1 until the fraction `plateau`
    of all steps, then a straight line down to `lowest` at the last step."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        start = max(warmup, plateau * steps)
        if step < start:
            return 1.0
        return max(lowest, 1 - (1 - lowest) * (step + 1 - start) / max(1, steps - start))

    return factor

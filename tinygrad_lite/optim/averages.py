"""Exponential moving averages of weights: what a model was on average, lately."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tinygrad_lite.tensor import Tensor, no_grad


class ExponentialMovingAverage:
    """average = decay * average + (1 - decay) * parameter, after each step.

    ema = optim.ExponentialMovingAverage(model.parameters(), 0.999)
    ...
    optimizer.step(); ema.update()
    with ema.applied():  # the averages in place of the parameters
        evaluate(model)
    """

    def __init__(self, params: Iterable[Tensor], decay: float = 0.999):
        if not 0 <= decay < 1:
            raise ValueError(
                f"ExponentialMovingAverage: the decay lies in [0, 1).\n  got {decay}\n  try 0.999"
            )
        self.params, self.decay = list(params), decay
        self.averages = [Tensor(p.numpy().copy()) for p in self.params]

    def update(self) -> None:
        """Move the averages towards the parameters; also within a recorded step."""
        with no_grad():
            for average, p in zip(self.averages, self.params, strict=True):
                average.copy_(average * self.decay + p.detach() * (1 - self.decay))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within this context the parameters are the averages."""
        before = [p.numpy().copy() for p in self.params]
        self._set([average.numpy() for average in self.averages])
        try:
            yield
        finally:
            self._set(before)

    def _set(self, arrays: list[np.ndarray]) -> None:
        with no_grad():
            for p, array in zip(self.params, arrays, strict=True):
                p[...] = array

    def state_dict(self) -> dict[str, Any]:
        return {str(i): average.numpy() for i, average in enumerate(self.averages)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy what state_dict gave; all shapes must agree, or nothing is changed."""
        own = self.state_dict()
        if own.keys() != state.keys() or any(own[n].shape != state[n].shape for n in own):
            raise ValueError(
                "ExponentialMovingAverage: a state is one of the same parameters.\n"
                f"  got {len(state)} arrays for {len(own)} parameters, or other shapes\n"
                "  try the state that was saved with this model"
            )
        for n, array in own.items():
            array[...] = state[n]

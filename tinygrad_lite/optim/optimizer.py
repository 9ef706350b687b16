"""What all optimizers share.

Each is built from its parameters and hyperparameters, updates the parameters in place at `step()`,
and gives its state to `state_dict()` as named arrays, so that a run can be resumed with the same
bits.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_lite.kernels.record import call, contiguous
from tinygrad_lite.tensor import Tensor, clear_gradients


class Optimizer:
    """The parameters, their learning rate, and one dictionary of arrays for each parameter.

    A kernel updates all parameters of one dtype in one call. Its numbers are in an array,
    `settings`, which is filled at each step: a step that is recorded (see jit) can be replayed. The
    first is the scale of the gradients.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, **hyperparameters: float):
        self.params = list(params)
        if not self.params:
            raise ValueError(
                f"{type(self).__name__}: there must be parameters to optimize.\n"
                "  got an empty list\n  try model.parameters()"
            )
        for name, value in {"lr": lr, **hyperparameters}.items():
            if not (isinstance(value, tuple | bool) or value >= 0):
                raise ValueError(
                    f"{type(self).__name__}: {name} must not be negative.\n"
                    f"  got {value}\n  try a positive number"
                )
        self.lr = lr
        self.steps = 0
        self.settings = np.zeros(9)
        self.state: list[dict[str, np.ndarray]] = [{} for _ in self.params]

    def zero_grad(self) -> None:
        call(clear_gradients, self.params)

    def step(self, grad_scale: Tensor | None = None) -> None:
        """Update every parameter that has a gradient.

        grad_scale   a number of float64, such as clip_factor gives: gradients count so many times
        """
        call(self._advance)
        call(self._scale, None if grad_scale is None else grad_scale.data)
        groups: dict[Any, list[tuple[Tensor, dict[str, np.ndarray]]]] = {}
        for parameter, state in zip(self.params, self.state, strict=True):
            if parameter.grad is not None:
                groups.setdefault(self.group_of(parameter), []).append((parameter, state))
        for group in groups.values():
            self.update([p for p, _ in group], [state for _, state in group])

    def _advance(self) -> None:
        self.steps += 1
        values = self.current_settings()
        self.settings[1 : 1 + len(values)] = values

    def _scale(self, factor: np.ndarray | None) -> None:
        self.settings[0] = 1.0 if factor is None else factor.item()

    def group_of(self, parameter: Tensor) -> Any:
        """Parameters with the same answer are updated in one call."""
        return parameter.dtype

    def current_settings(self) -> tuple[float, ...]:
        """The numbers that the kernel needs in step number `steps`"""
        raise TypeError(f"{type(self).__name__} defines current_settings()")

    def update(self, params: list[Tensor], states: list[dict[str, np.ndarray]]) -> None:
        raise TypeError(f"{type(self).__name__} defines update(params, states)")

    def state_dict(self) -> dict[str, np.ndarray]:
        """Named arrays: "steps", and "<parameter's number>.<name>" for the state of each"""
        arrays = {"steps": np.asarray(self.steps)}
        for i, state in enumerate(self.state):
            arrays |= {f"{i}.{name}": array for name, array in state.items()}
        return arrays

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.steps = int(arrays["steps"])
        for name, array in arrays.items():
            if name != "steps":
                number, _, key = name.partition(".")
                state = self.state[int(number)]
                if key in state:
                    state[key][...] = array  # in place: a recorded step knows this memory
                else:
                    state[key] = np.array(array)

    def kept(
        self, params: list[Tensor], states: list[dict[str, np.ndarray]], name: str
    ) -> list[np.ndarray]:
        """The arrays `name` of the parameters' states, zeros at first"""
        for parameter, state in zip(params, states, strict=True):
            if name not in state:
                state[name] = np.zeros_like(parameter.data)
        return [state[name] for state in states]


def data_of(params: list[Tensor]) -> list[np.ndarray]:
    for p in params:
        p.data = np.ascontiguousarray(p.data)
    return [p.data for p in params]


def gradients_of(params: list[Tensor]) -> list[np.ndarray]:
    """The gradients themselves, made C-contiguous"""
    for p in params:
        assert p.grad is not None
        p.grad.data = contiguous(p.grad.data, p.dtype)
    return [p.grad.data for p in params if p.grad is not None]


def like(params: list[Tensor]) -> np.ndarray:
    """An empty array of the parameters' dtype, by which a kernel knows it"""
    return np.empty(0, params[0].dtype)

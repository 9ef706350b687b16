"""What all optimizers share.

Each is built from its parameters and hyperparameters, updates the parameters in place at `step()`,
and gives its state to `state_dict()` as named arrays, so that a run can be resumed with the same
bits.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_lite.kernels.watch import filled, launch
from tinygrad_lite.tensor import Tensor

SETTINGS = 9  # numbers that a kernel is given; the first is the scale of the gradients


class Optimizer:
    """Parameters in groups that share hyperparameters, and state for each parameter.

    params           Tensors, or dictionaries {"params": [...], "lr": 0.1, ...} whose
                     hyperparameters stand in place of those given for all
    param_groups     such dictionaries, each with all hyperparameters; changes count at the next
                     step

    Steps are counted once for all parameters: those that get their first gradient later are not
    corrected as at their own first step, as PyTorch's are.
    """

    names: tuple[str, ...] = ()  # of the arrays of a parameter's state

    def __init__(self, params: Iterable[Any], **defaults: Any):
        if isinstance(params, Tensor) or not isinstance(params, Iterable):
            raise TypeError(
                f"{type(self).__name__}: the parameters come in a list.\n"
                f"  got {type(params).__name__}\n  try model.parameters(), or [parameter]"
            )
        given = list(params)
        groups = given if given and isinstance(given[0], dict) else [{"params": given}]
        self.param_groups = [{**defaults, **g, "params": list(g["params"])} for g in groups]
        self.params: list[Tensor] = [p for group in self.param_groups for p in group["params"]]
        self._check_parameters()
        for group in self.param_groups:
            self._check_settings(group, defaults)
        for p in self.params:
            if not p.data.flags.c_contiguous:
                p.data = p.data.copy(order="C")
        self.steps = 0
        self.state = [{n: Tensor(np.zeros_like(p.data)) for n in self.names} for p in self.params]

    def _check_parameters(self) -> None:
        owner = type(self).__name__
        if not self.params:
            raise ValueError(
                f"{owner}: there must be parameters to optimize.\n"
                "  got an empty list\n  try model.parameters()"
            )
        for p in self.params:
            if not isinstance(p, Tensor) or not p.is_leaf or p.dtype.kind != "f":
                node = getattr(p, "_node", None)
                got = f"the result of {node.name}" if node else repr(p)[:60]
                raise ValueError(
                    f"{owner}: a parameter is a Tensor that was not computed.\n"
                    f"  got {got}\n  try Tensor(data, requires_grad=True)"
                )
        if len({id(p) for p in self.params}) < len(self.params):
            raise ValueError(
                f"{owner}: each parameter stands once in the list.\n"
                "  got one of them twice\n  try model.parameters()"
            )

    def _check_settings(self, group: dict[str, Any], known: dict[str, Any]) -> None:
        owner = type(self).__name__
        unknown = sorted(set(group) - set(known) - {"params"})
        if unknown:
            raise ValueError(
                f"{owner}: a group has the hyperparameters {', '.join(known)}.\n"
                f"  got {unknown[0]!r}\n  try one of these"
            )
        for name, value in group.items():
            if name == "betas":
                if not all(0 <= beta < 1 for beta in value):
                    raise ValueError(
                        f"{owner}: each beta must lie in [0, 1).\n  got {value}\n  try (0.9, 0.999)"
                    )
            elif name != "params" and not value >= 0:
                raise ValueError(
                    f"{owner}: {name} must not be negative.\n  got {value}\n  try a positive number"
                )

    @property
    def lr(self) -> float:
        """The learning rate of the first group; setting it sets that of all groups."""
        return self.param_groups[0]["lr"]

    @lr.setter
    def lr(self, value: float) -> None:
        for group in self.param_groups:
            group["lr"] = value

    def zero_grad(self) -> None:
        for p in self.params:
            p.grad = None

    def step(self, grad_scale: Tensor | None = None) -> None:
        """Update every parameter that has a gradient.

        grad_scale   a number of float64, such as clip_factor gives: gradients count so many times
        """
        before = self.steps
        launch(functools.partial(self._advance, self.grouped()))
        try:
            self._update_groups(grad_scale)
        except Exception:
            self.steps = before  # a step that was refused is none
            raise
        moved = [p._version for p in self.params if p.grad is not None]
        launch(functools.partial(count_change, moved))

    def _update_groups(self, grad_scale: Tensor | None) -> None:
        states = dict(zip(map(id, self.params), self.state, strict=True))
        for number, group in enumerate(self.param_groups):
            write = functools.partial(self._write_settings, number)
            settings = filled(write, SETTINGS, np.float64)
            if grad_scale is not None:
                settings[:1] = grad_scale.data.reshape(1)
            together: dict[Any, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    together.setdefault(self.group_of(p), []).append(p)
            for params in together.values():
                self.update(params, [states[id(p)] for p in params], settings)

    def grouped(self) -> list[list[int]]:
        return [[id(p) for p in group["params"]] for group in self.param_groups]

    def _advance(self, expected: list[list[int]]) -> None:
        """One step more, of the parameters that there were when it was recorded"""
        if self.grouped() != expected or sum(map(len, expected)) != len(self.params):
            raise RuntimeError(
                f"{type(self).__name__}: the parameters in param_groups stay those it was made"
                " with.\n  got others\n  try a new optimizer"
            )
        self.steps += 1

    def _write_settings(self, number: int, out: np.ndarray) -> None:
        values = 1.0, *self.current_settings(self.param_groups[number])
        out[: len(values)] = values

    def group_of(self, parameter: Tensor) -> Any:
        """Parameters with the same answer are updated in one call."""
        return parameter.dtype

    def current_settings(self, group: dict[str, Any]) -> tuple[float, ...]:
        """The numbers that the kernel needs in step number `steps`"""
        raise TypeError(f"{type(self).__name__} defines current_settings()")

    def update(
        self, params: list[Tensor], states: list[dict[str, Tensor]], settings: np.ndarray
    ) -> None:
        raise TypeError(f"{type(self).__name__} defines update(params, states, settings)")

    def state_dict(self) -> dict[str, np.ndarray]:
        """Named arrays: "steps", and "<parameter's number>.<name>" for the state of each, which are
        shared, not copied: the next step changes them"""
        arrays = {"steps": np.asarray(self.steps)}
        for i, state in enumerate(self.state):
            arrays |= {f"{i}.{name}": tensor.data for name, tensor in state.items()}
        return arrays

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Copy what state_dict gave; names, shapes and dtypes must agree, or nothing is changed."""
        own = self.state_dict()
        wrong = [f"{name} is missing" for name in own if name not in arrays]
        wrong += [f"{name} is not part of it" for name in arrays if name not in own]
        wrong += [
            f"{name} is {arrays[name].dtype} {arrays[name].shape} and should be {a.dtype} {a.shape}"
            for name, a in own.items()
            if name in arrays
            and name != "steps"
            and (arrays[name].shape != a.shape or arrays[name].dtype != a.dtype)
        ]
        if wrong:
            raise ValueError(
                f"{type(self).__name__}: a state is one of an optimizer of the same parameters.\n"
                f"  got {'; '.join(wrong[:4])}{' ...' if len(wrong) > 4 else ''}\n"
                "  try the state that was saved with this model"
            )
        self.steps = int(arrays["steps"])
        for name, array in own.items():
            if name != "steps":
                array[...] = arrays[name]  # in place: a recorded step knows this memory


def count_change(versions: list[list[int]]) -> None:
    """Data with these versions was changed"""
    for version in versions:
        version[0] += 1


def data_of(params: list[Tensor]) -> list[np.ndarray]:
    return [p.data for p in params]


def kept(states: list[dict[str, Tensor]], name: str) -> list[np.ndarray]:
    """The arrays `name` of the parameters' states"""
    return [state[name].data for state in states]


def like(params: list[Tensor]) -> np.ndarray:
    """An empty array of the parameters' dtype, by which a kernel knows it"""
    return np.empty(0, params[0].dtype)

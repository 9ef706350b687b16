"""Schedulers by PyTorch's names: each sets the learning rates of an optimizer's groups, once when
it is made and then at each `step()`. For factors without an object see schedules.py."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_lite.kernels.watch import launch
from tinygrad_lite.optim.optimizer import Optimizer


class LRScheduler:
    """base_lrs: of the groups, as they were when it was made; last_epoch: calls of step(). Rates
    follow from these two: what somebody else has set in between is refused, not overwritten."""

    numbers = itertools.count()

    def __init__(self, optimizer: Optimizer):
        self.optimizer, self.last_epoch, self.made = optimizer, 0, next(self.numbers)
        self.base_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self._set()

    def factor(self, epoch: int) -> float:
        """Of the base learning rates"""
        raise TypeError(f"{type(self).__name__} defines factor(epoch)")

    def rate(self, base: float, epoch: int) -> float:
        return base * self.factor(epoch)

    def step(self) -> None:
        launch(self._step)  # in a jitted function, at each of its calls

    def _step(self) -> None:
        if self.get_last_lr() != self.set_lrs:
            raise RuntimeError(
                f"{type(self).__name__}: learning rates are set by one scheduler alone.\n"
                f"  got {self.get_last_lr()}, where it has set {self.set_lrs}\n"
                "  try SequentialLR for one after the other, LambdaLR for a product of factors"
            )
        self.last_epoch += 1
        self._set()

    def _set(self) -> None:
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.rate(base, self.last_epoch)
        self.set_lrs = self.get_last_lr()

    def get_last_lr(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What it has come to; the optimizer and its settings are not part of it"""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if len(state["base_lrs"]) != len(self.base_lrs):
            raise ValueError(
                f"{type(self).__name__}: a state is one for the same groups.\n"
                f"  got {len(state['base_lrs'])} for {len(self.base_lrs)} groups\n"
                "  try the state that was saved with this optimizer"
            )
        self.last_epoch, self.base_lrs = int(state["last_epoch"]), list(state["base_lrs"])
        self._set()


def _positive(name: str, **values: float) -> None:
    for key, value in values.items():
        if not value > 0:
            raise ValueError(f"{name}: {key} is positive.\n  got {value}\n  try 1")


class LambdaLR(LRScheduler):
    """The base learning rates times lr_lambda(epoch)"""

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float]):
        self.lr_lambda = lr_lambda
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        return self.lr_lambda(epoch)


class StepLR(LRScheduler):
    """times gamma every step_size steps"""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1):
        _positive("StepLR", step_size=step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        return self.gamma ** (epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """times gamma at each of the milestones"""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1):
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        return self.gamma ** sum(epoch >= milestone for milestone in self.milestones)


class ExponentialLR(LRScheduler):
    """times gamma at each step"""

    def __init__(self, optimizer: Optimizer, gamma: float):
        self.gamma = gamma
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        return self.gamma**epoch


class ConstantLR(LRScheduler):
    """times `factor` for the first total_iters steps"""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5):
        self.first, self.total_iters = factor, total_iters
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        return self.first if epoch < self.total_iters else 1.0


class LinearLR(LRScheduler):
    """times a factor on a straight line from start_factor to end_factor, in total_iters steps"""

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0,
        total_iters: int = 5,
    ):  # fmt: skip
        _positive("LinearLR", total_iters=total_iters)
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        share = min(epoch, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * share


class PolynomialLR(LRScheduler):
    """times (1 - epoch / total_iters)^power"""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0):
        _positive("PolynomialLR", total_iters=total_iters)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        return (1 - min(epoch, self.total_iters) / self.total_iters) ** self.power


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the base learning rate to eta_min in T_max steps, and back"""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0):
        _positive("CosineAnnealingLR", T_max=T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int) -> float:
        wave = (1 + math.cos(math.pi * epoch / self.T_max)) / 2
        return self.eta_min + (base - self.eta_min) * wave


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine in T_0 steps, then from the top again, T_mult times as long each time
    (Loshchilov, Hutter 2016)"""

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0):
        if T_0 < 1 or T_mult < 1 or T_0 % 1 or T_mult % 1:
            raise ValueError(
                "CosineAnnealingWarmRestarts: T_0 and T_mult are whole numbers from 1.\n"
                f"  got {T_0} and {T_mult}\n  try 10 and 2"
            )
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int) -> float:
        length = self.T_0
        while epoch >= length:
            epoch, length = epoch - length, length * self.T_mult
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * epoch / length)) / 2


class OneCycleLR(LRScheduler):
    """From max_lr / div_factor up to max_lr, and down to the first divided by final_div_factor, on
    half cosines, or lines with anneal_strategy="linear" (Smith, Topin 2017). Momentum stays as it
    is: PyTorch's, by default, cycles too."""

    def __init__(
        self, optimizer: Optimizer, max_lr: float, total_steps: int, pct_start: float = 0.3,
        anneal_strategy: str = "cos", div_factor: float = 25.0, final_div_factor: float = 1e4,
    ):  # fmt: skip
        _positive("OneCycleLR", max_lr=max_lr, total_steps=total_steps)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                "OneCycleLR: the strategy is 'cos' or 'linear'.\n"
                f"  got {anneal_strategy!r}\n  try 'cos'"
            )
        self.max_lr, self.total_steps, self.linear = max_lr, total_steps, anneal_strategy != "cos"
        self.up = pct_start * total_steps - 1
        self.initial = max_lr / div_factor
        self.final = self.initial / final_div_factor
        super().__init__(optimizer)

    def rate(self, base: float, epoch: int) -> float:
        if epoch >= self.total_steps:
            raise ValueError(
                "OneCycleLR: a cycle has total_steps steps.\n"
                f"  got step {epoch + 1} of {self.total_steps}\n  try a larger total_steps"
            )
        if epoch <= self.up:
            return self._between(self.initial, self.max_lr, epoch / self.up if self.up else 1.0)
        down = self.total_steps - 1 - self.up
        return self._between(self.max_lr, self.final, (epoch - self.up) / down)

    def _between(self, start: float, end: float, share: float) -> float:
        if self.linear:
            return start + (end - start) * share
        return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


class SequentialLR(LRScheduler):
    """One scheduler after the other; each begins anew at its milestone"""

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]
    ):
        if len(schedulers) != len(milestones) + 1:
            raise ValueError(
                "SequentialLR: there is a milestone between each two schedulers.\n"
                f"  got {len(schedulers)} and {len(milestones)}\n  try one milestone less"
            )
        if sorted(set(milestones)) != list(milestones):
            raise ValueError(
                "SequentialLR: each milestone comes after the one before.\n"
                f"  got {list(milestones)}\n  try {sorted(set(milestones))}"
            )
        if any(one.optimizer is not optimizer for one in schedulers):
            raise ValueError(
                "SequentialLR: all schedulers are those of its optimizer.\n"
                "  got one of another optimizer\n  try one SequentialLR for each"
            )
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        first = min(schedulers, key=lambda one: one.made)  # which has seen the optimizer's own
        for group, base in zip(optimizer.param_groups, first.base_lrs, strict=True):
            group["lr"] = base
        super().__init__(optimizer)
        self.made = first.made

    def rate(self, base: float, epoch: int) -> float:
        number = sum(epoch >= milestone for milestone in self.milestones)
        start = self.milestones[number - 1] if number else 0
        return self.schedulers[number].rate(base, epoch - start)


class ReduceLROnPlateau:
    """times `factor` after `patience` steps in which a metric has not improved by `threshold`, its
    share; mode "min" or "max" of what is better"""

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10,
        threshold: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0,
    ):  # fmt: skip
        if mode not in ("min", "max") or not 0 < factor < 1:
            raise ValueError(
                "ReduceLROnPlateau: the mode is 'min' or 'max', the factor below 1.\n"
                f"  got {mode!r} and {factor}\n  try 'min' and 0.1"
            )
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.cooldown, self.min_lr = threshold, cooldown, min_lr
        self.best, self.bad, self.rest = math.inf if mode == "min" else -math.inf, 0, 0

    def step(self, metric: float) -> None:
        metric = float(metric)
        if self.mode == "min":
            better = metric < self.best * (1 - self.threshold)
        else:
            better = metric > self.best * (1 + self.threshold)
        if better:
            self.best, self.bad = metric, 0
        else:
            self.bad += 1
        if self.rest > 0:
            self.rest, self.bad = self.rest - 1, 0
        if self.bad > self.patience:
            for group in self.optimizer.param_groups:
                group["lr"] = max(group["lr"] * self.factor, self.min_lr)
            self.rest, self.bad = self.cooldown, 0

    def get_last_lr(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What it has come to; the optimizer, its rates and the settings are not part of it"""
        return {"best": self.best, "bad": self.bad, "rest": self.rest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.bad, self.rest = (state[name] for name in ("best", "bad", "rest"))

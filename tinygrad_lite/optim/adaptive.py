"""Optimizers that scale steps by what gradients have been: RMSprop, Adagrad, Adamax, NAdam, Lion,
LAMB. Each kernel is given rows of addresses, in the order of its docstring."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_lite.kernels.compile import CHUNKS, kernel, part_of
from tinygrad_lite.kernels.tables import Table, array_at
from tinygrad_lite.optim.optimizer import Optimizer, data_of, kept, like
from tinygrad_lite.tensor import Tensor, gradients_of

Betas = tuple[float, float]


class _Adaptive(Optimizer):
    """An optimizer whose kernel takes a table of w, the arrays of the state, and g"""

    kernel: Any = None

    def update(
        self, params: list[Tensor], states: list[dict[str, Tensor]], settings: np.ndarray
    ) -> None:
        arrays = (kept(states, name) for name in self.names)
        table = Table(data_of(params), *arrays, gradients_of(params))
        type(self).kernel(table, like(params), settings)


@kernel
def rmsprop_kernel(chunk, table, like, settings):
    """w, v, mean, momentum, g; torch.optim.RMSprop's form"""
    f = like.dtype.type
    scale, lr, alpha, eps = f(settings[0]), f(settings[1]), f(settings[2]), f(settings[3])
    l2, beta, centered, one = f(settings[4]), f(settings[5]), f(settings[6]), f(1)
    for row in range(len(table)):
        n = table[row, 5]
        part = part_of(n, chunk)
        w, v = array_at(table[row, 0], n, like)[part], array_at(table[row, 1], n, like)[part]
        mean, m = array_at(table[row, 2], n, like)[part], array_at(table[row, 3], n, like)[part]
        g = array_at(table[row, 4], n, like)[part]
        for i in range(w.size):
            d = g[i] * scale + l2 * w[i]
            v[i] = alpha * v[i] + (one - alpha) * d * d
            mean[i] += (one - alpha) * (d - mean[i])
            spread = v[i] - centered * mean[i] * mean[i]
            m[i] = beta * m[i] + d / (np.sqrt(spread) + eps)
            w[i] -= lr * m[i]


class RMSprop(_Adaptive):
    """Gradients divided by the root of their average square (Hinton 2012); centered: by their
    deviation. As torch.optim.RMSprop"""

    names, kernel = ("v", "mean", "momentum"), staticmethod(rmsprop_kernel)

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0.0, momentum: float = 0.0, centered: bool = False,
    ):  # fmt: skip
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay,
                         momentum=momentum, centered=centered)  # fmt: skip

    def current_settings(self, group: dict[str, Any]) -> tuple[float, ...]:
        names = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered")
        return tuple(float(group[name]) for name in names)


@kernel
def adagrad_kernel(chunk, table, like, settings):
    """w, v, g; Duchi, Hazan, Singer 2011"""
    f = like.dtype.type
    scale, lr, eps, l2 = f(settings[0]), f(settings[1]), f(settings[2]), f(settings[3])
    for row in range(len(table)):
        n = table[row, 3]
        part = part_of(n, chunk)
        w, v = array_at(table[row, 0], n, like)[part], array_at(table[row, 1], n, like)[part]
        g = array_at(table[row, 2], n, like)[part]
        for i in range(w.size):
            d = g[i] * scale + l2 * w[i]
            v[i] += d * d
            w[i] -= lr * d / (np.sqrt(v[i]) + eps)


class Adagrad(_Adaptive):
    """Gradients divided by the root of the sum of their squares, as torch.optim.Adagrad"""

    names, kernel = ("v",), staticmethod(adagrad_kernel)

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-2, lr_decay: float = 0.0,
        weight_decay: float = 0.0, initial_accumulator_value: float = 0.0, eps: float = 1e-10,
    ):  # fmt: skip
        super().__init__(
            params, lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps,
            initial_accumulator_value=initial_accumulator_value,
        )  # fmt: skip
        initial = {
            id(p): group["initial_accumulator_value"]
            for group in self.param_groups for p in group["params"]
        }  # fmt: skip
        for p, state in zip(self.params, self.state, strict=True):
            state["v"].data[...] = initial[id(p)]

    def current_settings(self, group: dict[str, Any]) -> tuple[float, ...]:
        lr = group["lr"] / (1 + (self.steps - 1) * group["lr_decay"])
        return lr, group["eps"], group["weight_decay"]


@kernel
def adamax_kernel(chunk, table, like, settings):
    """w, m, u, g; Kingma, Ba 2014, algorithm 2"""
    f = like.dtype.type
    scale, lr, beta_1, beta_2 = f(settings[0]), f(settings[1]), f(settings[2]), f(settings[3])
    eps, l2, one = f(settings[4]), f(settings[5]), f(1)
    for row in range(len(table)):
        n = table[row, 4]
        part = part_of(n, chunk)
        w, m = array_at(table[row, 0], n, like)[part], array_at(table[row, 1], n, like)[part]
        u, g = array_at(table[row, 2], n, like)[part], array_at(table[row, 3], n, like)[part]
        for i in range(w.size):
            d = g[i] * scale + l2 * w[i]
            m[i] = beta_1 * m[i] + (one - beta_1) * d
            u[i] = max(beta_2 * u[i], abs(d) + eps)
            w[i] -= lr * m[i] / u[i]


class Adamax(_Adaptive):
    """Adam with the largest gradient in place of the average square, as torch.optim.Adamax"""

    names, kernel = ("m", "u"), staticmethod(adamax_kernel)

    def __init__(
        self, params: Iterable[Any], lr: float = 2e-3, betas: Betas = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0.0,
    ):  # fmt: skip
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def current_settings(self, group: dict[str, Any]) -> tuple[float, ...]:
        beta_1, beta_2 = group["betas"]
        lr = group["lr"] / (1 - beta_1**self.steps)
        return lr, beta_1, beta_2, group["eps"], group["weight_decay"]


@kernel
def nadam_kernel(chunk, table, like, settings):
    """w, m, v, g; Dozat 2016"""
    f = like.dtype.type
    scale, lr_g, lr_m, beta_1 = f(settings[0]), f(settings[1]), f(settings[2]), f(settings[3])
    beta_2, eps, l2, correction = f(settings[4]), f(settings[5]), f(settings[6]), f(settings[7])
    one = f(1)
    for row in range(len(table)):
        n = table[row, 4]
        part = part_of(n, chunk)
        w, m = array_at(table[row, 0], n, like)[part], array_at(table[row, 1], n, like)[part]
        v, g = array_at(table[row, 2], n, like)[part], array_at(table[row, 3], n, like)[part]
        for i in range(w.size):
            d = g[i] * scale + l2 * w[i]
            m[i] = beta_1 * m[i] + (one - beta_1) * d
            v[i] = beta_2 * v[i] + (one - beta_2) * d * d
            w[i] -= (lr_g * d + lr_m * m[i]) / (np.sqrt(v[i] * correction) + eps)


class NAdam(_Adaptive):
    """Adam with Nesterov's momentum, as torch.optim.NAdam"""

    names, kernel = ("m", "v"), staticmethod(nadam_kernel)

    def __init__(
        self, params: Iterable[Any], lr: float = 2e-3, betas: Betas = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0.0, momentum_decay: float = 4e-3,
    ):  # fmt: skip
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay,
                         momentum_decay=momentum_decay)  # fmt: skip

    def current_settings(self, group: dict[str, Any]) -> tuple[float, ...]:
        beta_1, beta_2 = group["betas"]
        at = np.arange(1, self.steps + 2)
        momenta = beta_1 * (1 - 0.5 * 0.96 ** (at * group["momentum_decay"]))
        product = float(np.prod(momenta[:-1]))
        now, following = momenta[-2:]
        lr_g = group["lr"] * (1 - now) / (1 - product)
        lr_m = group["lr"] * following / (1 - product * following)
        correction = 1 / (1 - beta_2**self.steps)
        return lr_g, lr_m, beta_1, beta_2, group["eps"], group["weight_decay"], correction


@kernel
def lion_kernel(chunk, table, like, settings):
    """w, m, g; Chen and others 2023 (arXiv:2302.06675)"""
    f = like.dtype.type
    scale, lr, beta_1, beta_2 = f(settings[0]), f(settings[1]), f(settings[2]), f(settings[3])
    decay, zero, one = f(settings[4]), f(0), f(1)
    for row in range(len(table)):
        n = table[row, 3]
        part = part_of(n, chunk)
        w, m = array_at(table[row, 0], n, like)[part], array_at(table[row, 1], n, like)[part]
        g = array_at(table[row, 2], n, like)[part]
        for i in range(w.size):
            d = g[i] * scale
            c = beta_1 * m[i] + (one - beta_1) * d
            step = c  # NaN stays NaN
            if c > zero:
                step = one
            elif c < zero:
                step = -one
            w[i] = w[i] * decay - lr * step
            m[i] = beta_2 * m[i] + (one - beta_2) * d


class Lion(_Adaptive):
    """Steps of one size, in the direction of the momentum's signs"""

    names, kernel = ("m",), staticmethod(lion_kernel)

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-4, betas: Betas = (0.9, 0.99),
        weight_decay: float = 0.0,
    ):  # fmt: skip
        super().__init__(params, lr=lr, betas=betas, weight_decay=weight_decay)

    def current_settings(self, group: dict[str, Any]) -> tuple[float, ...]:
        return group["lr"], *group["betas"], 1 - group["lr"] * group["weight_decay"]


@kernel
def lamb_kernel(chunk, table, like, settings):
    """w, m, v, step, g; You and others 2019 (arXiv:1904.00962), algorithm 2. A parameter is one
    task's: its norms are sums over all of it."""
    f = like.dtype.type
    scale, lr, beta_1, beta_2 = f(settings[0]), f(settings[1]), f(settings[2]), f(settings[3])
    eps, decay = f(settings[4]), f(settings[5])
    correction_1, correction_2, one = f(settings[6]), f(settings[7]), f(1)
    for row in range(chunk, len(table), CHUNKS):
        n = table[row, 5]
        w, m = array_at(table[row, 0], n, like), array_at(table[row, 1], n, like)
        v, r = array_at(table[row, 2], n, like), array_at(table[row, 3], n, like)
        g = array_at(table[row, 4], n, like)
        of_w, of_r = 0.0, 0.0
        for i in range(n):
            d = g[i] * scale
            m[i] = beta_1 * m[i] + (one - beta_1) * d
            v[i] = beta_2 * v[i] + (one - beta_2) * d * d
            r[i] = m[i] * correction_1 / (np.sqrt(v[i] * correction_2) + eps) + decay * w[i]
            of_w += np.float64(w[i]) * w[i]
            of_r += np.float64(r[i]) * r[i]
        trust = lr
        if of_w > 0 and of_r > 0:
            trust = lr * f(np.sqrt(of_w / of_r))
        for i in range(n):
            w[i] -= trust * r[i]


class Lamb(_Adaptive):
    """Adam's steps, each as long as its parameter's norm: for very large batches"""

    names, kernel = ("m", "v", "step"), staticmethod(lamb_kernel)

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, betas: Betas = (0.9, 0.999),
        eps: float = 1e-6, weight_decay: float = 0.0,
    ):  # fmt: skip
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def current_settings(self, group: dict[str, Any]) -> tuple[float, ...]:
        beta_1, beta_2 = group["betas"]
        corrections = 1 / (1 - beta_1**self.steps), 1 / (1 - beta_2**self.steps)
        return group["lr"], beta_1, beta_2, group["eps"], group["weight_decay"], *corrections

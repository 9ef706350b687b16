"""Stochastic gradient descent with momentum."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.tables import Table, array_at
from tinygrad_lite.optim.optimizer import Optimizer, data_of, kept, like
from tinygrad_lite.tensor import Tensor, gradients_of


@kernel
def sgd_kernel(chunk, table, like, settings):
    """Rows of table: w, momentum, g; torch.optim.SGD's form: m = beta * m + damped * g, then
    w -= lr * m, or with Nesterov's momentum w -= lr * (g + beta * m)"""
    f = like.dtype.type
    scale, lr, beta, weight_decay = (
        f(settings[0]),
        f(settings[1]),
        f(settings[2]),
        f(settings[3]),
    )
    damped, nesterov = f(settings[4]), settings[5] != 0
    for row in range(len(table)):
        part = part_of(table[row, 3], chunk)
        w = array_at(table[row, 0], table[row, 3], like)[part]
        m = array_at(table[row, 1], table[row, 3], like)[part]
        g = array_at(table[row, 2], table[row, 3], like)[part]
        for i in range(w.size):
            d = g[i] * scale + weight_decay * w[i]
            m[i] = beta * m[i] + damped * d
            w[i] -= lr * (d + beta * m[i] if nesterov else m[i])


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as torch.optim.SGD"""

    names = ("momentum",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ):
        super().__init__(
            params, lr=lr, momentum=momentum, weight_decay=weight_decay, dampening=dampening,
            nesterov=nesterov,
        )  # fmt: skip
        if any(g["nesterov"] and (not g["momentum"] or g["dampening"]) for g in self.param_groups):
            raise ValueError(
                "SGD: Nesterov's momentum is a momentum, without dampening.\n"
                f"  got momentum={momentum}, dampening={dampening}\n  try momentum=0.9"
            )

    def current_settings(self, group: dict[str, Any]) -> tuple[float, ...]:
        # The first step's momentum is the gradient itself
        damped = 1.0 if self.steps == 1 or not group["momentum"] else 1 - group["dampening"]
        return group["lr"], group["momentum"], group["weight_decay"], damped, group["nesterov"]

    def update(
        self, params: list[Tensor], states: list[dict[str, Tensor]], settings: np.ndarray
    ) -> None:
        table = Table(data_of(params), kept(states, "momentum"), gradients_of(params))
        sgd_kernel(table, like(params), settings)

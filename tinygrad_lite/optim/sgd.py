"""Stochastic gradient descent with momentum."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.tables import Table, array_at
from tinygrad_lite.optim.optimizer import Optimizer, data_of, gradients_of, kept, like
from tinygrad_lite.tensor import Tensor


@kernel
def sgd_kernel(chunk, table, like, settings):
    """Rows of table: w, momentum, g; torch.optim.SGD's form: m = beta * m + g, w -= lr * m"""
    f = like.dtype.type
    scale, lr, beta, weight_decay = (
        f(settings[0]),
        f(settings[1]),
        f(settings[2]),
        f(settings[3]),
    )
    for row in range(len(table)):
        part = part_of(table[row, 3], chunk)
        w = array_at(table[row, 0], table[row, 3], like)[part]
        m = array_at(table[row, 1], table[row, 3], like)[part]
        g = array_at(table[row, 2], table[row, 3], like)[part]
        for i in range(w.size):
            m[i] = beta * m[i] + (g[i] * scale + weight_decay * w[i])
            w[i] -= lr * m[i]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as torch.optim.SGD"""

    names = ("momentum",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay)

    def current_settings(self, group: dict[str, Any]) -> tuple[float, ...]:
        return group["lr"], group["momentum"], group["weight_decay"]

    def update(
        self, params: list[Tensor], states: list[dict[str, Tensor]], settings: np.ndarray
    ) -> None:
        table = Table(data_of(params), kept(states, "momentum"), gradients_of(params))
        sgd_kernel(table, like(params), settings)

"""Adam and AdamW: steps divided by the root of the gradient's average square."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.tables import Table, array_at
from tinygrad_lite.optim.optimizer import Optimizer, data_of, kept, like
from tinygrad_lite.tensor import Tensor, gradients_of


@kernel
def adamw_kernel(chunk, table, like, settings):
    """Rows of table: w, m, v, g. Loshchilov, Hutter 2017 (arXiv:1711.05101), algorithm 2: the decay
    acts on w, not on g; with l2 > 0, Adam (Kingma, Ba 2014) with the penalty added to g."""
    f = like.dtype.type
    one, scale, lr = f(1), f(settings[0]), f(settings[1])
    beta_1, beta_2, eps = f(settings[2]), f(settings[3]), f(settings[4])
    decay, l2 = f(settings[5]), f(settings[6])
    correction_1, correction_2 = f(settings[7]), f(settings[8])
    for row in range(len(table)):
        part = part_of(table[row, 4], chunk)
        w = array_at(table[row, 0], table[row, 4], like)[part]
        m = array_at(table[row, 1], table[row, 4], like)[part]
        v = array_at(table[row, 2], table[row, 4], like)[part]
        g = array_at(table[row, 3], table[row, 4], like)[part]
        for i in range(w.size):
            d = g[i] * scale + l2 * w[i]
            m[i] = beta_1 * m[i] + (one - beta_1) * d
            v[i] = beta_2 * v[i] + (one - beta_2) * d * d
            step = m[i] * correction_1 / (np.sqrt(v[i] * correction_2) + eps)
            w[i] = w[i] * decay - lr * step


class AdamW(Optimizer):
    """Adam with decoupled weight decay (arXiv:1711.05101), as torch.optim.AdamW"""

    coupled = False  # whether weight decay is added to the gradient
    names = "m", "v"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def current_settings(self, group: dict[str, Any]) -> tuple[float, ...]:
        lr, weight_decay, (beta_1, beta_2) = group["lr"], group["weight_decay"], group["betas"]
        decay = 1.0 if self.coupled else 1 - lr * weight_decay
        l2 = weight_decay if self.coupled else 0.0
        corrections = 1 / (1 - beta_1**self.steps), 1 / (1 - beta_2**self.steps)
        return lr, beta_1, beta_2, group["eps"], decay, l2, *corrections

    def update(
        self, params: list[Tensor], states: list[dict[str, Tensor]], settings: np.ndarray
    ) -> None:
        m, v = kept(states, "m"), kept(states, "v")
        table = Table(data_of(params), m, v, gradients_of(params))
        adamw_kernel(table, like(params), settings)


class Adam(AdamW):
    """Adam (Kingma, Ba 2014, arXiv:1412.6980), as torch.optim.Adam: an L2 penalty"""

    coupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, lr, betas, eps, weight_decay)

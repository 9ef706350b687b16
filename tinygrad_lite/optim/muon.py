"""Muon: momentum, orthogonalised, for the matrices inside a model."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_lite.kernels.arrays import contiguous
from tinygrad_lite.kernels.compile import SERIAL_SIZE, kernel, part_of
from tinygrad_lite.kernels.gemm import gemm
from tinygrad_lite.kernels.precision import precision
from tinygrad_lite.kernels.rows import dot
from tinygrad_lite.kernels.tables import Table, array_at
from tinygrad_lite.kernels.team import get_num_threads
from tinygrad_lite.optim.optimizer import Optimizer, data_of, kept
from tinygrad_lite.tensor import Tensor, gradients_of

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz polynomial


@kernel
def look_ahead_kernel(chunk, ahead, table, settings):
    """Rows of table: momentum, g. m = beta * m + (1 - beta) * g, and Nesterov's look ahead: ahead
    (matrices, size) = beta * m + (1 - beta) * g with the new m"""
    f = ahead.dtype.type
    scale, beta, rest = f(settings[0]), f(settings[2]), f(1 - settings[2])
    for row in range(len(table)):
        part = part_of(table[row, 2], chunk)
        m = array_at(table[row, 0], table[row, 2], ahead)[part]
        g = array_at(table[row, 1], table[row, 2], ahead)[part]
        to = ahead[row, part]
        for i in range(to.size):
            m[i] = beta * m[i] + rest * (g[i] * scale)
            to[i] = beta * m[i] + rest * (g[i] * scale)


@kernel
def move_kernel(chunk, table, direction, settings, scale):
    """Rows of table: w. w = w * (1 - lr * weight_decay) - lr * scale * direction"""
    f = direction.dtype.type
    step, decay = f(settings[1] * scale), f(1 - settings[1] * settings[3])
    for row in range(len(table)):
        part = part_of(table[row, 1], chunk)
        w, d = array_at(table[row, 0], table[row, 1], direction)[part], direction[row, part]
        for i in range(w.size):
            w[i] = w[i] * decay - d[i] * step


@kernel
def normalize_kernel(task, y, x):
    """y = x / its norm, for matrices (N, rows, columns), each a task"""
    x, y = x[task].reshape(-1), y[task].reshape(-1)
    norm = x.dtype.type(math.sqrt(dot(x, x))) + x.dtype.type(1e-7)
    for i in range(x.size):
        y[i] = x[i] / norm


@kernel
def polynomial_kernel(chunk, q, x, square):
    """q = a I + b x + c square, for matrices (N, n, n)"""
    f, n = q.dtype.type, q.shape[2]
    a, b, c = f(COEFFICIENTS[0]), f(COEFFICIENTS[1]), f(COEFFICIENTS[2])
    rows = part_of(q.shape[0] * n, chunk)
    q, x, square = q.reshape(-1, n)[rows], x.reshape(-1, n)[rows], square.reshape(-1, n)[rows]
    for i in range(len(q)):
        for j in range(n):
            q[i, j] = square[i, j] * c + x[i, j] * b
        q[i, (rows.start + i) % n] += a


class Muon(Optimizer):
    """Momentum, orthogonalised (Jordan and others 2024, kellerjordan.github.io/posts/muon).

    For matrices only. The momentum's singular values are moved close to 1, so that every direction
    of the matrix learns at the same pace; the step is scaled by sqrt(max(1, rows / columns)).
    """

    names = ("momentum",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        ns_steps: int = 5,
    ):
        """ns_steps: Newton-Schulz iterations, 1 or more"""
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay)
        if not (isinstance(ns_steps, int) and ns_steps >= 1):
            raise ValueError(
                "Muon: the number of Newton-Schulz iterations is 1 or more.\n"
                f"  got ns_steps={ns_steps!r}\n  try ns_steps=5"
            )
        self._ns_steps = ns_steps
        wrong = [p.shape for p in self.params if p.ndim != 2]
        if wrong:
            raise ValueError(
                "Muon: every parameter must be a matrix.\n"
                f"  got shape {wrong[0]}\n  try AdamW for vectors and embeddings"
            )

    @property
    def ns_steps(self) -> int:
        """Newton-Schulz iterations; they stay, since a recorded step would not notice"""
        return self._ns_steps

    def group_of(self, parameter: Tensor) -> Any:
        return parameter.dtype, parameter.shape

    def current_settings(self, group: dict[str, Any]) -> tuple[float, ...]:
        return group["lr"], group["momentum"], group["weight_decay"]

    def update(
        self, params: list[Tensor], states: list[dict[str, Tensor]], settings: np.ndarray
    ) -> None:
        rows, columns = params[0].shape
        gradients = gradients_of(params)
        shape = len(params), rows * columns
        ahead = np.empty(shape, params[0].dtype, like=gradients[0])
        look_ahead_kernel(ahead, Table(kept(states, "momentum"), gradients), settings)
        with precision("float32"):
            matrices = ahead.reshape(-1, rows, columns)
            direction = orthogonalize(matrices, self._ns_steps).reshape(ahead.shape)
        scale = math.sqrt(max(1.0, rows / columns))
        move_kernel(Table(data_of(params)), direction, settings, scale)


def orthogonalize(matrices: np.ndarray, steps: int = 5) -> np.ndarray:
    """For each of matrices (N, rows, columns), one with the same singular vectors and singular
    values near 1 (0.7 to 1.2).

    Newton-Schulz iteration X <- Q X with Q = a I + b A + c A A and A = X X^T, on the smaller side
    (of tall matrices X Q and X^T X); the coefficients are Jordan's, chosen for a steep slope at 0
    rather than for convergence.

    All these matrices Q and A commute, so the next A is Q A Q. Where one side is at least twice the
    other, the product P of the Qs is computed from the small matrices alone, and X is multiplied by
    it once. In bfloat16 the small singular values would drown in the rounding of A.
    """
    batch, rows, columns = matrices.shape
    tall = rows > columns
    n, longer = sorted((rows, columns))
    given = contiguous(matrices)
    x = np.empty_like(given)
    threads = 1 if x.size < SERIAL_SIZE else get_num_threads()
    normalize_kernel.run(batch, threads, x, given)
    a, square, q, p, following = (np.empty((batch, n, n), x.dtype, like=x) for _ in range(5))

    def multiplied(q: np.ndarray, x: np.ndarray) -> np.ndarray:
        return gemm(np.empty_like(x), *((x, q) if tall else (q, x)))

    gemm(a, x, x, transpose_a=tall, transpose_b=not tall)
    for step in range(steps):
        last = step == steps - 1
        gemm(square, a, a)
        polynomial_kernel(q, a, square)
        if longer < 2 * n:
            x = multiplied(q, x)
            if not last:
                gemm(a, x, x, transpose_a=tall, transpose_b=not tall)
            continue
        p, following = (q if step == 0 else gemm(following, q, p)), p
        if not last:
            gemm(square, q, a)
            gemm(a, square, q)
        q = np.empty_like(q)
    return multiplied(p, x) if longer >= 2 * n else x

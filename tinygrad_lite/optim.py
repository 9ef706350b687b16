"""Optimizers in PyTorch's vocabulary, gradient clipping, and learning-rate schedules.

Each optimizer is built from its parameters and hyperparameters, updates the parameters in place
at `step()`, and gives its state to `state_dict()` as named arrays, so that a run can be resumed
with the same bits.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_lite.kernels.compile import CHUNKS, kernel, part_of
from tinygrad_lite.kernels.gemm import gemm
from tinygrad_lite.kernels.pointers import array_at, table_of
from tinygrad_lite.kernels.record import call, contiguous, empty, empty_like
from tinygrad_lite.kernels.rows import dot
from tinygrad_lite.tensor import Tensor, clear_gradients


@kernel
def sgd_kernel(chunk, table, like, settings):
    """Rows of table: w, momentum, g; torch.optim.SGD's form: m = beta * m + g, w -= lr * m"""
    f = like.dtype.type
    lr, beta, weight_decay = f(settings[0]), f(settings[1]), f(settings[2])
    for row in range(len(table)):
        part = part_of(table[row, 3], chunk)
        w = array_at(table[row, 0], table[row, 3], like)[part]
        m = array_at(table[row, 1], table[row, 3], like)[part]
        g = array_at(table[row, 2], table[row, 3], like)[part]
        for i in range(w.size):
            m[i] = beta * m[i] + (g[i] + weight_decay * w[i])
            w[i] -= lr * m[i]


@kernel
def adamw_kernel(chunk, table, like, settings):
    """Rows of table: w, m, v, g. Loshchilov, Hutter 2017 (arXiv:1711.05101), algorithm 2: the decay
    acts on w, not on g; with l2 > 0, Adam (Kingma, Ba 2014) with the penalty added to g."""
    f = like.dtype.type
    one, lr, beta_1, beta_2 = f(1), f(settings[0]), f(settings[1]), f(settings[2])
    eps, decay, l2 = f(settings[3]), f(settings[4]), f(settings[5])
    correction_1, correction_2 = f(settings[6]), f(settings[7])
    for row in range(len(table)):
        part = part_of(table[row, 4], chunk)
        w = array_at(table[row, 0], table[row, 4], like)[part]
        m = array_at(table[row, 1], table[row, 4], like)[part]
        v = array_at(table[row, 2], table[row, 4], like)[part]
        g = array_at(table[row, 3], table[row, 4], like)[part]
        for i in range(w.size):
            d = g[i] + l2 * w[i]
            m[i] = beta_1 * m[i] + (one - beta_1) * d
            v[i] = beta_2 * v[i] + (one - beta_2) * d * d
            step = m[i] * correction_1 / (np.sqrt(v[i] * correction_2) + eps)
            w[i] = w[i] * decay - lr * step


@kernel
def look_ahead_kernel(chunk, ahead, table, settings):
    """Rows of table: momentum, g. m = beta * m + (1 - beta) * g, and Nesterov's look ahead: ahead
    (matrices, size) = beta * m + (1 - beta) * g with the new m"""
    beta = ahead.dtype.type(settings[1])
    rest = ahead.dtype.type(1 - settings[1])
    for row in range(len(table)):
        part = part_of(table[row, 2], chunk)
        m = array_at(table[row, 0], table[row, 2], ahead)[part]
        g = array_at(table[row, 1], table[row, 2], ahead)[part]
        to = ahead[row, part]
        for i in range(to.size):
            m[i] = beta * m[i] + rest * g[i]
            to[i] = beta * m[i] + rest * g[i]


@kernel
def move_kernel(chunk, table, direction, settings, scale):
    """Rows of table: w. w = w * (1 - lr * weight_decay) - lr * scale * direction"""
    f = direction.dtype.type
    step, decay = f(settings[0] * scale), f(1 - settings[0] * settings[2])
    for row in range(len(table)):
        part = part_of(table[row, 1], chunk)
        w, d = array_at(table[row, 0], table[row, 1], direction)[part], direction[row, part]
        for i in range(w.size):
            w[i] = w[i] * decay - d[i] * step


@kernel
def square_sum_kernel(chunk, sums, table, like):
    """sums (CHUNKS,) float64 += sums of squares; rows of table: g"""
    for row in range(len(table)):
        g = array_at(table[row, 0], table[row, 1], like)[part_of(table[row, 1], chunk)]
        for start in range(0, g.size, 4096):  # float32 inside a block, float64 across blocks
            block = g[start : start + 4096]
            sums[chunk] += dot(block, block)


@kernel
def scale_kernel(chunk, table, like, factor):
    """g *= factor[0], unless that is 1; rows of table: g"""
    f = like.dtype.type(factor[0])
    for row in range(len(table) if factor[0] != 1 else 0):
        g = array_at(table[row, 0], table[row, 1], like)[part_of(table[row, 1], chunk)]
        for i in range(g.size):
            g[i] *= f


class Optimizer:
    """The parameters, their learning rate, and one dictionary of arrays for each parameter.

    A kernel updates all parameters of one dtype in one call. Its numbers are in an array,
    `settings`, which is filled at each step: a step that is recorded (see jit) can be replayed.
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
        self.settings = np.zeros(8)
        self.state: list[dict[str, np.ndarray]] = [{} for _ in self.params]

    def zero_grad(self) -> None:
        call(clear_gradients, self.params)

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        call(self._advance)
        groups: dict[Any, list[tuple[Tensor, dict[str, np.ndarray]]]] = {}
        for parameter, state in zip(self.params, self.state, strict=True):
            if parameter.grad is not None:
                groups.setdefault(self.group_of(parameter), []).append((parameter, state))
        for group in groups.values():
            self.update([p for p, _ in group], [state for _, state in group])

    def _advance(self) -> None:
        self.steps += 1
        values = self.current_settings()
        self.settings[: len(values)] = values

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
                self.state[int(number)][key] = np.array(array)

    def _kept(
        self, params: list[Tensor], states: list[dict[str, np.ndarray]], name: str
    ) -> list[np.ndarray]:
        """The arrays `name` of the parameters' states, zeros at first"""
        for parameter, state in zip(params, states, strict=True):
            if name not in state:
                state[name] = np.zeros_like(parameter.data)
        return [state[name] for state in states]


def _data(params: list[Tensor]) -> list[np.ndarray]:
    for p in params:
        p.data = np.ascontiguousarray(p.data)
    return [p.data for p in params]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as torch.optim.SGD"""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-2,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, lr, momentum=momentum, weight_decay=weight_decay)
        self.momentum, self.weight_decay = momentum, weight_decay

    def current_settings(self) -> tuple[float, ...]:
        return self.lr, self.momentum, self.weight_decay

    def update(self, params: list[Tensor], states: list[dict[str, np.ndarray]]) -> None:
        momentum = self._kept(params, states, "momentum")
        table = table_of(_data(params), momentum, _in_place(params))
        sgd_kernel(table, _like(params), self.settings)


class AdamW(Optimizer):
    """Adam with decoupled weight decay (arXiv:1711.05101), as torch.optim.AdamW"""

    coupled = False  # whether weight decay is added to the gradient

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        super().__init__(params, lr, eps=eps, weight_decay=weight_decay)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(
                f"{type(self).__name__}: each beta must lie in [0, 1).\n"
                f"  got {betas}\n  try (0.9, 0.999)"
            )
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay

    def current_settings(self) -> tuple[float, ...]:
        beta_1, beta_2 = self.betas
        decay = 1.0 if self.coupled else 1 - self.lr * self.weight_decay
        l2 = self.weight_decay if self.coupled else 0.0
        corrections = 1 / (1 - beta_1**self.steps), 1 / (1 - beta_2**self.steps)
        return self.lr, beta_1, beta_2, self.eps, decay, l2, *corrections

    def update(self, params: list[Tensor], states: list[dict[str, np.ndarray]]) -> None:
        m, v = (self._kept(params, states, name) for name in ("m", "v"))
        table = table_of(_data(params), m, v, _in_place(params))
        adamw_kernel(table, _like(params), self.settings)


class Adam(AdamW):
    """Adam (Kingma, Ba 2014, arXiv:1412.6980), as torch.optim.Adam: an L2 penalty"""

    coupled = True

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, lr, betas, eps, weight_decay)


class Muon(Optimizer):
    """Momentum, orthogonalised (Jordan and others 2024, kellerjordan.github.io/posts/muon).

    For matrices only. The momentum's singular values are moved close to 1, so that every direction
    of the matrix learns at the same pace; the step is scaled by sqrt(max(1, rows / columns)).
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, lr, momentum=momentum, weight_decay=weight_decay)
        self.momentum, self.weight_decay = momentum, weight_decay
        wrong = [p.shape for p in self.params if p.ndim != 2]
        if wrong:
            raise ValueError(
                "Muon: every parameter must be a matrix.\n"
                f"  got shape {wrong[0]}\n  try AdamW for vectors and embeddings"
            )

    def group_of(self, parameter: Tensor) -> Any:
        return parameter.dtype, parameter.shape

    def current_settings(self) -> tuple[float, ...]:
        return self.lr, self.momentum, self.weight_decay

    def update(self, params: list[Tensor], states: list[dict[str, np.ndarray]]) -> None:
        rows, columns = params[0].shape
        ahead = empty((len(params), rows * columns), params[0].dtype)
        momentum = self._kept(params, states, "momentum")
        look_ahead_kernel(ahead, table_of(momentum, _in_place(params)), self.settings)
        direction = orthogonalize(ahead.reshape(-1, rows, columns)).reshape(ahead.shape)
        scale = math.sqrt(max(1.0, rows / columns))
        move_kernel(table_of(_data(params)), direction, self.settings, scale)


def orthogonalize(matrices: np.ndarray, steps: int = 5) -> np.ndarray:
    """For each of matrices (N, rows, columns), one with the same singular vectors and singular
    values near 1 (0.7 to 1.2).

    Newton-Schulz iteration X <- Q X with Q = a I + b A + c A A and A = X X^T, on the smaller side;
    the coefficients are Jordan's, chosen for a steep slope at 0 rather than for convergence.

    All these matrices Q and A commute, so the next A is Q A Q. Where one side is at least twice the
    other, the product P of the Qs is computed from the small matrices alone, and X is multiplied by
    it once.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[1] > matrices.shape[2]
    given = contiguous(np.swapaxes(matrices, 1, 2) if tall else matrices)
    x = empty_like(given)
    call(_normalize, x, given)
    batch, n, longer = x.shape
    a_, square, q, p, following = (empty((batch, n, n), x.dtype) for _ in range(5))
    gemm(a_, x, x, transpose_b=True)
    for step in range(steps):
        last = step == steps - 1
        gemm(square, a_, a_)
        call(_polynomial, q, a_, square, a, b, c)
        if longer < 2 * n:
            wide = empty_like(x)
            gemm(wide, q, x)
            x = wide
            if not last:
                gemm(a_, x, x, transpose_b=True)
            continue
        p, following = (q if step == 0 else gemm(following, q, p)), p
        if not last:
            gemm(square, q, a_)
            gemm(a_, square, q)
        q = empty_like(q)
    if longer >= 2 * n:
        x = gemm(empty_like(x), p, x)
    return contiguous(np.swapaxes(x, 1, 2)) if tall else x


def _normalize(y: np.ndarray, x: np.ndarray) -> None:
    norms = np.sqrt(np.einsum("nij,nij->n", x, x))
    np.divide(x, (norms + x.dtype.type(1e-7))[:, None, None], out=y)


def _polynomial(
    q: np.ndarray, x: np.ndarray, square: np.ndarray, a: float, b: float, c: float
) -> None:
    """q = a I + b x + c square, for matrices (N, n, n)"""
    f = q.dtype.type
    np.multiply(square, f(c), out=q)
    q += x * f(b)
    np.einsum("nii->ni", q)[...] += f(a)


def grad_norm(params: Iterable[Tensor]) -> Tensor:
    """The Euclidean norm of all gradients together, a Tensor of float64 without shape"""
    return Tensor._wrap(_norm_and_factor(_with_gradients(params), math.inf)[0].reshape(()))


def clip_grad_norm(params: Iterable[Tensor], max_norm: float) -> Tensor:
    """Scale all gradients so that their norm is at most max_norm; return the norm before."""
    params = _with_gradients(params)
    norm, factor = _norm_and_factor(params, max_norm)
    for group in _by_dtype(params):
        scale_kernel(table_of(_in_place(group)), _like(group), factor)
    return Tensor._wrap(norm.reshape(()))


def _norm_and_factor(params: list[Tensor], max_norm: float) -> tuple[np.ndarray, np.ndarray]:
    """The norm (1,), and the factor (1,) that brings it down to max_norm; summed in float64"""
    sums, result = empty(CHUNKS, np.float64), empty((2, 1), np.float64)
    call(np.copyto, sums, 0.0)
    for group in _by_dtype(params):
        square_sum_kernel(sums, table_of(_in_place(group)), _like(group))
    call(_finish_norm, result, sums, max_norm)
    return result[0], result[1]


def _finish_norm(result: np.ndarray, sums: np.ndarray, max_norm: float) -> None:
    norm = math.sqrt(sums.sum())
    result[0], result[1] = norm, max_norm / norm if norm > max_norm else 1.0


def _with_gradients(params: Iterable[Tensor]) -> list[Tensor]:
    return [p for p in params if p.grad is not None]


def _by_dtype(params: list[Tensor]) -> list[list[Tensor]]:
    return [[p for p in params if p.dtype == d] for d in dict.fromkeys(p.dtype for p in params)]


def _in_place(params: list[Tensor]) -> list[np.ndarray]:
    """The gradients themselves, made C-contiguous"""
    for p in params:
        assert p.grad is not None
        p.grad.data = contiguous(p.grad.data, p.dtype)
    return [p.grad.data for p in params if p.grad is not None]


def _like(params: list[Tensor]) -> np.ndarray:
    """An empty array of the parameters' dtype, by which a kernel knows it"""
    return np.empty(0, params[0].dtype)


def warmup_cosine(steps: int, warmup: int, lowest: float = 0.1) -> Callable[[int], float]:
    """Factor of the learning rate at step 0, 1, ...: linear warm-up, then half a cosine from 1 down
    to `lowest` (Loshchilov, Hutter 2016, arXiv:1608.03983)."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        return lowest + (1 - lowest) * 0.5 * (1 + math.cos(math.pi * progress))

    return factor


def warmup_plateau_decay(
    steps: int, warmup: int, plateau: float = 0.3, lowest: float = 0.0
) -> Callable[[int], float]:
    """Factor of the learning rate at step 0, 1, ...: linear warm-up, 1 until the fraction `plateau`
    of all steps, then a straight line down to `lowest` at the last step."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        start = max(warmup, plateau * steps)
        if step < start:
            return 1.0
        return max(lowest, 1 - (1 - lowest) * (step + 1 - start) / max(1, steps - start))

    return factor

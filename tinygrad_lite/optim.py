"""Optimizers in PyTorch's vocabulary, gradient clipping, and learning-rate schedules.

Each optimizer is built from its parameters and hyperparameters, updates the parameters in place
at `step()`, and gives its state to `state_dict()` as named arrays, so that a run can be resumed
with the same bits.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from tinygrad_lite.kernels.compile import kernel, part_of
from tinygrad_lite.kernels.gemm import gemm
from tinygrad_lite.tensor import Tensor


@kernel
def sgd_kernel(chunk, w, momentum, g, lr, beta, weight_decay):
    """momentum may be empty; torch.optim.SGD's form: m = beta * m + g, w -= lr * m"""
    part = part_of(w.size, chunk)
    w, g, momentum = w[part], g[part], momentum[part]
    for i in range(w.size):
        d = g[i] + weight_decay * w[i]
        if momentum.size:
            d += beta * momentum[i]
            momentum[i] = d
        w[i] -= lr * d


@kernel
def adamw_kernel(chunk, w, m, v, g, lr, beta_1, beta_2, eps, decay, correction_1, correction_2, l2):
    """Loshchilov, Hutter 2017 (arXiv:1711.05101), algorithm 2: the decay acts on w, not on g; with
    l2 > 0, Adam (Kingma, Ba 2014) with the penalty added to g."""
    one = w.dtype.type(1)
    part = part_of(w.size, chunk)
    w, m, v, g = w[part], m[part], v[part], g[part]
    for i in range(w.size):
        d = g[i] + l2 * w[i]
        m[i] = beta_1 * m[i] + (one - beta_1) * d
        v[i] = beta_2 * v[i] + (one - beta_2) * d * d
        step = m[i] * correction_1 / (np.sqrt(v[i] * correction_2) + eps)
        w[i] = w[i] * decay - lr * step


class Optimizer:
    """The parameters, their learning rate, and one dictionary of arrays for each parameter."""

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
        self.state: list[dict[str, np.ndarray]] = [{} for _ in self.params]

    def zero_grad(self) -> None:
        for parameter in self.params:
            parameter.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        self.steps += 1
        for parameter, state in zip(self.params, self.state, strict=True):
            if parameter.grad is not None:
                self.update(parameter.data, parameter.grad.data, state)

    def update(self, w: np.ndarray, g: np.ndarray, state: dict[str, np.ndarray]) -> None:
        raise TypeError(f"{type(self).__name__} defines update(w, g, state)")

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

    def _kept(self, state: dict[str, np.ndarray], name: str, like: np.ndarray) -> np.ndarray:
        """The array `name` of a parameter's state, zeros at first"""
        if name not in state:
            state[name] = np.zeros_like(like)
        return state[name]


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

    def update(self, w: np.ndarray, g: np.ndarray, state: dict[str, np.ndarray]) -> None:
        f = w.dtype.type
        kept = self._kept(state, "momentum", w) if self.momentum else np.empty(0, w.dtype)
        sgd_kernel(w.reshape(-1), kept.reshape(-1), g.reshape(-1),
                   f(self.lr), f(self.momentum), f(self.weight_decay))  # fmt: skip


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

    def update(self, w: np.ndarray, g: np.ndarray, state: dict[str, np.ndarray]) -> None:
        f = w.dtype.type
        m, v = self._kept(state, "m", w), self._kept(state, "v", w)
        beta_1, beta_2 = self.betas
        decay = 1.0 if self.coupled else 1 - self.lr * self.weight_decay
        adamw_kernel(
            w.reshape(-1), m.reshape(-1), v.reshape(-1), g.reshape(-1),
            f(self.lr), f(beta_1), f(beta_2), f(self.eps), f(decay),
            f(1 / (1 - beta_1**self.steps)), f(1 / (1 - beta_2**self.steps)),
            f(self.weight_decay if self.coupled else 0.0),
        )  # fmt: skip


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

    def step(self) -> None:
        """Update every parameter that has a gradient; those of one shape together."""
        self.steps += 1
        shapes: dict[tuple[int, ...], list[tuple[np.ndarray, np.ndarray]]] = {}
        for parameter, state in zip(self.params, self.state, strict=True):
            if parameter.grad is not None:
                w, g = parameter.data, parameter.grad.data
                m = self._kept(state, "momentum", w)
                f = w.dtype.type
                # The exponential average of g, then Nesterov's look ahead.
                m *= f(self.momentum)
                m += g * f(1 - self.momentum)
                ahead = g * f(1 - self.momentum) + m * f(self.momentum)
                shapes.setdefault(w.shape, []).append((w, ahead))
        for (rows, columns), group in shapes.items():
            scale = self.lr * math.sqrt(max(1.0, rows / columns))
            directions = orthogonalize(np.stack([ahead for _, ahead in group]))
            for (w, _), direction in zip(group, directions, strict=True):
                w *= w.dtype.type(1 - self.lr * self.weight_decay)
                w -= direction * w.dtype.type(scale)


def orthogonalize(matrices: np.ndarray, steps: int = 5) -> np.ndarray:
    """For each of matrices (N, rows, columns), one with the same singular vectors and singular
    values near 1 (0.7 to 1.2).

    Newton-Schulz iteration X <- a X + (b A + c A A) X with A = X X^T, on the smaller side; the
    coefficients are Jordan's, chosen for a steep slope at 0 rather than for convergence.
    """
    a, b, c = (matrices.dtype.type(n) for n in (3.4445, -4.7750, 2.0315))
    tall = matrices.shape[1] > matrices.shape[2]
    x = np.ascontiguousarray(np.swapaxes(matrices, 1, 2) if tall else matrices)
    x = x / (np.sqrt(np.sum(x * x, axis=(1, 2), keepdims=True)) + x.dtype.type(1e-7))
    batch, n, _ = x.shape
    square, fourth = np.empty((batch, n, n), x.dtype), np.empty((batch, n, n), x.dtype)
    following = np.empty_like(x)
    for _ in range(steps):
        gemm(square, x, x, transpose_b=True)
        gemm(fourth, square, square)
        fourth *= c
        square *= b
        fourth += square
        np.multiply(x, a, out=following)
        gemm(following, fourth, x, accumulate=True)
        x, following = following, x
    return np.swapaxes(x, 1, 2) if tall else x


def grad_norm(params: Iterable[Tensor]) -> float:
    """The Euclidean norm of all gradients together, summed in float64"""
    gradients = (p.grad.data for p in params if p.grad is not None)
    return math.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in gradients))


def clip_grad_norm(params: Sequence[Tensor], max_norm: float) -> float:
    """Scale all gradients so that their norm is at most max_norm; return the norm before."""
    params = list(params)
    norm = grad_norm(params)
    if norm > max_norm:
        for parameter in params:
            if parameter.grad is not None:
                parameter.grad.data *= parameter.dtype.type(max_norm / norm)
    return norm


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

"""L-BFGS: Newton's method with a Hessian that is guessed from the last steps.

Nocedal, Wright, "Numerical Optimization", 2nd edition, algorithms 7.4 (the direction, by two loops
over the last pairs of steps s and changes of the gradient y) and 3.5 (a step length that satisfies
the strong Wolfe conditions, here found by bisection).
"""

import math
from collections import deque
from collections.abc import Callable, Iterable

import numpy as np

from tinygrad_lite.tensor import Tensor

DECREASE, CURVATURE = 1e-4, 0.9  # of the Wolfe conditions
TRIES = 25  # of step lengths


class LBFGS:
    """For small problems without noise: all of the data in each evaluation.

        lbfgs = optim.LBFGS(model.parameters())
        def closure():
            loss = compute()
            loss.backward()  # into gradients that were cleared
            return loss
        loss = lbfgs.step(closure)  # up to max_iter iterations

    lr                 the first step length that is tried
    tolerance_grad     ends where the largest gradient is below
    tolerance_change   ends where the loss, or each parameter, changes by less
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1.0, max_iter: int = 20,
        tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 10,
    ):  # fmt: skip
        self.params = list(params)
        if not self.params or not all(isinstance(p, Tensor) and p.is_leaf for p in self.params):
            raise ValueError(
                "LBFGS: there are parameters to optimize, Tensors that were not computed.\n"
                f"  got {len(self.params)} of them\n  try model.parameters()"
            )
        if lr <= 0 or max_iter < 1 or history_size < 1:
            raise ValueError(
                "LBFGS: lr is positive, max_iter and history_size are 1 or more.\n"
                f"  got {lr}, {max_iter} and {history_size}\n  try lr=1.0"
            )
        self.lr, self.max_iter = lr, max_iter
        self.tolerance_grad, self.tolerance_change = tolerance_grad, tolerance_change
        self.pairs: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=history_size)

    def step(self, closure: Callable[[], Tensor]) -> float:
        """The loss after up to max_iter iterations; closure() computes it and its gradients.
        Parameters are left where the loss was lowest."""
        x = self._read()
        loss, g = self._evaluate(closure, x)
        if not (np.isfinite(loss) and np.isfinite(g).all()):
            raise ValueError(
                "LBFGS: it begins where the loss and its gradients are finite.\n"
                f"  got a loss of {loss}\n  try other parameters"
            )
        for _ in range(self.max_iter):
            if np.abs(g).max() <= self.tolerance_grad:
                break
            direction = self._direction(g)
            slope = float(direction @ g)
            if not slope < 0:  # the guess is of no use
                self.pairs.clear()
                direction, slope = -g, -float(g @ g)
            first = self.lr if self.pairs else min(1.0, 1 / np.abs(g).sum()) * self.lr
            t, new_loss, new_g = self._search(closure, x, direction, loss, slope, first)
            if t == 0:
                break
            s, y = t * direction, new_g - g
            if y @ s > 1e-10 * (y @ y):
                self.pairs.append((s, y))
            x, before, loss, g = x + s, loss, new_loss, new_g
            if abs(before - loss) < self.tolerance_change or np.abs(s).max() < (
                self.tolerance_change
            ):
                break
        self._write(x)
        return loss

    def _direction(self, g: np.ndarray) -> np.ndarray:
        """-H g"""
        q, alphas = -g, []
        for s, y in reversed(self.pairs):
            alpha = (s @ q) / (y @ s)
            q = q - alpha * y
            alphas.append(alpha)
        if self.pairs:
            s, y = self.pairs[-1]
            q = q * ((s @ y) / (y @ y))
        for (s, y), alpha in zip(self.pairs, reversed(alphas), strict=True):
            q = q + s * (alpha - (y @ q) / (y @ s))
        return q

    def _search(
        self, closure: Callable[[], Tensor], x: np.ndarray, direction: np.ndarray, loss: float,
        slope: float, first: float,
    ) -> tuple[float, float, np.ndarray]:  # fmt: skip
        """(length, loss, gradient) of a step that decreases the loss enough, and the slope"""
        low, high, t = 0.0, math.inf, first
        best = (0.0, loss, np.zeros_like(x))
        for _ in range(TRIES):
            new_loss, g = self._evaluate(closure, x + t * direction)
            new_slope = float(g @ direction)
            if not math.isfinite(new_loss) or new_loss > loss + DECREASE * t * slope:
                high = t
            else:
                if new_loss < best[1]:
                    best = (t, new_loss, g)
                if abs(new_slope) <= -CURVATURE * slope:
                    return t, new_loss, g
                low, high = (t, high) if new_slope < 0 else (low, t)
            t = 2 * t if high == math.inf else (low + high) / 2
        return best

    def _evaluate(self, closure: Callable[[], Tensor], x: np.ndarray) -> tuple[float, np.ndarray]:
        self._write(x)
        for p in self.params:
            p.grad = None
        loss_tensor = closure()
        if not isinstance(loss_tensor, Tensor) or all(p.grad is None for p in self.params):
            raise ValueError(
                "LBFGS: the closure computes gradients, and returns the loss, a Tensor.\n"
                f"  got {type(loss_tensor).__name__}, and"
                f" {sum(p.grad is not None for p in self.params)} gradients\n"
                "  try loss.backward(); return loss"
            )
        loss = float(loss_tensor.item())
        parts = [np.zeros(p.size) if p.grad is None else p.grad.numpy().reshape(-1)
                 for p in self.params]  # fmt: skip
        return loss, np.concatenate(parts).astype(np.float64)

    def _read(self) -> np.ndarray:
        return np.concatenate([p.numpy().reshape(-1) for p in self.params]).astype(np.float64)

    def _write(self, x: np.ndarray) -> None:
        at = 0
        for p in self.params:
            data = p.data
            data[...] = x[at : at + p.size].reshape(p.shape)
            p.data = data
            at += p.size

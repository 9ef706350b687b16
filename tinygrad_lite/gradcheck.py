"""Is a derivative right? Compare it with finite differences.

For a function f of arrays x and a random direction v of the same shapes,
    (f(x + h v) - f(x - h v)) / 2h  approximates  the sum of  gradient * v.
f's output is reduced to a number by a random u of its shape, so that one comparison involves every
entry of the Jacobian: u^T J v (the projection check of HIPS/autograd).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lite.tensor import Tensor


def check_gradients(
    function: Callable[..., Tensor],
    *inputs: Any,
    h: float = 1e-5,
    tolerance: float = 1e-5,
    directions: int = 4,
    seed: int = 0,
) -> float:
    """Raise AssertionError where a gradient of `function(*inputs)` differs from the differences.

    inputs      arrays or Tensors; floating-point ones are checked, in float64, others are passed on
    h           step of the central difference
    tolerance   largest allowed |analytic - numeric| / (scale of both + 1)
    directions  random directions for each input

    Returns the largest relative difference that it found.

    >>> tg.check_gradients(lambda x: x.sin(), [Tensor([1.0, 2.0])])
    0.0
    """
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(x.data if isinstance(x, Tensor) else x) for x in inputs]
    checked = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    arrays = [a.astype(np.float64) if i in checked else a for i, a in enumerate(arrays)]
    worst = 0.0

    tensors = [Tensor(a, requires_grad=i in checked) for i, a in enumerate(arrays)]
    out = function(*tensors)
    u = rng.standard_normal(out.shape)
    if out.requires_grad:
        out.backward(u)

    def projected(i: int, moved: np.ndarray) -> float:
        values = [moved if j == i else a for j, a in enumerate(arrays)]
        return float(np.sum(function(*[Tensor(a) for a in values]).data * u))

    for i in checked:
        given = tensors[i].grad
        gradient = np.zeros_like(arrays[i]) if given is None else given.data
        for _ in range(directions):
            v = rng.standard_normal(arrays[i].shape)
            numeric = (projected(i, arrays[i] + h * v) - projected(i, arrays[i] - h * v)) / (2 * h)
            analytic = float(np.sum(gradient * v))
            scale = max(abs(numeric), abs(analytic)) + 1
            difference = abs(numeric - analytic) / scale
            worst = max(worst, difference)
            assert difference <= tolerance, (
                "check_gradients: the gradient must agree with finite differences.\n"
                f"  got {analytic:.9g} from backward and {numeric:.9g} from differences along a"
                f" random direction of argument {i}, shape {arrays[i].shape}\n"
                "  try a look at the vjp, or inputs away from points without derivative"
            )
    return worst

"""Activations composed from primitives; those with a kernel are in fused/activations.py."""

from typing import Any

from tinygrad_lite.fused.activations import sigmoid, softplus
from tinygrad_lite.fused.softmax import softmax
from tinygrad_lite.ops.axes import takes_axis
from tinygrad_lite.ops.comparisons import ge, gt, le, lt
from tinygrad_lite.ops.elementwise import abs, add, clip, div, mul, neg, sub, where
from tinygrad_lite.ops.joining import chunk
from tinygrad_lite.ops.movement import reshape
from tinygrad_lite.ops.transcendental import expm1, tanh
from tinygrad_lite.tensor import Tensor

# Klambauer and others 2017, "Self-Normalizing Neural Networks", equation 14
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1)  (Clevert and others 2015)

    >>> tg.elu([-1, 2]).tolist()
    [-0.6321, 2.0]
    """
    return where(gt(x, 0), x, mul(expm1(clip(x, max=0.0)), alpha))


def celu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha * (exp(x / alpha) - 1)  (Barron 2017)

    >>> tg.celu([-1, 2]).tolist()
    [-0.6321, 2.0]
    """
    return where(gt(x, 0), x, mul(expm1(div(clip(x, max=0.0), alpha)), alpha))


def selu(x: Any) -> Tensor:
    """elu scaled so that mean 0 and variance 1 stay

    >>> tg.selu([-1, 1]).tolist()
    [-1.1113, 1.0507]
    """
    return mul(elu(x, SELU_ALPHA), SELU_SCALE)


def mish(x: Any) -> Tensor:
    """x * tanh(softplus(x))  (Misra 2019)

    >>> tg.mish([-1, 1]).tolist()
    [-0.3034, 0.8651]
    """
    return mul(x, tanh(softplus(x)))


def softsign(x: Any) -> Tensor:
    """x / (1 + |x|)

    >>> tg.softsign([-1, 1]).tolist()
    [-0.5, 0.5]
    """
    return div(x, abs(x) + 1)


def relu6(x: Any) -> Tensor:
    """x limited to [0, 6]; the derivative at the limits is 0.

    >>> tg.relu6([-1, 2, 8]).tolist()
    [0.0, 2.0, 6.0]
    """
    return hardtanh(x, 0.0, 6.0)


def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x limited to [min_val, max_val]; the derivative at the limits is 0.

    >>> tg.hardtanh([-2, 0.5, 2]).tolist()
    [-1.0, 0.5, 1.0]
    """
    return where(le(x, min_val), min_val, where(ge(x, max_val), max_val, x))


def hardsigmoid(x: Any) -> Tensor:
    """(x + 3) / 6 limited to [0, 1]; the derivative at the limits is 0.

    >>> tg.hardsigmoid([-4, 0, 4]).tolist()
    [0.0, 0.5, 1.0]
    """
    return div(hardtanh(add(x, 3), 0.0, 6.0), 6)


def hardswish(x: Any) -> Tensor:
    """x * hardsigmoid(x)  (Howard and others 2019)

    >>> tg.hardswish([-4, 1, 4]).tolist()
    [-0.0, 0.6667, 4.0]
    """
    return mul(x, hardsigmoid(x))


def logsigmoid(x: Any) -> Tensor:
    """log(sigmoid(x)), without overflow

    >>> tg.logsigmoid([0, 2]).tolist()
    [-0.6931, -0.1269]
    """
    return neg(softplus(neg(x)))


def quick_gelu(x: Any) -> Tensor:
    """x * sigmoid(1.702 x)  (Hendrycks, Gimpel 2016, section 2)

    >>> tg.quick_gelu([-1, 1]).tolist()
    [-0.1542, 0.8458]
    """
    return mul(x, sigmoid(mul(x, 1.702)))


def tanhshrink(x: Any) -> Tensor:
    """x - tanh(x)

    >>> tg.tanhshrink([0, 1]).tolist()
    [0.0, 0.2384]
    """
    return sub(x, tanh(x))


def hardshrink(x: Any, lambd: float = 0.5) -> Tensor:
    """x outside [-lambd, lambd], else 0

    >>> tg.hardshrink([-1, 0.2]).tolist()
    [-1.0, 0.0]
    """
    return where(le(abs(x), lambd), 0, x)


def softshrink(x: Any, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, no further than 0

    >>> tg.softshrink([-1, 0.2]).tolist()
    [-0.5, 0.0]
    """
    return where(gt(x, lambd), sub(x, lambd), where(lt(x, -lambd), add(x, lambd), mul(x, 0)))


def threshold(x: Any, threshold: float, value: float) -> Tensor:
    """x where x > threshold, else value

    >>> tg.threshold([0.5, 2], 1, 0).tolist()
    [0.0, 2.0]
    """
    return where(le(x, threshold), value, x)


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight * x; weight () or (1,), or (C,) for x (B, C, ...)

    >>> tg.prelu(Tensor([-1.0, 2.0]), Tensor([0.25])).tolist()
    [-0.25, 2.0]
    """
    if weight.size > 1:
        if weight.ndim != 1 or x.ndim < 2 or x.shape[1] != weight.size:
            raise ValueError(
                "prelu: there is one weight, or one for each channel, the second axis of x.\n"
                f"  got {weight.shape} for x {x.shape}\n  try a weight of shape (1,)"
            )
        weight = reshape(weight, weight.size, *[1] * (x.ndim - 2))
    elif x.ndim == 0:
        weight = reshape(weight, ())
    return where(gt(x, 0), x, mul(x, weight))


@takes_axis
def glu(x: Tensor, axis: int = -1) -> Tensor:
    """The first half along an axis times the sigmoid of the second  (Dauphin and others 2016)

    >>> tg.glu(Tensor([2.0, 0.0])).tolist()
    [1.0]
    """
    if x.ndim == 0 or x.shape[axis] % 2:
        raise ValueError(
            "glu: the axis has two halves.\n"
            f"  got shape {x.shape} and axis {axis}\n  try an axis of even length"
        )
    values, gates = chunk(x, 2, axis)
    return mul(values, sigmoid(gates))


@takes_axis
def softmin(x: Any, axis: int = -1) -> Tensor:
    """softmax(-x) along an axis

    >>> tg.softmin(Tensor([0.0, 1.0])).tolist()
    [0.7311, 0.2689]
    """
    return softmax(neg(x), axis)

"""Activations as modules, with PyTorch's names and settings."""

import inspect
from collections.abc import Callable
from typing import Any

from tinygrad_lite.functional import activations as composed
from tinygrad_lite.fused import activations as fused
from tinygrad_lite.fused.softmax import log_softmax, softmax
from tinygrad_lite.nn.module import Module, Parameter
from tinygrad_lite.ops.axes import axis_named
from tinygrad_lite.ops.transcendental import tanh
from tinygrad_lite.tensor import Tensor


class _Activation(Module):
    """A function of x with fixed settings"""

    function: Callable

    def __init__(self, *args: Any, **settings: Any):
        settings = axis_named(type(self).__name__, settings)
        bound = inspect.signature(type(self).function).bind(None, *args, **settings)
        for name, value in list(bound.arguments.items())[1:]:
            setattr(self, name, value)
        self._settings = tuple(list(bound.arguments)[1:])

    def forward(self, x: Tensor) -> Tensor:
        settings = {name: getattr(self, name) for name in self._settings}
        return type(self).function(x, **settings)


def _module(name: str, function: Callable) -> Any:
    made = type(name, (_Activation,), {"function": staticmethod(function), "__module__": __name__})
    made.__doc__ = function.__doc__
    return made


ReLU = _module("ReLU", fused.relu)
GELU = _module("GELU", fused.gelu)
SiLU = _module("SiLU", fused.silu)
ReLUSquared = _module("ReLUSquared", fused.relu_squared)
Sigmoid = _module("Sigmoid", fused.sigmoid)
Softplus = _module("Softplus", fused.softplus)
Tanh = _module("Tanh", tanh)
Softmax = _module("Softmax", softmax)
LogSoftmax = _module("LogSoftmax", log_softmax)
Softmin = _module("Softmin", composed.softmin)
LeakyReLU = _module("LeakyReLU", fused.leaky_relu)
ELU = _module("ELU", composed.elu)
CELU = _module("CELU", composed.celu)
SELU = _module("SELU", composed.selu)
Mish = _module("Mish", composed.mish)
Softsign = _module("Softsign", composed.softsign)
ReLU6 = _module("ReLU6", composed.relu6)
Hardtanh = _module("Hardtanh", composed.hardtanh)
Hardsigmoid = _module("Hardsigmoid", composed.hardsigmoid)
Hardswish = _module("Hardswish", composed.hardswish)
LogSigmoid = _module("LogSigmoid", composed.logsigmoid)
Tanhshrink = _module("Tanhshrink", composed.tanhshrink)
Hardshrink = _module("Hardshrink", composed.hardshrink)
Softshrink = _module("Softshrink", composed.softshrink)
Threshold = _module("Threshold", composed.threshold)
GLU = _module("GLU", composed.glu)


class PReLU(Module):
    """x where x > 0, else weight * x, which is learned: one, or one for each channel"""

    def __init__(self, num_parameters: int = 1, init: float = 0.25):
        self.weight = Parameter([init] * num_parameters)

    def forward(self, x: Tensor) -> Tensor:
        return composed.prelu(x, self.weight)

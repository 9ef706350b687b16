"""The vocabulary of `Tensor`: each op under the name, or the operator, by which it is called."""

from tinygrad_lite.fused.activations import gelu, relu, relu_squared, sigmoid, silu, softplus
from tinygrad_lite.fused.softmax import log_softmax, softmax
from tinygrad_lite.ops import elementwise as e
from tinygrad_lite.ops import matmul as mm
from tinygrad_lite.ops import movement as mv
from tinygrad_lite.ops import reductions as r
from tinygrad_lite.tensor import Tensor, is_grad_enabled

METHODS = (
    *(e.add, e.sub, e.mul, e.div, e.pow, e.neg, e.exp, e.log, e.sqrt, e.rsqrt, e.sin, e.cos),
    *(e.abs, e.sign, e.maximum, e.minimum, e.clip, e.masked_fill, e.astype),
    *(e.eq, e.ne, e.lt, e.le, e.gt, e.ge),
    *(relu, e.leaky_relu, sigmoid, e.tanh, softplus, gelu, silu, relu_squared),
    *(r.sum, r.mean, r.max, r.min, r.var, r.std, r.prod, r.argmax, r.argmin, r.cumsum),
    *(r.logsumexp, softmax, log_softmax),
    *(mv.reshape, mv.permute, mv.transpose, mv.expand, mv.squeeze, mv.unsqueeze, mv.flatten),
    *(mv.flip, mv.pad, mv.split, mv.chunk, mv.repeat, mv.tril, mv.triu, mv.gather, mv.one_hot),
    *(mm.matmul, mm.dot),
)

OPERATORS = {
    "add": e.add,
    "sub": e.sub,
    "mul": e.mul,
    "truediv": e.div,
    "pow": e.pow,
    "matmul": mm.matmul,
}
COMPARISONS = {"eq": e.eq, "ne": e.ne, "lt": e.lt, "le": e.le, "gt": e.gt, "ge": e.ge}


def _reflected(function):
    return lambda self, other: function(other, self)


def _in_place(name, function):
    """x += y is x = x + y, but for what is learned, whose data changes where it is: in no_grad()"""

    def apply(self, other):
        if not self._requires_grad:
            return function(self, other)
        if is_grad_enabled():
            raise RuntimeError(
                "in-place: what is learned changes where no gradients are noted.\n"
                f"  got {name} for a tensor with requires_grad=True\n"
                "  try with no_grad(): ..., or x = x + y for a result of its own"
            )
        data, result = self.data, function(self, other).data
        if result.shape != data.shape:
            raise ValueError(
                "in-place: what is learned keeps its shape.\n"
                f"  got {result.shape} of {name} for a tensor of shape {data.shape}\n"
                "  try x = x + y for a result of its own"
            )
        data[...] = result
        self.data = data  # which a later backward through what was computed before notices
        return self

    return apply


_SPECIAL = {
    "__hash__": object.__hash__,  # tensors compare by element, but are keys by identity
    "__neg__": e.neg,
    "__abs__": e.abs,
    "__getitem__": mv.getitem,
    "where": lambda self, condition, other: e.where(condition, self, other),
    "T": property(lambda self: mv.permute(self, *range(self.ndim)[::-1])),
}

for _method in METHODS:
    setattr(Tensor, _method.__name__, _method)
for _name, _function in OPERATORS.items():
    setattr(Tensor, f"__{_name}__", _function)
    setattr(Tensor, f"__r{_name}__", _reflected(_function))
    setattr(Tensor, f"__i{_name}__", _in_place(_name, _function))
for _name, _function in COMPARISONS.items():
    setattr(Tensor, f"__{_name}__", _function)
for _name, _value in _SPECIAL.items():
    setattr(Tensor, _name, _value)

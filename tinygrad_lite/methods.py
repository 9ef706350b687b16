"""The vocabulary of `Tensor`: each op under the name, or the operator, by which it is called."""

from typing import Any

import numpy as np

from tinygrad_lite import linalg
from tinygrad_lite.functional import activations as a
from tinygrad_lite.functional import products as p
from tinygrad_lite.functional import statistics as stats
from tinygrad_lite.fused import activations as fa
from tinygrad_lite.fused.softmax import log_softmax, softmax
from tinygrad_lite.ops import comparisons as c
from tinygrad_lite.ops import creation, random, scans, sorting, special
from tinygrad_lite.ops import elementwise as e
from tinygrad_lite.ops import indexing as i
from tinygrad_lite.ops import joining as j
from tinygrad_lite.ops import matmul as mm
from tinygrad_lite.ops import movement as mv
from tinygrad_lite.ops import reductions as r
from tinygrad_lite.ops import scatter as s
from tinygrad_lite.ops import transcendental as t
from tinygrad_lite.ops.padding import pad
from tinygrad_lite.tensor import Tensor, is_grad_enabled

METHODS = (
    *(e.add, e.sub, e.mul, e.div, e.pow, e.neg, e.abs, e.sign, e.square, e.reciprocal, e.lerp),
    *(e.floor, e.ceil, e.trunc, e.round, e.floor_div, e.remainder, e.fmod, e.copysign),
    *(e.maximum, e.minimum, e.clip, e.masked_fill, e.astype),
    *(c.eq, c.ne, c.lt, c.le, c.gt, c.ge, c.isnan, c.isinf, c.isfinite, c.isclose),
    *(c.logical_not, c.logical_and, c.logical_or, c.logical_xor),
    *(c.bitwise_not, c.bitwise_and, c.bitwise_or, c.bitwise_xor),
    *(c.bitwise_left_shift, c.bitwise_right_shift),
    *(t.exp, t.exp2, t.expm1, t.log, t.log2, t.log10, t.log1p, t.logaddexp, t.sqrt, t.rsqrt),
    *(t.sin, t.cos, t.tan, t.asin, t.acos, t.atan, t.atan2, t.hypot, t.sinh, t.cosh, t.tanh),
    *(t.asinh, t.acosh, t.atanh, t.erf, t.erfc),
    *(fa.relu, fa.sigmoid, fa.softplus, fa.gelu, fa.silu, fa.relu_squared, fa.leaky_relu),
    *(a.elu, a.celu, a.selu),
    *(a.mish, a.softsign, a.relu6, a.hardtanh, a.hardsigmoid, a.hardswish, a.logsigmoid),
    *(a.quick_gelu, a.tanhshrink, a.hardshrink, a.softshrink, a.threshold, a.prelu, a.glu),
    *(softmax, log_softmax, a.softmin),
    *(r.sum, r.mean, r.max, r.min, r.var, r.std, r.var_mean, r.std_mean, r.prod, r.logsumexp),
    *(r.argmax, r.argmin, r.any, r.all, r.count_nonzero, r.norm, r.normalize),
    *(scans.cumsum, scans.cumprod, scans.cummax, scans.cummin, scans.logcumsumexp),
    *(sorting.sort, sorting.argsort, sorting.topk, sorting.kthvalue, sorting.msort),
    *(mv.reshape, mv.view, mv.permute, mv.transpose, mv.swapaxes, mv.movedim, mv.expand),
    *(mv.squeeze, mv.unsqueeze, mv.flatten, mv.unflatten, mv.ravel, mv.flip, mv.roll, mv.rot90),
    *(j.split, j.chunk, j.tensor_split, j.unbind, j.narrow, j.select, mv.unfold, mv.repeat),
    *(mv.tile, mv.repeat_interleave, mv.tril, mv.triu, mv.diagonal, mv.diag, mv.diag_embed),
    *(mv.trace, mv.clone, mv.view_as, mv.expand_as, pad),
    *(i.gather, s.scatter, s.scatter_add, s.scatter_reduce, i.index_select, s.index_add),
    *(s.index_copy, s.index_fill, i.take, i.masked_select, i.nonzero, i.one_hot),
    *(mm.matmul, mm.dot),
    # rarer ones
    *(e.fmax, e.fmin, e.heaviside, e.nextafter, e.gcd, e.lcm, e.addcmul, e.addcdiv, e.positive),
    *(e.frac, e.deg2rad, e.rad2deg, e.float_power, e.nan_to_num, c.signbit, c.isposinf),
    *(c.isneginf, c.isin, t.logaddexp2, t.ldexp, t.sinc, t.logit),
    *(special.lgamma, special.digamma, special.mvlgamma, special.erfinv),
    *(p.outer, p.inner, p.vdot, p.addmm, p.addmv, p.addr, p.baddbmm, p.addbmm, p.kron, p.cross),
    *(p.dist, p.cov, p.corrcoef),
    *(stats.nansum, stats.nanmean, stats.aminmax, stats.median, stats.nanmedian, stats.quantile),
    *(stats.nanquantile, stats.mode, stats.diff, stats.renorm, stats.bincount, stats.histc),
    *(mv.sum_to_size, mv.flipud, mv.fliplr, mv.diagflat, j.hsplit, j.vsplit, j.dsplit),
    *(s.index_reduce, s.index_put, s.put, s.masked_scatter, s.select_scatter, s.slice_scatter),
    *(s.diagonal_scatter,),
    *(linalg.det, linalg.logdet, linalg.cholesky, linalg.qr, linalg.svd, linalg.matrix_power),
    *(linalg.matrix_exp,),
)

OPERATORS = {
    "add": e.add,
    "sub": e.sub,
    "mul": e.mul,
    "truediv": e.div,
    "floordiv": e.floor_div,
    "mod": e.remainder,
    "pow": e.pow,
    "matmul": mm.matmul,
    "and": c.bitwise_and,
    "or": c.bitwise_or,
    "xor": c.bitwise_xor,
    "lshift": c.bitwise_left_shift,
    "rshift": c.bitwise_right_shift,
}
COMPARISONS = {"eq": c.eq, "ne": c.ne, "lt": c.lt, "le": c.le, "gt": c.gt, "ge": c.ge}
# Methods that change their tensor where it is: x.add_(y) is x[...] = x.add(y)
CHANGING = (e.add, e.sub, e.mul, e.div, e.clip, e.masked_fill, s.scatter_add, fa.relu)
DTYPES = {"float": np.float32, "double": np.float64, "half": np.float16, "int": np.int32,
          "long": np.int64, "short": np.int16, "bool": np.bool_}  # fmt: skip


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


def _changing(function):
    def apply(self: Tensor, *args: Any, **settings: Any) -> Tensor:
        i.setitem(self, ..., function(self, *args, **settings))
        return self

    return apply


def _to(self: Tensor, dtype: Any) -> Tensor:
    """x in another dtype, or that of another Tensor; x itself where it has it"""
    kind = dtype.dtype if isinstance(dtype, Tensor) else np.dtype(dtype)
    return self if kind == self.dtype else e.astype(self, kind)


def _fill(self: Tensor, value: Any) -> Tensor:
    i.setitem(self, ..., value)
    return self


_SPECIAL = {
    "__hash__": object.__hash__,  # tensors compare by element, but are keys by identity
    "__neg__": e.neg,
    "__abs__": e.abs,
    "__invert__": c.bitwise_not,
    "__getitem__": i.getitem,
    "__setitem__": i.setitem,
    "to": _to,
    "cast": e.astype,
    "copy": mv.clone,
    "fill_": _fill,
    "copy_": _fill,
    "zero_": lambda self: _fill(self, 0),
    "where": lambda self, condition, other: e.where(condition, self, other),
    "inverse": linalg.inv,
    "pinverse": linalg.pinv,
    "equal": c.equal,
    "allclose": c.allclose,
    "unique": stats.unique,
    "unique_consecutive": stats.unique_consecutive,
    "argwhere": i.nonzero,
    "bernoulli": random.bernoulli,
    "multinomial": random.multinomial,
    **{
        f.__name__: f
        for f in (creation.new_full, creation.new_zeros, creation.new_ones, creation.new_empty)
    },
    **random.REFILLING,
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
for _method in CHANGING:
    setattr(Tensor, f"{_method.__name__}_", _changing(_method))
for _name, _dtype in DTYPES.items():
    setattr(Tensor, _name, lambda self, _dtype=_dtype: _to(self, _dtype))

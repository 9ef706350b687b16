"""What NumPy's functions do with Tensors: the op that computes the same, with its derivative.

So `np.exp(x)` of a Tensor is `x.exp()`, and the body of an op, which is written in NumPy, can be
run on Tensors: that is how derivatives have derivatives (derivatives.py). The protocols are NumPy's
own, `__array_ufunc__` (NEP 13) and `__array_function__` (NEP 18). A function that is not listed
computes on the data of Tensors without gradients, and refuses those with gradients: it would lose
them silently.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lite import linalg
from tinygrad_lite.functional import products, statistics
from tinygrad_lite.ops import comparisons as c
from tinygrad_lite.ops import creation, scans, special
from tinygrad_lite.ops import elementwise as e
from tinygrad_lite.ops import indexing as i
from tinygrad_lite.ops import joining as j
from tinygrad_lite.ops import movement as mv
from tinygrad_lite.ops import reductions as r
from tinygrad_lite.ops import transcendental as t
from tinygrad_lite.ops.matmul import matmul
from tinygrad_lite.ops.padding import pad
from tinygrad_lite.tensor import Tensor, as_tensor

UFUNCS: dict[Any, Callable] = {
    np.add: e.add, np.subtract: e.sub, np.multiply: e.mul, np.divide: e.div, np.power: e.pow,
    np.negative: e.neg, np.absolute: e.abs, np.sign: e.sign, np.square: e.square,
    np.reciprocal: e.reciprocal, np.maximum: e.maximum, np.minimum: e.minimum,
    np.floor: e.floor, np.ceil: e.ceil, np.trunc: e.trunc, np.rint: e.round,
    np.floor_divide: e.floor_div, np.remainder: e.remainder, np.fmod: e.fmod,
    np.copysign: e.copysign,
    np.exp: t.exp, np.exp2: t.exp2, np.expm1: t.expm1, np.log: t.log, np.log2: t.log2,
    np.log10: t.log10, np.log1p: t.log1p, np.logaddexp: t.logaddexp, np.sqrt: t.sqrt,
    np.logaddexp2: t.logaddexp2, np.gcd: e.gcd, np.lcm: e.lcm, np.heaviside: e.heaviside,
    np.nextafter: e.nextafter, np.signbit: c.signbit, np.positive: e.positive,
    np.deg2rad: e.deg2rad, np.radians: e.deg2rad, np.rad2deg: e.rad2deg, np.degrees: e.rad2deg,
    np.fmax: e.fmax, np.fmin: e.fmin, np.ldexp: t.ldexp, np.float_power: e.float_power,
    np.sin: t.sin, np.cos: t.cos, np.tan: t.tan, np.arcsin: t.asin, np.arccos: t.acos,
    np.arctan: t.atan, np.arctan2: t.atan2, np.hypot: t.hypot, np.sinh: t.sinh, np.cosh: t.cosh,
    np.tanh: t.tanh, np.arcsinh: t.asinh, np.arccosh: t.acosh, np.arctanh: t.atanh,
    np.equal: c.eq, np.not_equal: c.ne, np.less: c.lt, np.less_equal: c.le, np.greater: c.gt,
    np.greater_equal: c.ge, np.isnan: c.isnan, np.isinf: c.isinf, np.isfinite: c.isfinite,
    np.logical_not: c.logical_not, np.logical_and: c.logical_and, np.logical_or: c.logical_or,
    np.logical_xor: c.logical_xor, np.bitwise_not: c.bitwise_not, np.bitwise_and: c.bitwise_and,
    np.bitwise_or: c.bitwise_or, np.bitwise_xor: c.bitwise_xor,
    np.left_shift: c.bitwise_left_shift, np.right_shift: c.bitwise_right_shift,
    np.matmul: matmul,
}  # fmt: skip


def _reduced(function: Callable) -> Callable:
    """A reduction by NumPy's name of `keepdim`"""

    def call(x: Tensor, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
        y = function(x if dtype is None else x.astype(dtype), axis, keepdims)  # added in it, too
        return y if dtype is None or y.dtype == dtype else y.astype(dtype)

    return call


def _solved(a: Any, b: Any) -> Tensor:
    """Of NumPy 2: one row alone is a vector"""
    a, b = linalg._square("solve", a), as_tensor(b)
    return linalg._solved(a, b, True, b.ndim == 1)


def _filled(
    x: Tensor, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Tensor:
    if not copy:
        raise TypeError(
            "numpy.nan_to_num: of a Tensor, the result is another.\n"
            "  got copy=False\n  try x = x.nan_to_num()"
        )
    return e.nan_to_num(x, nan, posinf, neginf)


def _like(x: Tensor, dtype: Any = None, *, value: float = 0) -> Tensor:
    return creation.full_like(x, value, dtype)


def _split(x: Tensor, places: Any, axis: int = 0) -> list[Tensor]:
    if isinstance(places, int) and x.shape[axis] % places:
        raise ValueError(
            "numpy.split: the parts are of one size.\n"
            f"  got {places} parts of {x.shape[axis]}\n  try x.tensor_split, or numpy.array_split"
        )
    return j.tensor_split(x, places, axis)


def _scanned(function: Callable) -> Callable:
    """A scan that takes x as one row where no axis is given, as NumPy's"""
    return lambda x, axis=None: function(x.reshape(-1), 0) if axis is None else function(x, axis)


def _flipped(x: Tensor, axis: Any = None) -> Tensor:
    return mv.flip(x, tuple(range(x.ndim)) if axis is None else axis)


def _where(*args: Any) -> Any:
    if len(args) == 3:
        return e.where(*args)
    return np.where(*_lose_gradients("where", args))


def _padded(x: Tensor, widths: Any, mode: str = "constant", constant_values: Any = 0.0) -> Tensor:
    if mode != "constant":
        raise TypeError(
            "numpy.pad: of a Tensor, a constant is padded.\n"
            f"  got mode={mode!r}\n  try x.pad(widths, mode=...)"
        )
    return pad(x, np.broadcast_to(widths, (x.ndim, 2)).tolist(), constant_values)


FUNCTIONS: dict[Any, Callable] = {
    np.where: _where, np.clip: e.clip, np.round: e.round, np.isclose: c.isclose,
    np.sum: _reduced(r.sum), np.mean: _reduced(r.mean), np.prod: _reduced(r.prod),
    np.max: _reduced(r.max), np.min: _reduced(r.min), np.amax: _reduced(r.max),
    np.amin: _reduced(r.min), np.any: _reduced(r.any), np.all: _reduced(r.all),
    np.argmax: _reduced(r.argmax), np.argmin: _reduced(r.argmin),
    np.count_nonzero: _reduced(r.count_nonzero),
    np.cumsum: _scanned(scans.cumsum), np.cumprod: _scanned(scans.cumprod),
    np.reshape: mv.reshape, np.ravel: mv.ravel, np.transpose: lambda x, axes=None: mv.permute(
        x, *(range(x.ndim)[::-1] if axes is None else axes)),
    np.swapaxes: mv.swapaxes, np.moveaxis: mv.movedim, np.broadcast_to: mv.expand,
    np.squeeze: mv.squeeze, np.expand_dims: mv.unsqueeze, np.flip: _flipped,
    np.roll: mv.roll,
    np.concatenate: j.cat, np.stack: j.stack, np.split: _split, np.copy: mv.clone,
    np.tril: mv.tril, np.triu: mv.triu, np.tile: mv.tile, np.repeat: mv.repeat_interleave,
    np.diagonal: mv.diagonal, np.trace: mv.trace,
    np.pad: _padded,
    np.zeros_like: _like, np.ones_like: lambda x, dtype=None: _like(x, dtype, value=1),
    np.full_like: creation.full_like,
    np.linalg.inv: linalg.inv, np.linalg.solve: _solved, np.linalg.det: linalg.det,
    np.linalg.pinv: linalg.pinv, np.linalg.slogdet: linalg.slogdet,
    np.linalg.cholesky: linalg.cholesky, np.linalg.qr: linalg.qr,
    np.linalg.eigh: linalg.eigh, np.linalg.svd: linalg.svd, np.outer: products.outer,
    np.inner: products.inner, np.kron: products.kron, np.cross: products.cross,
    np.diff: statistics.diff, np.nan_to_num: _filled, np.hstack: j.hstack, np.vstack: j.vstack,
    np.dstack: j.dstack, np.sinc: t.sinc,
}  # fmt: skip
# They change their first argument where it is
IN_PLACE = (np.copyto, np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis)
# Of shapes and dtypes alone
ABOUT: dict[Any, Callable] = {
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x: x.size,
    np.result_type: lambda *xs: np.result_type(
        *(x.dtype if isinstance(x, Tensor) else x for x in xs)
    ),
}
# The engine's own functions of arrays, see `asking`
ANSWERS: dict[str, Callable] = {
    "contiguous": lambda x, dtype=None: x if dtype in (None, x.dtype) else x.astype(dtype),
    "as_rows": lambda x, dtype=None: x.reshape(int(np.prod(x.shape[:-1])), x.shape[-1]),
    "sum_axes": lambda x, axes, keepdims=False: r.sum(x, axes, keepdims),
    "cumsum": lambda x, axis, reverse=False: (
        mv.flip(scans.cumsum(mv.flip(x, axis), axis), axis) if reverse and x.ndim
        else scans.cumsum(x, axis)
    ),
    "product": matmul,
    "erf_of": t.erf,
    "erfc_of": t.erfc,
    "erfinv_of": special.erfinv,
    "log_gamma_of": special._log_gamma,
}  # fmt: skip


def _lose_gradients(name: str, arguments: Any) -> Any:
    """Arrays in place of Tensors; TypeError where one has gradients, which would be lost"""
    if isinstance(arguments, Tensor):
        if arguments.requires_grad:
            raise TypeError(
                f"numpy.{name}: this function of NumPy would lose the gradients of a Tensor.\n"
                f"  got a Tensor of shape {arguments.shape} that requires gradients\n"
                "  try a method of Tensor, or x.detach()"
            )
        return arguments.data
    if isinstance(arguments, list | tuple):
        return type(arguments)(_lose_gradients(name, part) for part in arguments)
    if isinstance(arguments, dict):
        return {key: _lose_gradients(name, part) for key, part in arguments.items()}
    return arguments


def _ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
    if method == "at" and ufunc is np.add and isinstance(inputs[0], Tensor):
        i.add_at(*inputs)
        return None
    if "out" in settings:
        raise TypeError(
            f"numpy.{ufunc.__name__}: a result with Tensors is a Tensor, not an array that is there"
            " already.\n  got out=, or array += tensor\n  try x = x + tensor, or tensor.numpy()"
        )
    if method == "__call__" and ufunc in UFUNCS and not settings:
        return UFUNCS[ufunc](*inputs)
    if method == "accumulate" and ufunc is np.logaddexp:
        return scans.logcumsumexp(*inputs, **settings)
    arrays = [_lose_gradients(ufunc.__name__, x) for x in inputs]
    result = getattr(ufunc, method)(*arrays, **settings)
    if method == "at":
        _note_change(inputs[0])
    return result


def _function(self: Tensor, function: Any, types: Any, args: tuple, settings: dict) -> Any:
    if function in ABOUT:
        return ABOUT[function](*args, **settings)
    if function in FUNCTIONS and settings.get("out") is None:
        return FUNCTIONS[function](*args, **settings)
    result = function(
        *_lose_gradients(function.__name__, args), **_lose_gradients(function.__name__, settings)
    )
    if function in IN_PLACE:
        named = (settings[name] for name in ("dst", "a", "arr") if name in settings)
        _note_change(args[0] if args else next(named))
    return result


def _note_change(x: Any) -> None:
    """The data of a Tensor was changed where it is, which a later backward notices"""
    if isinstance(x, Tensor):
        x.data = x.data


def _answer(self: Tensor, name: str, args: tuple, settings: dict) -> Any:
    return ANSWERS[name](*args, **settings)


Tensor.__array_ufunc__ = _ufunc  # type: ignore[attr-defined]
Tensor.__array_function__ = _function  # type: ignore[attr-defined]
Tensor.answer = _answer  # type: ignore[attr-defined]

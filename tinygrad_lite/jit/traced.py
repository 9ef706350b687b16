"""Arrays that write down what is done with them.

While a function is recorded, its ops run on these instead of NumPy's arrays. They answer through
NumPy's own protocols, `__array_ufunc__` (NEP 13) and `__array_function__` (NEP 18): each function
is computed at once, and written down to be called again on the same memory.

A traced array is no ndarray, but holds one: there is no way to its numbers but through what is
written down here. What cannot be replayed is refused: a look at the numbers (`item()`, `if x`),
results whose shape depends on them, functions of NumPy that are not listed.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tinygrad_lite.kernels.watch import procedure

# Functions of NumPy whose result has a shape that follows from shapes alone, and no side effect.
# With True, the result can be written to an array given as `out`.
PURE = {
    np.concatenate: True, np.sum: True, np.max: True, np.min: True, np.amax: True, np.amin: True,
    np.prod: True, np.mean: True, np.cumsum: True, np.cumprod: True, np.argmax: True,
    np.argmin: True, np.einsum: True, np.clip: True, np.any: True, np.all: True, np.take: True,
    np.stack: True, np.round: True, np.dot: True, np.var: True, np.std: True, np.outer: True,
    np.where: False, np.pad: False, np.tril: False, np.triu: False, np.sort: False,
    np.argsort: False, np.split: False, np.flip: False, np.roll: False, np.repeat: False,
    np.tile: False, np.take_along_axis: False, np.diff: False, np.linalg.norm: False,
    np.array_split: False, np.hstack: False, np.vstack: False, np.copy: False, np.diagonal: False,
    np.trace: True, np.nan_to_num: False, np.searchsorted: False, np.inner: False,
    np.tensordot: False, np.isclose: False, np.rot90: False, np.trapezoid: False,
    np.average: False, np.median: True, np.nansum: True, np.count_nonzero: False, np.ptp: True,
    np.partition: False, np.i0: False, np.sinc: False, np.kron: False, np.isin: False,
    np.linalg.inv: False, np.linalg.solve: False, np.linalg.cholesky: False, np.linalg.det: False,
    np.linalg.pinv: False, np.linalg.slogdet: False,
    np.linalg.eigh: False, np.linalg.svd: False, np.linalg.qr: False,
    np.reshape: False, np.transpose: False, np.swapaxes: False, np.moveaxis: False,
    np.broadcast_to: False, np.squeeze: False, np.expand_dims: False, np.ravel: False,
    np.rollaxis: False,
}  # fmt: skip
# Of these, functions for which all but the first argument decide about the result's shape
SHAPING = {np.split, np.array_split, np.repeat, np.tile, np.pad, np.reshape, np.broadcast_to}
# Functions of shapes and dtypes
ABOUT = {np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.may_share_memory,
         np.shares_memory, np.common_type, np.broadcast_shapes}  # fmt: skip
# Functions that change their first argument
CHANGING = {np.copyto, np.put_along_axis, np.fill_diagonal, np.put, np.putmask, np.place}
# New arrays: contents arbitrary; or the same in each replay
EMPTY = {np.empty, np.empty_like}
FIXED = {np.zeros, np.ones, np.full, np.zeros_like, np.ones_like, np.full_like, np.arange, np.eye,
         np.identity, np.tri, np.linspace}  # fmt: skip


class Traced(NDArrayOperatorsMixin):
    """An array of a recording: `array` is its memory, `owner` keeps that from being used again."""

    __slots__ = ("array", "owner", "recording")

    def __init__(self, array: np.ndarray, owner: Any, recording: Any):
        self.array, self.owner, self.recording = array, owner, recording

    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)
    size = property(lambda self: self.array.size)
    dtype = property(lambda self: self.array.dtype)
    itemsize = property(lambda self: self.array.itemsize)
    nbytes = property(lambda self: self.array.nbytes)
    strides = property(lambda self: self.array.strides)
    flags = property(lambda self: self.array.flags)

    @property
    def base(self) -> Any:
        """Whose memory it is: that of all views of one array"""
        return self.owner

    def __len__(self) -> int:
        return len(self.array)

    def __repr__(self) -> str:
        return f"<array {self.shape} of {self.dtype} in a recording>"

    # --- views of the same memory -----------------------------------------------------------

    def _view(self, array: np.ndarray) -> "Traced":
        return Traced(array, self.owner, self.recording)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self.array)))

    def transpose(self, *axes: Any) -> "Traced":
        return self._view(self.array.transpose(*axes))

    def swapaxes(self, a: int, b: int) -> "Traced":
        return self._view(self.array.swapaxes(a, b))

    def squeeze(self, axis: Any = None) -> "Traced":
        return self._view(self.array.squeeze(axis))

    def view(self, dtype: Any) -> "Traced":
        return self._view(self.array.view(dtype))

    T = property(lambda self: self.transpose())

    def reshape(self, *shape: Any) -> "Traced":
        if self.array.flags.c_contiguous:
            return self._view(self.array.reshape(*shape))
        return self.recording.computed(lambda x: x.reshape(*shape), (self,), {})

    def ravel(self) -> "Traced":
        return self.reshape(-1)

    def flatten(self) -> "Traced":
        return self.copy().reshape(-1)

    # --- computed ---------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> "Traced":
        parts = index if isinstance(index, tuple) else (index,)
        basic = int | np.integer | slice | None | type(...)
        if all(isinstance(i, basic) and not isinstance(i, bool) for i in parts):
            part = self.array[index]
            if isinstance(part, np.generic):  # a number is a view without axes here
                part = self.array[(*parts, ...)]
            return self._view(part)
        if any(isinstance(i, Traced) and i.dtype.kind == "b" for i in parts):
            self.recording.refuse(
                "the shape of a result must not depend on data",
                "an index of booleans, which picks as many elements as are true",
                "where(mask, x, 0), or compute the index outside and give it as an argument",
            )
        fixed = tuple(self.recording.literal(i) for i in parts)
        return self.recording.computed(lambda x, *i: x[i], (self, *fixed), {})

    def __setitem__(self, index: Any, value: Any) -> None:
        self.recording.changes(self)
        parts = index if isinstance(index, tuple) else (index,)
        fixed = [self.recording.literal(i) for i in parts]
        _set_items(self, self.recording.literal(value), *fixed)

    def astype(self, dtype: Any, order: str = "K", copy: bool = True) -> "Traced":
        if not copy and self.dtype == dtype:
            return self
        return self.recording.computed(lambda x: x.astype(dtype, order=order), (self,), {})

    def copy(self, order: str = "C") -> "Traced":
        return self.astype(self.dtype, order)

    def fill(self, value: Any) -> None:
        self[...] = value

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        if any(hasattr(x, "answer") for x in inputs):  # a Tensor, which knows the op
            return NotImplemented
        out = settings.pop("out", None)
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        if method == "at":
            self.recording.changes(inputs[0])
            self.recording.launch(function, inputs)
            return None
        if out is not None:
            for place in out:
                self.recording.changes(place)
            if method == "__call__" and not settings and ufunc in (np.add, np.multiply):
                self.recording.launch(function, (*inputs, *out))  # without a detour: the tape's
            else:
                into = functools.partial(_into, function, settings, len(out))
                self.recording.launch(into, (*out, *inputs))
            return out[0] if len(out) == 1 else out
        return self.recording.computed(function, inputs, settings, takes_out=ufunc.nout == 1)

    def __array_function__(self, function: Any, types: Any, args: tuple, settings: dict) -> Any:
        if any(hasattr(kind, "answer") for kind in types):
            return NotImplemented
        return self.recording.called_numpy(function, args, settings)

    # --- looks at the numbers ---------------------------------------------------------------

    def _looked_at(self, *_: Any, **__: Any) -> Any:
        self.recording.refuse(
            "a recorded function must not look at numbers: a replay has others",
            "item(), float(), `if x`, numpy.asarray(x), or the like",
            "returning the Tensor and looking at it outside, or tg.where in place of if",
        )

    __bool__ = __int__ = __float__ = __index__ = __complex__ = _looked_at
    item = tolist = tobytes = __array__ = __format__ = _looked_at
    __hash__ = None  # type: ignore[assignment]


def _into(function: Callable, settings: dict, outputs: int, *arguments: Any) -> None:
    function(*arguments[outputs:], out=arguments[:outputs], **settings)


@procedure
def _set_items(x: Any, value: Any, *index: Any) -> None:
    x[index] = value


def _method(function: Callable) -> Callable:
    return lambda self, *args, **settings: self.recording.called_numpy(
        function, (self, *args), settings
    )


for _name in ("sum", "max", "min", "prod", "mean", "var", "std", "cumsum", "cumprod", "argmax",
              "argmin", "any", "all", "clip", "round", "take", "dot", "repeat", "argsort",
              "diagonal", "trace"):  # fmt: skip
    setattr(Traced, _name, _method(getattr(np, _name)))

"""The engine: tensors, and the tape that differentiates what was computed with them.

An op is a function from arrays to `(out, vjp)`. `out` is its value; `vjp` (vector-Jacobian
product) takes the gradient of a scalar with respect to `out` and returns the gradients with
respect to each array argument. `backward` walks the recorded ops from the last to the first and
applies their vjps: the chain rule (reverse-mode differentiation).

    @op                                   # each gradient has the shape of its argument
    def tanh(x):
        y = np.tanh(x)
        return y, lambda g: (g * (1 - y * y),)

    @elementwise                          # arguments broadcast; gradients are summed back down
    def mul(a, b):
        return a * b, lambda g: (g * b, g * a)

The rules for a body: arrays (or plain numbers) come first, then settings, and `vjp` returns one
gradient for each array; a gradient that nobody can want is None; one that is costly may be a
function without arguments, called only if it is needed, or an `Adding`; a vjp never writes into
`g`; an op without derivative returns None in place of a vjp.
"""

import contextlib
import functools
import inspect
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_lite.kernels.record import (
    call,
    contiguous,
    current,
    empty_like,
    owner_of,
)
from tinygrad_lite.vjp import Adding, gradients_of, is_new, recorded_whole, sum_to_arguments

Array = np.ndarray

# Every op by name. Only the tests use it: an op without a row of sample inputs fails the suite.
REGISTRY: dict[str, Callable] = {}

_creation = itertools.count()


class _Mode(threading.local):
    recording = True


_mode = _Mode()


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Within this context ops record nothing: results do not require gradients."""
    before = _mode.recording
    _mode.recording = False
    try:
        yield
    finally:
        _mode.recording = before


class Node:
    """One recorded op: its vjp, and for each array argument where that gradient goes."""

    __slots__ = ("name", "index", "shape", "dtype", "vjp", "parents")

    def __init__(self, name: str, out: Array, vjp: Callable, parents: tuple):
        self.name = name
        self.index = next(_creation)
        self.shape = out.shape
        self.dtype = out.dtype
        self.vjp: Callable | None = vjp
        self.parents = parents  # a Node, a leaf Tensor, or None for no gradient

    def __repr__(self) -> str:
        return f"<Node {self.index}: {self.name} {self.shape}>"


def op(function: Callable | None = None, *, broadcasts: bool = False) -> Any:
    """Make an op of a function from arrays to `(out, vjp)`; see the module's docstring.

    The result takes and returns Tensors. It computes the same with arrays, numbers or lists in
    place of Tensors; only Tensors can have gradients.
    """
    if function is None:
        return functools.partial(op, broadcasts=broadcasts)
    name = function.__name__.strip("_")
    parameters = inspect.signature(function)

    @functools.wraps(function)
    def apply(*args: Any, **settings: Any) -> "Tensor":
        if settings and any(isinstance(s, Tensor) for s in settings.values()):
            args, settings = parameters.bind(*args, **settings).args, {}
        arrays = [a.data if isinstance(a, Tensor) else a for a in args]
        recording = current()
        calls = len(recording.calls) if recording else 0
        out, vjp = function(*arrays, **settings)
        if recording and is_new(out, arrays) and len(recording.calls) == calls:
            out, vjp = recorded_whole(functools.partial(function, **settings), arrays)
        result = Tensor._wrap(out)
        if _mode.recording and vjp is not None:
            parents = tuple(
                (a._node or a) if isinstance(a, Tensor) and a.requires_grad else None for a in args
            )
            if any(p is not None for p in parents):
                if broadcasts:
                    vjp = sum_to_arguments(vjp, arrays)
                result._node = Node(name, result.data, vjp, parents)
        return result

    REGISTRY[name] = apply
    return apply


elementwise = functools.partial(op, broadcasts=True)


class Tensor:
    """A NumPy array that remembers how it was computed.

    data           anything that NumPy takes; float arrays, integers and booleans keep their dtype,
                   Python numbers and lists of floats become float32
    requires_grad  record what is computed from this tensor, so that `backward` finds its gradient;
                   only for floating-point data

    The operations (`x.exp()`, `x @ y`, `x[1:]`, ...) are defined in `tinygrad_lite.ops` and
    `tinygrad_lite.fused`, and attached in `tinygrad_lite.methods`.
    """

    __slots__ = ("data", "grad", "_requires_grad", "_node", "__weakref__")
    __array_priority__ = 1000  # array + tensor is a tensor
    __array_ufunc__ = None

    data: Array
    grad: "Tensor | None"

    def __init__(self, data: Any, requires_grad: bool = False, dtype: Any = None):
        if isinstance(data, Tensor):
            data = data.data
        keeps_dtype = isinstance(data, np.ndarray | np.generic)
        array = np.asarray(data, dtype)
        if array.dtype == object or array.dtype.kind not in "fiub":
            raise TypeError(
                "Tensor: data must be real numbers in a regular shape.\n"
                f"  got {type(data).__name__} of dtype {array.dtype}\n"
                "  try numpy.asarray(data, numpy.float32)"
            )
        if dtype is None and not keeps_dtype and array.dtype == np.float64:
            array = array.astype(np.float32)
        self.data = array
        self.grad = None
        self._node: Node | None = None
        self._requires_grad = False
        self.requires_grad = requires_grad

    @classmethod
    def _wrap(cls, array: Array) -> "Tensor":
        """A Tensor of a result, without the checks that data from outside needs."""
        tensor = cls.__new__(cls)
        tensor.data = array if type(array) is np.ndarray else np.asarray(array)
        tensor.grad = None
        tensor._node = None
        tensor._requires_grad = False
        return tensor

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad or self._node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if wanted and self.data.dtype.kind != "f":
            raise TypeError(
                "requires_grad: only floating-point tensors can have gradients.\n"
                f"  got dtype {self.data.dtype}\n"
                "  try x.astype('float32')"
            )
        if not wanted and self._node is not None:
            raise RuntimeError(
                "requires_grad: a computed tensor cannot forget what it was computed from.\n"
                f"  got the result of {self._node.name}\n"
                "  try x.detach()"
            )
        self._requires_grad = bool(wanted)

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    dtype = property(lambda self: self.data.dtype)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        body = np.array2string(self.data, separator=", ", prefix="Tensor(", threshold=50)
        dtype = "" if self.dtype == np.float32 else f", dtype={self.dtype}"
        return f"Tensor({body}{dtype}{', requires_grad=True' if self.requires_grad else ''})"

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def numpy(self) -> Array:
        """The data as a NumPy array (shared, not copied)."""
        return self.data

    def item(self) -> Any:
        """The one number of a tensor of size 1 as a Python number."""
        if self.data.size != 1:
            raise ValueError(
                "item: only a tensor with one element is a number.\n"
                f"  got shape {self.shape}\n"
                "  try x.numpy()"
            )
        return self.data.item()

    def detach(self) -> "Tensor":
        """The same data without its history."""
        return Tensor._wrap(self.data)

    def backward(self, gradient: "Tensor | Array | None" = None) -> None:
        """Add to `.grad` of every leaf the gradient of this tensor.

        gradient   what this tensor's own gradient is, its shape; for a tensor of size 1 it is 1

        The record is freed on the way: call it once for each computed result. Gradients of
        several calls add up until they are set to None.
        """
        if not self.requires_grad:
            raise RuntimeError(
                "backward: nothing that this tensor was computed from requires gradients.\n"
                f"  got a tensor of shape {self.shape} without history\n"
                "  try requires_grad=True on the inputs, and compute it outside no_grad()"
            )
        if gradient is None:
            if self.data.size != 1:
                raise ValueError(
                    "backward: only a tensor with one element has a gradient of its own.\n"
                    f"  got shape {self.shape}\n"
                    "  try x.sum().backward(), or x.backward(gradient)"
                )
            g = np.ones_like(self.data)
        else:
            g = np.asarray(gradient.data if isinstance(gradient, Tensor) else gradient, self.dtype)
            if g.shape != self.shape:
                raise ValueError(
                    "backward: the gradient has the shape of the tensor.\n"
                    f"  got {g.shape} for a tensor of shape {self.shape}\n"
                    "  try numpy.broadcast_to(gradient, x.shape)"
                )
        _backward(self._node or self, g)

    if TYPE_CHECKING:  # the operations are attached in methods.py

        def __getattr__(self, name: str) -> Callable[..., "Tensor"]: ...
        def __getitem__(self, index: Any) -> "Tensor": ...
        def _binary(self, other: Any) -> "Tensor": ...

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _binary
        __truediv__ = __rtruediv__ = __pow__ = __matmul__ = _binary
        __lt__ = __le__ = __gt__ = __ge__ = _binary

        def __neg__(self) -> "Tensor": ...


class _Sum:
    """A gradient on its way: the first is kept as it came, the second allocates a sum."""

    __slots__ = ("array", "owned")

    def __init__(self, array: Array, owned: bool = False):
        self.array, self.owned = array, owned

    def add(self, array: Array) -> None:
        if self.owned:
            call(np.add, self.array, array, self.array)
        else:
            total = empty_like(self.array)
            call(np.add, self.array, array, total)
            self.array, self.owned = total, True


def _backward(root: Node | Tensor, g: Array) -> None:
    order = _reachable(root)
    sums: dict[Node | Tensor, _Sum] = {root: _Sum(g)}
    for node in order:
        arrived = sums.pop(node, None)
        vjp, parents = node.vjp, node.parents
        node.vjp, node.parents = None, ()  # free what the closure holds as early as possible
        if arrived is None or vjp is None:
            continue
        for parent, gradient in zip(parents, gradients_of(vjp, arrived.array), strict=False):
            if parent is None or gradient is None:
                continue
            known = sums.get(parent)
            adds = isinstance(gradient, Adding) and gradient.like.dtype == parent.dtype
            if known is not None and known.owned and adds and isinstance(gradient, Adding):
                gradient.write(known.array, True)
                continue
            dx = gradient()
            if dx.shape != parent.shape:
                raise RuntimeError(
                    "vjp: a gradient has the shape of its argument.\n"
                    f"  got {dx.shape} from {node.name} for an argument of shape {parent.shape}\n"
                    "  try @elementwise if the op's arguments broadcast"
                )
            if dx.dtype != parent.dtype:
                dx = contiguous(dx, parent.dtype)
            if known is None:
                sums[parent] = _Sum(dx, owned=adds)
            else:
                known.add(dx)
    given: set[int] = {_address(g)}
    for leaf, total in sums.items():
        if isinstance(leaf, Tensor):
            _deliver(leaf, total.array, given)


def _reachable(root: Node | Tensor) -> list[Node]:
    """The nodes from which `root` was computed, latest first; a loop, so that depth is no limit."""
    if isinstance(root, Tensor):
        return []
    seen, stack = {root}, [root]
    while stack:
        node = stack.pop()
        if node.vjp is None:
            raise RuntimeError(
                "backward: each computed result can be differentiated once, then its record is"
                f" freed.\n  got a second call through {node.name}\n"
                "  try computing the result again, or one backward of the sum of both"
            )
        for parent in node.parents:
            if isinstance(parent, Node) and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=lambda node: node.index, reverse=True)


def _deliver(leaf: Tensor, g: Array, given: set[int]) -> None:
    """Add `g` to leaf.grad, which is an array of the leaf's own: optimizers write into it."""
    if _delivery.leaves is not None:
        _delivery.leaves.setdefault(leaf, leaf.grad is not None)
    if leaf.grad is not None:
        call(np.add, leaf.grad.data, g, leaf.grad.data)
        return
    owner = owner_of(g)
    whole = g.base is None or (owner is not None and owner.buffer.nbytes == g.nbytes)
    if not (whole and g.flags.writeable and g.flags.c_contiguous) or _address(g) in given:
        own = empty_like(g)
        call(np.copyto, own, g)
        g = own
    given.add(_address(g))
    leaf.grad = Tensor._wrap(g)


def clear_gradients(tensors: list[Tensor]) -> None:
    for tensor in tensors:
        tensor.grad = None


def _address(array: Array) -> int:
    return array.__array_interface__["data"][0]


class _Delivery(threading.local):
    leaves: dict[Tensor, bool] | None = None


_delivery = _Delivery()


@contextlib.contextmanager
def delivered() -> Iterator[dict[Tensor, bool]]:
    """The leaves that receive gradients within this context: whether each had one before"""
    leaves: dict[Tensor, bool] = {}
    _delivery.leaves = leaves
    try:
        yield leaves
    finally:
        _delivery.leaves = None

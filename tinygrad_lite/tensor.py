"""The engine: tensors, and the tape that differentiates what was computed with them.

An op is a function from arrays to `(out, vjp)`. `out` is its value; `vjp` (vector-Jacobian
product) takes the gradient of a scalar with respect to `out` and returns the gradients with
respect to each array argument. `backward` walks the ops that were noted from the last to the first
and applies their vjps: the chain rule (reverse-mode differentiation).

    @op                                   # each gradient has the shape of its argument
    def tanh(x):
        y = np.tanh(x)
        return y, lambda g: (g * (1 - y * y),)

    @elementwise                          # arguments broadcast; gradients are summed back down
    def mul(a, b):
        return a * b, lambda g: (lambda: g * b, lambda: g * a)

The rules for a body: operands come first, then settings, and `vjp` returns one gradient for each
operand; a gradient that nobody can want is None; one that is costly may be a function without
arguments, called only if it is needed, an `Own` or an `Adding`; a vjp never writes into `g`; an op
without derivative returns None in place of a vjp.
"""

import contextlib
import functools
import inspect
import itertools
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_lite.broadcasting import is_array, refuse_gradients_in, unbroadcast, unified
from tinygrad_lite.kernels.adding import added
from tinygrad_lite.kernels.arrays import contiguous
from tinygrad_lite.kernels.watch import constant, current

Array = np.ndarray

# Every op by name. Only the tests use it: an op without a row of sample inputs fails the suite.
REGISTRY: dict[str, Callable] = {}

_creation = itertools.count()


class _Mode(threading.local):
    differentiable = True
    keeps_operands = False  # so that derivatives have derivatives, see derivatives.py


_mode = _Mode()


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Within this context no op is noted for `backward`: results do not require gradients."""
    before = _mode.differentiable
    _mode.differentiable = False
    try:
        yield
    finally:
        _mode.differentiable = before


def is_grad_enabled() -> bool:
    """Whether ops are noted for `backward` in this thread"""
    return _mode.differentiable


class Node:
    """One op that was run: its vjp, for each operand where that gradient goes, and which versions
    of its operands, and of its result, the vjp speaks of."""

    __slots__ = ("name", "index", "shape", "dtype", "vjp", "parents", "broadcasts", "versions",
                 "call", "line")  # fmt: skip

    def __init__(
        self, name: str, out: Array, vjp: Callable, parents: tuple, broadcasts: bool,
        versions: list, call: tuple[Callable, tuple, dict] | None,
    ):  # fmt: skip
        self.name = name
        self.index = next(_creation)
        self.shape = out.shape
        self.dtype = out.dtype
        self.vjp: Callable | None = vjp
        self.parents = parents  # a Node, a leaf Tensor, or None for no gradient
        self.broadcasts = broadcasts
        self.versions = versions
        self.line: str | None = None  # of the program, where somebody has looked
        self.call = call  # the body, its operands and settings, where these are kept

    def __repr__(self) -> str:
        return f"<Node {self.index}: {self.name} {self.shape}>"


class Own:
    """A gradient, computed if it is needed, in new memory to which nobody else refers: it may
    become a leaf's without a copy."""

    def __init__(self, compute: Callable[[], Array]):
        self.compute = compute

    def __call__(self) -> Array:
        return self.compute()


class Adding(Own):
    """A gradient that can be computed where it is wanted: into new memory, or added to a sum.

    like    an array of the operand's shape and dtype
    write   write(out, add) sets the array `out` to the gradient, or adds the gradient to it
    """

    def __init__(self, like: Array, write: Callable[[Array, bool], object]):
        super().__init__(self._compute)
        self.like, self.write = like, write

    def _compute(self) -> Array:
        out = np.empty(self.like.shape, self.like.dtype, like=self.like)
        self.write(out, False)
        return out


def op(function: Callable | None = None, *, broadcasts: bool = False) -> Any:
    """Make an op of a function from arrays to `(out, vjp)`; see the module's docstring.

    The result takes and returns Tensors. It computes the same with arrays, numbers or lists in
    place of Tensors; only Tensors can have gradients. With broadcasts, operands come to a common
    dtype (see `unified`).
    """
    if function is None:
        return functools.partial(op, broadcasts=broadcasts)
    name = function.__name__.strip("_")

    @functools.wraps(function)
    def apply(*args: Any, **settings: Any) -> "Tensor":
        if settings and any(isinstance(s, Tensor) for s in settings.values()):
            args, settings = _by_position(function, args, settings)
        arrays = [a.data if isinstance(a, Tensor) else a for a in args]
        if arrays and not broadcasts and isinstance(arrays[0], list | int | float):
            arrays[0] = Tensor(arrays[0]).data
        try:
            made = function(*(unified(arrays) if broadcasts else arrays), **settings)
        except ValueError as error:  # shapes that do not fit, most of the time
            telling(error, name, *args)
            raise
        if type(made) is not tuple or len(made) != 2 or not (made[1] is None or callable(made[1])):
            raise TypeError(
                "op: the function returns its value and its vjp, a tuple of two.\n"
                f"  got {type(made).__name__} from {name}\n"
                "  try return y, lambda g: (dx,), or return y, None without derivative"
            )
        out, vjp = made
        if current.watcher is not None:
            current.watcher.ran(name, arrays, out)
        result = Tensor._wrap(out)
        if getattr(out, "base", None) is not None:
            for a in args:  # a view changes with what it is a view of
                if isinstance(a, Tensor) and _shares(out.base, a._data):
                    result._version, result._is_view = a._version, True
        if vjp is not None and _mode.differentiable:
            parents = tuple(
                (a._node or a) if isinstance(a, Tensor) and a.requires_grad else None for a in args
            )
            if any(p is not None for p in parents):
                versions = [
                    (a._version, a._version[0])
                    for a in (_tensors_in(args) if getattr(vjp, "__closure__", True) else ())
                ]  # without a closure it speaks of no data
                if _speaks_of(vjp, out):
                    versions.append((result._version, result._version[0]))
                call = None
                if _mode.keeps_operands:
                    call = function, tuple(map(_as_it_is, args)), settings
                result._node = Node(name, out, vjp, parents, broadcasts, versions, call)
                if current.watcher is not None:
                    current.watcher.noted(result._node, arrays)
        return result

    REGISTRY[name] = apply
    return apply


def _by_position(function: Callable, args: tuple, settings: dict) -> tuple[tuple, dict]:
    """Arguments by position up to the last Tensor, with the defaults of what is left out before it;
    the others by name"""
    signature = inspect.signature(function)
    bound = signature.bind(*args, **settings)
    if any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):
        return bound.args, bound.kwargs
    given = dict(bound.arguments)
    bound.apply_defaults()
    values = list(bound.arguments.items())
    last = max((i for i, (_, x) in enumerate(values) if isinstance(x, Tensor)), default=-1)
    rest = {name: given[name] for name, _ in values[last + 1 :] if name in given}
    return tuple(x for _, x in values[: last + 1]), rest


def telling(error: ValueError, name: str, *args: Any) -> ValueError:
    """The error, with a note of what an op was given, and by which ops that was computed"""
    told = []
    for a in args:
        if isinstance(a, Tensor):
            node = a._node
            if node is not None:
                origin = f"from {node.name}" + (f", {node.line}" if node.line else "")
            else:
                origin = "a leaf" if a._requires_grad else "no gradient known"
            told.append(f"{a.shape} {a.dtype} ({origin})")
        elif is_array(a):
            told.append(f"{a.shape} {a.dtype} (an array)")
    if told and not getattr(error, "__notes__", None):
        error.add_note(f"  operands of {name}: {', '.join(told)}")
    return error


def _shares(base: Any, data: Any) -> bool:
    """Whether that is the base of a view of `data`, which may be a view itself"""
    return base is data or (data.base is not None and base is data.base)


def _tensors_in(args: Any) -> Iterator["Tensor"]:
    """The Tensors among arguments, also those in a tuple, such as an index"""
    for a in args:
        if isinstance(a, Tensor):
            yield a
        elif isinstance(a, tuple):
            yield from _tensors_in(a)


def _as_it_is(a: Any) -> Any:
    """An operand that is kept: the Tensor that it is now, whatever it becomes by assignment"""
    if isinstance(a, tuple):
        return tuple(map(_as_it_is, a))
    if not isinstance(a, Tensor) or a._requires_grad:
        return a
    kept = Tensor._wrap(a.data)  # in a recording: what it has noted of a, which stays
    kept._node, kept._version, kept._is_view = a._node, a._version, a._is_view
    return kept


def _speaks_of(vjp: Callable, out: Any) -> bool:
    """Whether a vjp needs the op's result, or an array of which that is a view"""
    whole = getattr(out, "base", None)
    for cell in getattr(vjp, "__closure__", None) or ():
        try:
            content = cell.cell_contents
        except ValueError:  # a variable that was never set
            continue
        if content is out or (whole is not None and whole is content):
            return True
        if whole is not None and getattr(content, "base", None) is whole:
            return True
    return False


elementwise = functools.partial(op, broadcasts=True)


class Tensor:
    """A NumPy array that remembers how it was computed.

    data           anything that NumPy takes; float arrays, integers and booleans keep their dtype,
                   Python numbers and lists of floats become float32. An array is not copied: what
                   changes the tensor, as an optimizer does, changes it; nn.Parameter copies
    requires_grad  note what is computed from this tensor, so that `backward` finds its gradient;
                   only for floating-point data

    The operations (`x.exp()`, `x @ y`, `x[1:]`, ...) are defined in `tinygrad_lite.ops` and
    `tinygrad_lite.fused`, and attached in `tinygrad_lite.methods`.
    """

    __slots__ = ("_data", "_grad", "_requires_grad", "_node", "_version", "_is_view",
                 "_hooks", "__weakref__")  # fmt: skip
    __array_priority__ = 1000  # array + tensor is a tensor

    def __init__(self, data: Any, requires_grad: bool = False, dtype: Any = None):
        given = data if isinstance(data, Tensor) else None
        data = data if given is None else given.data
        refuse_gradients_in(data)
        if isinstance(data, np.ma.MaskedArray):
            raise TypeError(
                "Tensor: data has a number in each place.\n"
                "  got a masked array\n  try data.filled(0)"
            )
        if isinstance(data, np.ndarray) and type(data) is not np.ndarray:
            data = np.asarray(data)
        if is_array(data):
            array = data if dtype is None else data.astype(dtype)
        else:
            array = np.asarray(data, dtype)
            if array.dtype == np.float64 and dtype is None and not isinstance(data, np.generic):
                array = array.astype(np.float32)
            array = constant(array)
        if array.dtype.kind not in "fiub":
            raise TypeError(
                "Tensor: data must be real numbers in a regular shape.\n"
                f"  got {type(data).__name__} of dtype {array.dtype}\n"
                "  try numpy.asarray(data, numpy.float32)"
            )
        self._node: Node | None = None
        self._grad: Tensor | None = None
        self._version = [0]  # one higher whenever data is changed; shared with detach()
        self._is_view = False  # of the memory of another
        self._data: Any = None
        self.data = array
        if given is not None and array is data:  # as after detach(): a change of one is one of both
            self._version = given._version
        self._requires_grad = False
        self.requires_grad = requires_grad

    @classmethod
    def _wrap(cls, array: Array) -> "Tensor":
        """A Tensor of a result, without the checks that data from outside needs."""
        tensor = cls.__new__(cls)
        tensor._data = np.asarray(array) if isinstance(array, np.generic) else array
        tensor._grad = None
        tensor._node = None
        tensor._version = [0]
        tensor._is_view = False
        tensor._requires_grad = False
        return tensor

    @property
    def data(self) -> Any:
        """The NumPy array. `x.data += 1` and `x.data = y` are noticed by a later `backward` through
        what was computed before; `x.data[0] = 1`, a change of a view, only by find_mistakes."""
        return self._data if current.watcher is None else current.watcher.data_of(self)

    @data.setter
    def data(self, array: Any) -> None:
        array = array.data if isinstance(array, Tensor) else array
        if not is_array(array):
            array = constant(np.asarray(array, None if self._data is None else self._data.dtype))
        self._version[0] += 1
        if current.watcher is None:
            self._data = array
        else:
            current.watcher.set_data(self, array)

    @property
    def grad(self) -> "Tensor | None":
        """The gradient that `backward` has added up: a Tensor of this one's shape, or None"""
        return self._grad if current.watcher is None else current.watcher.grad_of(self)

    @grad.setter
    def grad(self, gradient: "Tensor | None") -> None:
        if gradient is not None:
            gradient = gradient if isinstance(gradient, Tensor) else Tensor(gradient)
            if gradient.shape != self.shape:
                raise ValueError(
                    "grad: a gradient has the shape of its tensor.\n"
                    f"  got {gradient.shape} for a tensor of shape {self.shape}\n"
                    "  try grad = None, and backward() again"
                )
        if current.watcher is None:
            self._grad = gradient
        else:
            current.watcher.set_grad(self, gradient)

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad or self._node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if wanted and self.dtype.kind != "f":
            raise TypeError(
                "requires_grad: only floating-point tensors can have gradients.\n"
                f"  got dtype {self.dtype}\n"
                "  try x.astype('float32')"
            )
        if not wanted and self._node is not None:
            raise RuntimeError(
                "requires_grad: a computed tensor cannot forget what it was computed from.\n"
                f"  got the result of {self._node.name}\n"
                "  try x.detach()"
            )
        self._requires_grad = bool(wanted)

    is_leaf = property(lambda self: self._node is None)
    shape = property(lambda self: self._data.shape)
    ndim = property(lambda self: self._data.ndim)
    size = property(lambda self: self._data.size)
    dtype = property(lambda self: self._data.dtype)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a tensor without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator["Tensor"]:
        if self.ndim == 0:
            raise TypeError(
                "iter: only a tensor with axes can be walked through.\n"
                "  got a tensor without axes\n  try x.item()"
            )
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        body = np.array2string(self.data, separator=", ", prefix="Tensor(", threshold=50)
        dtype = "" if self.dtype == np.float32 else f", dtype={self.dtype}"
        return f"Tensor({body}{dtype}{', requires_grad=True' if self.requires_grad else ''})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.data, dtype, copy=copy)

    def numpy(self) -> Array:
        """The data as a NumPy array (shared, not copied)."""
        return self.data

    def tolist(self) -> Any:
        """The data as Python numbers in nested lists"""
        return self.data.tolist()

    def item(self) -> Any:
        """The one number of a tensor of size 1 as a Python number."""
        if self.size != 1:
            raise ValueError(
                "item: only a tensor with one element is a number.\n"
                f"  got shape {self.shape}\n"
                "  try x.numpy()"
            )
        return self.data.item()

    def detach(self) -> "Tensor":
        """The same data without its history."""
        tensor = Tensor._wrap(self.data)
        tensor._version, tensor._is_view = self._version, True
        return tensor

    def backward(
        self, gradient: "Tensor | Array | None" = None, retain_graph: bool = False,
        create_graph: bool = False,
    ) -> None:  # fmt: skip
        """Add to `.grad` of every leaf the gradient of this tensor.

        gradient       what this tensor's own gradient is, its shape; for a tensor of size 1 it is 1
        retain_graph   keep what is needed for another call; else it is freed on the way
        create_graph   gradients can be differentiated too; for what was computed within
                       tg.create_graph()

        Gradients of several calls add up until they are set to None. RuntimeError if the data of an
        operand has been changed since it was used.
        """
        if not self.requires_grad:
            raise RuntimeError(
                "backward: nothing that this tensor was computed from requires gradients.\n"
                f"  got a tensor of shape {self.shape} without history\n"
                "  try requires_grad=True on the inputs, and compute it outside no_grad(); what a"
                " jitted function returns has no history: backward() belongs into it"
            )
        if gradient is None:
            if self.size != 1:
                raise ValueError(
                    "backward: only a tensor with one element has a gradient of its own.\n"
                    f"  got shape {self.shape}\n"
                    "  try x.sum().backward(), or x.backward(gradient)"
                )
            g = np.ones_like(self.data)
        else:
            gradient = gradient if isinstance(gradient, Tensor) else Tensor(gradient)
            g = gradient.data if gradient.dtype == self.dtype else gradient.data.astype(self.dtype)
            if g.shape != self.shape:
                raise ValueError(
                    "backward: the gradient has the shape of the tensor.\n"
                    f"  got {g.shape} for a tensor of shape {self.shape}\n"
                    "  try numpy.broadcast_to(gradient, x.shape)"
                )
        if create_graph:
            given = isinstance(gradient, Tensor) and gradient.dtype == self.dtype
            self._deliver_with_graph(gradient if given else Tensor._wrap(g))
        else:
            _backward(self._node or self, g, retain_graph)

    def register_post_accumulate_grad_hook(self, hook: Callable[["Tensor"], Any]) -> "HookHandle":
        """Call hook(tensor) each time when `backward` has added up the gradient of this leaf: as
        soon as it is complete, while the rest of the pass is still to come. `remove()` of the
        handle ends it. In a jitted function its Python runs once."""
        if not self.is_leaf or not self._requires_grad:
            raise RuntimeError(
                "register_post_accumulate_grad_hook: a leaf that requires gradients gets one.\n"
                f"  got shape {self.shape}, {'a leaf' if self.is_leaf else 'a result'} with"
                f" requires_grad={self.requires_grad}\n  try requires_grad=True"
            )
        self._hooks = _hooks_of(self)
        return HookHandle(self, "_hooks", hook)

    if TYPE_CHECKING:  # the operations are attached in methods.py, and this in derivatives.py
        _deliver_with_graph: Callable[["Tensor | None"], None]

        def __getattr__(self, name: str) -> Callable[..., "Tensor"]: ...
        def __getitem__(self, index: Any) -> "Tensor": ...
        def _binary(self, other: Any) -> "Tensor": ...

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _binary
        __truediv__ = __rtruediv__ = __pow__ = __matmul__ = _binary
        __lt__ = __le__ = __gt__ = __ge__ = _binary

        def __neg__(self) -> "Tensor": ...


class HookHandle:
    """A hook that is registered with its owner, in the tuple of that name"""

    def __init__(self, owner: Any, name: str, hook: Callable):
        self.owner, self.name, self.hook = owner, name, hook
        setattr(owner, name, (*getattr(owner, name), self))

    def remove(self) -> None:
        """The hook is not called any more, unless it was registered more than once."""
        kept = [handle for handle in getattr(self.owner, self.name) if handle is not self]
        setattr(self.owner, self.name, tuple(kept))


def _hooks_of(tensor: Tensor) -> tuple[HookHandle, ...]:
    return getattr(tensor, "_hooks", ())  # most Tensors have none, and no place for them


def as_tensor(x: Any) -> Tensor:
    """A Tensor as it is; arrays and lists as one"""
    return x if isinstance(x, Tensor) else Tensor(x)


def gradients_of(params: Sequence[Tensor]) -> list[Array]:
    """The gradients themselves, made C-contiguous"""
    for p in params:
        if p.grad is not None and not (p.grad.data.flags.c_contiguous and p.grad.dtype == p.dtype):
            p.grad.data = contiguous(p.grad.data, p.dtype)
    return [p.grad.data for p in params if p.grad is not None]


class _Sum:
    """A gradient on its way: the first is kept as it came, the second allocates a sum."""

    __slots__ = ("array", "owned")

    def __init__(self, array: Array, owned: bool = False):
        self.array, self.owned = array, owned

    def add(self, array: Array) -> None:
        if self.owned:
            added(self.array, array, out=self.array)
        else:
            total = np.empty_like(self.array, order="C")  # an array, also for a number without axes
            self.array, self.owned = added(self.array, array, out=total), True


def _backward(root: Node | Tensor, g: Array, retain: bool) -> None:
    for leaf, total in propagated(root, g, retain).items():
        if isinstance(leaf, Tensor):
            _deliver(leaf, total)


def propagated(
    root: Node | Tensor, g: Array, retain: bool, wanted: Collection[Node | Tensor] = ()
) -> dict[Node | Tensor, _Sum]:
    """The gradients of leaves; of those nodes and leaves alone that are wanted, if any are. Without
    wanted ones, leaves with hooks get theirs on the way."""
    sums: dict[Node | Tensor, _Sum] = {root: _Sum(g)}
    found: dict[Node | Tensor, _Sum] = {}
    nodes = reachable(root)
    asked = asked_for(nodes, wanted)
    awaited = {} if wanted else _last_uses(nodes)
    complete: list[Tensor] = []
    for node in nodes:
        for leaf in complete:
            if leaf in sums:
                _deliver(leaf, sums.pop(leaf))
        complete = awaited.get(node, [])
        arrived = sums.pop(node, None)
        if arrived is not None and node in wanted:
            found[node] = _Sum(arrived.array)
        vjp, parents = node.vjp, node.parents
        if not retain:
            node.vjp, node.parents, node.call = (
                None,
                (),
                None,
            )  # free what the closure holds as early as possible
        if arrived is None or vjp is None or not any(map(asked, parents)):
            continue
        if current.watcher is not None:
            current.watcher.differentiates(node)
        gradients = vjp(arrived.array)
        if not isinstance(gradients, tuple | list) or any(
            p is not None for p in parents[len(gradients) :]
        ):
            raise TypeError(
                "vjp: it returns a tuple with a gradient, or None, for each operand.\n"
                f"  got {type(gradients).__name__} from {node.name} of {len(parents)} operands\n"
                "  try lambda g: (g * y,), with a comma"
            )
        for parent, gradient in zip(parents, gradients, strict=False):
            if gradient is None or not asked(parent):
                continue
            known = sums.get(parent)
            adds = isinstance(gradient, Adding) and gradient.like.dtype == parent.dtype
            if known is not None and known.owned and adds and isinstance(gradient, Adding):
                gradient.write(known.array, True)
                continue
            owned = isinstance(gradient, Own)
            dx = gradient() if callable(gradient) else gradient
            if node.broadcasts:
                dx = unbroadcast(dx, parent.shape)
            if dx.shape != parent.shape:
                raise RuntimeError(
                    "vjp: a gradient has the shape of its operand.\n"
                    f"  got {dx.shape} from {node.name} for an operand of shape {parent.shape}\n"
                    "  try @elementwise if the op's operands broadcast"
                )
            if dx.dtype != parent.dtype:
                dx = dx.astype(parent.dtype)
            if current.watcher is not None:
                current.watcher.differentiated(node, arrived.array, dx)
            if known is None:
                sums[parent] = _Sum(dx, owned)
            else:
                known.add(dx)
    return sums | found


def _last_uses(nodes: Sequence[Node]) -> dict[Node, list[Tensor]]:
    """For nodes, latest first: the leaves with hooks whose gradient is complete after each"""
    last = {
        p: node for node in nodes for p in node.parents if isinstance(p, Tensor) and _hooks_of(p)
    }
    complete: dict[Node, list[Tensor]] = {}
    for leaf, node in last.items():
        complete.setdefault(node, []).append(leaf)
    return complete


def reachable(root: Node | Tensor) -> list[Node]:
    """The nodes from which `root` was computed, latest first; a loop, so that depth is no limit."""
    if isinstance(root, Tensor):
        return []
    seen, stack = {root}, [root]
    while stack:
        node = stack.pop()
        if node.vjp is None:
            raise RuntimeError(
                "backward: each computed result can be differentiated once, then what is needed for"
                f" it is freed.\n  got a second call through {node.name}\n"
                "  try computing the result again, or retain_graph=True in the first call"
            )
        if any(version[0] != then for version, then in node.versions):
            raise RuntimeError(
                "backward: data must not change between the forward and the backward pass.\n"
                f"  got other data in an operand of {node.name}, of shape {node.shape}\n"
                "  try backward() first, or computing the result again"
            )
        for parent in node.parents:
            if isinstance(parent, Node) and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=lambda node: node.index, reverse=True)


def asked_for(
    nodes: Sequence[Node], wanted: Collection[Node | Tensor]
) -> Callable[[Node | Tensor | None], bool]:
    """Whether an operand of these nodes, latest first, needs its gradient: each that has one, or,
    if some are wanted, each that was computed from one of them"""
    if not wanted:
        return _has_gradient
    needed: set[Node | Tensor | None] = {*wanted}
    for node in reversed(nodes):
        if not needed.isdisjoint(node.parents):
            needed.add(node)
    return needed.__contains__


def _has_gradient(parent: Node | Tensor | None) -> bool:
    return parent is not None


def _deliver(leaf: Tensor, total: _Sum) -> None:
    """Add a gradient to leaf.grad, an array of the leaf's own: optimizers write into it."""
    if leaf.grad is not None:
        kept = leaf.grad.data
        if leaf.grad.requires_grad:  # it has a history, which speaks of what it was
            leaf.grad = Tensor._wrap(added(kept, total.array))
        else:
            added(kept, total.array, out=kept)
            leaf.grad._version[0] += 1
    else:
        leaf.grad = Tensor._wrap(total.array if total.owned else total.array.copy())
    call_hooks(leaf)


def call_hooks(leaf: Tensor) -> None:
    for handle in _hooks_of(leaf):
        handle.hook(leaf)

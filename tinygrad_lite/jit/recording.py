"""A recording of what a function computes: a list of calls on fixed memory, to be replayed.

Every array that reaches a recorded call is one of four: an argument of the function, memory of the
recording, a constant of the program's text, or a leaf: the data of a Tensor that was there before.
Leaves, gradients that were there, and modules are noted, and `fits` tells whether they still are
what they were. Any other array is refused: nobody could tell whether it will be the same next time.

In a recording, the memory of an array is used again once nobody refers to the array: what is
replayed needs no more memory than what was recorded.
"""

import functools
import math
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from tinygrad_lite.jit.traced import ABOUT, CHANGING, EMPTY, FIXED, PURE, SHAPING, Traced
from tinygrad_lite.kernels.chain import Chain
from tinygrad_lite.kernels.compile import Kernel
from tinygrad_lite.kernels.memory import empty_aligned
from tinygrad_lite.kernels.tables import Table
from tinygrad_lite.kernels.tasks import Workspace
from tinygrad_lite.kernels.watch import Watcher, attribute_changes
from tinygrad_lite.tensor import Tensor

Array = np.ndarray
NAMED_OUT = {np.maximum, np.minimum}  # NumPy wants their output by name
ARGUMENT, CONSTANT, LEAF = "an argument", "a constant", "a leaf"  # owners of other memory


class _Owner:
    """What traced arrays refer to; when the last of them is gone, the buffer is free again."""

    __slots__ = ("buffer", "free")

    def __init__(self, buffer: Array, free: dict[int, list[Array]]):
        self.buffer, self.free = buffer, free

    def __del__(self) -> None:
        self.free.setdefault(self.buffer.size, []).append(self.buffer)


class Recording(Watcher):
    """Calls in their order, and what they rely on"""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable, tuple]] = []
        self.open = True
        self.workspace = Workspace()  # its own: recordings may be replayed by several threads
        self.free: dict[int, list[Array]] = {}  # buffers by size
        self.kept: list[Any] = []  # what calls know by its address alone
        self.leaves: dict[Tensor, tuple[Traced, bool]] = {}
        # Tensors whose gradient was read or set: the one that was read first, if it was
        self.gradients: dict[Tensor, tuple[bool, Tensor | None]] = {}
        self.set: dict[Tensor, Traced] = {}  # leaves whose data was set, to what
        self.changed: list[list[int]] = []  # versions of leaves whose data was changed
        self.modules: dict[Any, dict[str, Any]] = {}

    def refuse(self, invariant: str, got: str, hint: str) -> NoReturn:
        raise RuntimeError(f"jit: {invariant}.\n  got {got}\n  try {hint}")

    # --- arrays -----------------------------------------------------------------------------

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Traced:
        """Memory for a result, contents arbitrary"""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        if size == 0:
            return Traced(np.empty(shape, dtype), None, self)
        known = self.free.get(size)
        buffer = known.pop() if known else empty_aligned(size, np.uint8)
        return Traced(buffer.view(dtype).reshape(shape), _Owner(buffer, self.free), self)

    def plain(self, x: Any, user: str = "an op") -> Any:
        """The memory behind an argument of a recorded call, which must be known"""
        if type(x) is Traced:
            if x.recording is not self or not self.open:
                self.refuse(
                    "what is computed in a recorded function must be returned by it",
                    f"an array of another recording in {user}",
                    "returning the Tensor from the function",
                )
            return x.array
        if isinstance(x, list | tuple):
            return type(x)(self.plain(part, user) for part in x)
        if type(x) is Table:
            self.kept.append([[self.plain(a, user) for a in row] for row in x.rows])
            return x.addresses(lambda a: self.plain(a, user))
        if isinstance(x, np.ndarray) and x.size and not self._is_scratch(x):
            self.refuse(
                "each array that a recorded function uses is one of its arguments, computed in it,"
                " or the data of a Tensor that was there before",
                f"an array {x.shape} of {x.dtype} from elsewhere in {user}",
                "giving it as an argument, or keeping it in a Tensor",
            )
        return x

    def _is_scratch(self, x: Array) -> bool:
        known = self.workspace.arrays.values()
        return x is self.workspace.counters or any(x is array for array in known)

    def literal(self, x: Any) -> Any:
        """A list of numbers in the program's text as a constant; an empty one names no places"""
        if not isinstance(x, list):
            return x
        array = np.asarray(x)
        return self.constant(array if array.size else array.astype(np.intp))

    def changes(self, x: Any) -> None:
        """`x` is about to be written to."""
        self.plain(x)
        if isinstance(x, Traced) and x.owner in (ARGUMENT, CONSTANT):
            self.refuse(
                "a recorded function must not write to its arguments, nor to constants",
                f"a change of {x.owner}, an array {x.shape}",
                "writing to a copy, x.copy()",
            )

    # --- what is written down ---------------------------------------------------------------

    def launch(self, function: Callable, arguments: tuple) -> None:
        kernel = getattr(function, "__self__", None)
        name = getattr(kernel if isinstance(kernel, Kernel) else function, "__name__", "an op")
        plain = tuple(self.plain(a, name) for a in arguments)
        function(*plain)
        self.calls.append((kernel.entry if isinstance(kernel, Kernel) else function, plain))

    def filled(self, procedure: Callable, shape: Any, dtype: Any, arguments: tuple) -> Traced:
        shape = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
        out = self.empty(shape, dtype)
        self.launch(procedure, (out, *arguments))
        return out

    def constant(self, array: Any) -> Traced:
        return Traced(array, CONSTANT, self) if isinstance(array, np.ndarray) else array

    def computed(
        self,
        function: Callable,
        inputs: tuple,
        settings: dict,
        takes_out: bool = False,
    ) -> Any:
        """function(*inputs, **settings), now and in every replay"""
        name = getattr(function, "__name__", "a function")
        plain = tuple(self.plain(x, name) for x in inputs)
        named = {key: self.plain(x, name) for key, x in settings.items()}
        value = function(*plain, **named)
        if any(value is x for x in (*plain, *named.values())):
            self.refuse(
                "a function of NumPy that writes to its argument is given it by name",
                f"{name} with an argument that it has changed",
                "out=..., or a copy",
            )
        traced = list(_traced_in((inputs, list(settings.values()))))
        if isinstance(value, list | tuple):
            parts = []
            for i, part in enumerate(value):
                whole = self._view_of(part, traced)
                if whole is None:
                    pick = functools.partial(_part, function, i)
                    whole = self._kept_result(pick, plain, named, part, False)
                parts.append(whole)
            return type(value)(parts) if type(value) in (list, tuple) else tuple(parts)
        view = self._view_of(value, traced)
        if view is not None:
            return view
        return self._kept_result(function, plain, named, value, takes_out)

    def _view_of(self, value: Any, traced: list[Traced]) -> Traced | None:
        """The result as a view of what it was computed from, if it is one"""
        if isinstance(value, np.ndarray) and value.size:
            for x in traced:
                if np.may_share_memory(value, x.array):
                    return Traced(value, x.owner, self)
        return None

    def _kept_result(
        self, function: Callable, plain: tuple, named: dict, value: Any, takes_out: bool
    ) -> Traced:
        value = np.asarray(value)
        place = self.empty(value.shape, value.dtype)
        np.copyto(place.array, value)
        if isinstance(function, np.ufunc) and takes_out and not named and function not in NAMED_OUT:
            self.calls.append((function, (*plain, place.array)))
        elif takes_out:
            function = functools.partial(_compute_into, function, named)
            self.calls.append((function, (place.array, *plain)))
        else:
            function = functools.partial(_compute_and_copy, function, named)
            self.calls.append((function, (place.array, *plain)))
        return place

    def called_numpy(self, function: Callable, args: tuple, settings: dict) -> Any:
        """A function of NumPy was called with traced arrays."""
        name = f"numpy.{function.__name__}"
        if (out := settings.pop("out", None)) is not None:
            settings = {key: self.plain(x, name) for key, x in settings.items()}
            self.changes(out)
            self.launch(functools.partial(_compute_into, function, settings), (out, *args))
            return out
        others = [*args[1:], *settings.values()]
        if _has_traced(others) and (
            function in SHAPING or (function in FIXED and function is not np.full_like)
        ):
            self.refuse(
                "the shape of a result, and constants, must not depend on data",
                f"{name} with an array of the recording",
                "the same outside the function",
            )
        if function is np.where and len(args) == 1:
            self.refuse(
                "the shape of a result must not depend on data",
                "numpy.where with a condition alone",
                "tg.where(condition, x, 0)",
            )
        if function is np.full_like and _has_traced(others):
            return self.computed(function, args, settings)
        if function in PURE:
            return self.computed(function, args, settings, takes_out=PURE[function])
        if function in CHANGING and args:
            self.changes(args[0])
            settings = {key: self.plain(x, name) for key, x in settings.items()}
            self.launch(functools.partial(function, **settings), args)
            return None
        if function in ABOUT or function in EMPTY or function in FIXED:
            plain = tuple(self.plain(x, name) for x in args)
            value = function(*plain, **{key: self.plain(x, name) for key, x in settings.items()})
            if function in ABOUT:
                return value
            if value.size and np.all(value == value.flat[0]) and function not in EMPTY:
                out = self.empty(value.shape, value.dtype)
                self.launch(np.copyto, (out, value.flat[0]))
                return out
            if function in EMPTY or not value.size:
                return self.empty(value.shape, value.dtype)
            return self.constant(value)
        self.refuse(
            "a recorded function calls functions of NumPy whose result has a shape that does not"
            " depend on data",
            name,
            "the same outside the function, or with the ops of tinygrad_lite",
        )

    # --- Tensors and modules ----------------------------------------------------------------

    def data_of(self, tensor: Tensor) -> Any:
        if type(tensor._data) is Traced:
            return tensor._data
        known = self.leaves.get(tensor)
        if known is None:
            known = Traced(tensor._data, LEAF, self), tensor._requires_grad
            self.leaves[tensor] = known
        return self.set.get(tensor, known[0])

    def set_data(self, tensor: Tensor, array: Any) -> None:
        if tensor._data is None or type(tensor._data) is Traced:  # a Tensor of the recording
            self.plain(array, "Tensor(...)")
            if tensor._data is not None:
                self.changes(tensor._data)
            tensor._data = array
            return
        leaf = self.data_of(tensor)
        self.changed.append(tensor._version)
        if array is leaf:  # after x.data += 1
            return
        self.plain(array, "x.data = ...")
        if isinstance(array, Traced) and array.owner is LEAF:
            self.refuse(
                "in a recorded function no two Tensors come to share memory",
                "the data of one Tensor as the data of another",
                "x.data = y.data.copy()",
            )
        if array.shape != leaf.shape or array.dtype != leaf.dtype:
            self.refuse(
                "a recorded function leaves shape and dtype of a Tensor's data as they were",
                f"{array.dtype} {array.shape} for {leaf.dtype} {leaf.shape}",
                "a new Tensor, which is returned",
            )
        self.set[tensor] = array  # it takes the place of the leaf's when the function is done

    def grad_of(self, tensor: Tensor) -> Any:
        if tensor not in self.gradients:
            self.gradients[tensor] = True, tensor._grad
        return tensor._grad

    def set_grad(self, tensor: Tensor, gradient: Any) -> None:
        self.gradients.setdefault(tensor, (False, tensor._grad))
        tensor._grad = gradient

    def ran(self, op: str, operands: list, out: Any) -> None:
        if type(out) is not Traced and np.size(out):
            self.refuse(
                "each op in a recorded function computes from what was recorded",
                f"{op} of arrays from elsewhere",
                "giving them as arguments, or keeping them in Tensors",
            )

    def reads(self, module: Any) -> None:
        if module not in self.modules:
            self.modules[module] = dict(vars(module))

    # --- the end of recording, and replay ---------------------------------------------------

    def forget(self) -> None:
        """The function raised an error: gradients are as they were before."""
        self.open = False
        for tensor, (_, before) in self.gradients.items():
            tensor._grad = before
        for module, attributes in self.modules.items():
            vars(module).clear()
            vars(module).update(attributes)

    def finish(self) -> None:
        """Nothing more is written down; from here on `fits` and `replay` are what it is for."""
        for module, before in self.modules.items():
            now = vars(module)
            for name in {*now, *before}:
                if name not in now or now[name] is not before.get(name):
                    self.refuse(
                        "a recorded function leaves the attributes of modules as they are: its"
                        " Python runs once",
                        f"another {name!r} in {type(module).__name__}",
                        "x.data[...] = new values for a Tensor, or setting it outside",
                    )
        self.commits = [
            (self.leaves[tensor][0].array, self.plain(array)) for tensor, array in self.set.items()
        ]
        self.open = False
        self.kept_leaves = [
            (weakref.ref(t), traced.array, wanted) for t, (traced, wanted) in self.leaves.items()
        ]
        self.expected = [
            (weakref.ref(t), None if before is None else before._data)
            for t, (read, before) in self.gradients.items()
            if read and type(t._data) is not Traced
        ]
        self.left = []
        for tensor in self.gradients:
            gradient = tensor._grad
            if gradient is not None and type(gradient._data) is Traced:
                gradient._data = gradient._data.array
            self.left.append((weakref.ref(tensor), gradient))
        self.seen = [(weakref.ref(m), tuple(v.items())) for m, v in self.modules.items()]
        self.changes_seen = attribute_changes[0]
        self.leaves, self.gradients, self.modules, self.set = {}, {}, {}, {}
        self.free.clear()
        self.chain = Chain(self.calls)

    def fits(self) -> bool:
        """Whether all that was noted is as it was: only then is a replay the function's result."""
        for leaf, data, wanted in self.kept_leaves:
            tensor = leaf()
            if tensor is None or tensor._data is not data or tensor._requires_grad is not wanted:
                return False
        for leaf, before in self.expected:
            tensor = leaf()
            gradient = None if tensor is None else tensor._grad
            if (None if gradient is None else gradient._data) is not before:
                return False
        if self.changes_seen != attribute_changes[0]:
            for module, items in self.seen:
                owner = module()
                now = {} if owner is None else vars(owner)
                if len(now) != len(items) or any(now.get(n, self) is not v for n, v in items):
                    return False
            self.changes_seen = attribute_changes[0]
        return True

    def replay(self) -> None:
        self.chain()
        for reference, gradient in self.left:
            if (tensor := reference()) is not None:
                tensor._grad = gradient

    def commit(self) -> None:
        """After results were copied: leaves get the data that was set."""
        for leaf, array in self.commits:
            np.copyto(leaf, array)
        for version in self.changed:
            version[0] += 1


def _traced_in(x: Any) -> Any:
    if type(x) is Traced:
        yield x
    elif isinstance(x, list | tuple):
        for part in x:
            yield from _traced_in(part)


def _has_traced(x: Any) -> bool:
    return next(_traced_in(x), None) is not None


def _compute_into(function: Callable, settings: dict, out: Array, *inputs: Any) -> None:
    function(*inputs, out=out, **settings)


def _compute_and_copy(function: Callable, settings: dict, out: Array, *inputs: Any) -> None:
    np.copyto(out, function(*inputs, **settings))


def _part(function: Callable, i: int, *inputs: Any, **settings: Any) -> Any:
    return function(*inputs, **settings)[i]

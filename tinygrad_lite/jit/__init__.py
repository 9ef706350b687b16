"""`jit`: record a function once, then replay its kernels on the same memory, as tinygrad's TinyJit.

    @jit
    def step(tokens, targets):
        adamw.zero_grad()
        loss = model.loss(tokens, targets)
        loss.backward()
        clip_grad_norm(parameters, 1.0)
        adamw.step()
        return loss

The first call with arguments of given shapes runs the function, and writes down which kernels it
calls on which memory. Later calls copy their arguments to where the first call's were and repeat
these calls: no tape, no Python of the model, no new memory. Small models are mostly Python, so this
is what makes them fast; large ones gain the memory that is always at the same place.

A replay gives what the function itself would give, or is refused:
    * arguments are Tensors and arrays, in tuples, lists and dictionaries too; numbers, texts and
      the like are part of what is recorded, and other values record anew;
    * a look at numbers (`if loss.item() < 3`), a shape that depends on them, and an array that no
      argument brought in raise RuntimeError: Python in the function runs once;
    * other data in a Tensor, another gradient, a module in another mode, other attributes of it, or
      other threads, precision and no_grad record anew. So do other values of the variables from
      outside that the function names. Of what these hold, a number in a list or in an object, or
      what a function calls that is called, nothing is noticed;
    * random numbers are drawn anew in each replay, and optimizers read their settings anew.
Results are copies; gradients that the function leaves in `.grad` stay until its next call.
"""

import functools
import threading
import types
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lite.distributed.ranks import size_so_far
from tinygrad_lite.fused.dropout import drawn_rows
from tinygrad_lite.jit.recording import ARGUMENT, Recording
from tinygrad_lite.jit.traced import Traced
from tinygrad_lite.kernels.precision import get_precision
from tinygrad_lite.kernels.tasks import working_in
from tinygrad_lite.kernels.team import get_num_threads
from tinygrad_lite.kernels.watch import current, watched_by
from tinygrad_lite.tensor import Tensor, is_grad_enabled

MOST = 16  # recordings of one function; the one that was not used for longest gives way


def jit(function: Callable) -> Callable:
    """The function, recorded at its first call for each combination of shapes and dtypes: later
    calls repeat its kernels, and run no Python. Arguments are Tensors and arrays; numbers among
    them, and variables from outside, are part of what is recorded, and others record anew. Looking
    at numbers (`if loss.item() < 3`) is refused; a `print` runs once. backward() and the step of an
    optimizer belong into the function: its results are copies without history. The rules in full
    are at the top of tinygrad_lite/jit/__init__.py. Calls from several threads wait for each other.
    RuntimeWarning after 16 recordings of which none could be repeated.

    >>> double = tg.jit(lambda x: x * 2)
    >>> [double(Tensor([n])).tolist() for n in (1.0, 2.0)]
    [[2.0], [4.0]]
    """
    known: OrderedDict[Any, list[_Recorded]] = OrderedDict()
    lock = threading.RLock()
    named = _named_outside(function)
    in_vain = 0  # recordings since the last replay

    @functools.wraps(function)
    def call(*args: Any, **settings: Any) -> Any:
        nonlocal in_vain
        if current.watcher is not None:  # part of another recording, or of a search for mistakes
            return function(*args, **settings)
        arrays: list[Any] = []
        modes = get_num_threads(), get_precision(), is_grad_enabled(), drawn_rows(), size_so_far()
        key = (*modes, _key((args, settings), arrays))
        with lock:
            for recorded in known.get(key, []):
                if recorded.runs:  # this is a signal's handler, come in between
                    return function(*args, **settings)
                if recorded.recording.fits() and recorded.sees_the_same():
                    known.move_to_end(key)
                    in_vain = 0
                    return recorded(arrays)
            outside = [(read, _reference(read())) for read in named]  # before it can change them
            recorded = _Recorded(function, args, settings)
            recorded.outside = outside
            in_vain += 1
            if in_vain == MOST:
                warnings.warn(
                    f"jit: {MOST} calls of {getattr(function, '__name__', 'a function')} were"
                    " recorded and none could be repeated: each had other numbers among its"
                    " arguments, another Tensor that requires gradients, other shapes, or other"
                    " variables from outside. Without jit it would be faster.",
                    RuntimeWarning, stacklevel=2,
                )  # fmt: skip
            known.setdefault(key, []).append(recorded)
            known.move_to_end(key)
            if sum(map(len, known.values())) > MOST:
                oldest = next(iter(known))
                known[oldest].pop(0)
                if not known[oldest]:
                    del known[oldest]
            result, recorded.first_result = recorded.first_result, None
            return result

    return call


def _named_outside(function: Callable) -> list[Callable[[], Any]]:
    """For each name in the function itself: what reads the variable from outside that has it, now
    or later"""
    import dis  # for those who record

    code, scope = getattr(function, "__code__", None), getattr(function, "__globals__", {})
    inner = [] if code is None else [code]
    names: set[str] = set()
    enclosed: set[str] = set()  # what is only written is not looked at
    while inner:
        one = inner.pop()
        for i in dis.get_instructions(one):  # co_names has the names of attributes too
            if i.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                names.add(i.argval)
            elif i.opname.startswith("LOAD") and i.opname.endswith("DEREF"):
                enclosed.add(i.argval)
        inner += [c for c in one.co_consts if isinstance(c, types.CodeType)]
    found: list[Callable[[], Any]] = [functools.partial(scope.get, n) for n in sorted(names)]
    closure = getattr(function, "__closure__", None) or ()
    cells = zip(getattr(code, "co_freevars", ()), closure, strict=False)
    return found + [functools.partial(_content, cell) for name, cell in cells if name in enclosed]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not set yet
        return None


def _reference(x: Any) -> Callable[[], Any]:
    """What gives x while it lives; a number or a text is kept, since it may be made again"""
    try:
        return weakref.ref(x)
    except TypeError:
        return lambda: x


def _key(x: Any, arrays: list[Any]) -> Any:
    """What a recording depends on besides the numbers in arrays, which are added to `arrays`"""
    if isinstance(x, Tensor):
        if x.requires_grad:
            if x._node is not None:
                raise RuntimeError(
                    "jit: an argument must not carry what it was computed from.\n"
                    f"  got the result of {x._node.name}\n  try x.detach()"
                )
            return x  # a leaf: the function works on this very Tensor
        arrays.append(x._data)
        return Tensor, x._data.shape, x._data.dtype, x._data.strides
    if isinstance(x, np.ndarray) and type(x) in (np.ndarray, np.memmap):
        arrays.append(x)
        return np.ndarray, x.shape, x.dtype, x.strides  # sums follow the layout
    if isinstance(x, list | tuple):
        return type(x), *[_key(part, arrays) for part in x]
    if isinstance(x, dict):
        return dict, *[(name, _key(part, arrays)) for name, part in x.items()]
    if isinstance(x, float):
        return float, x.hex()  # NaN is itself, 0.0 is not -0.0
    if isinstance(x, np.generic):
        return type(x), x.tobytes()
    try:
        hash(x)
    except TypeError:
        raise TypeError(
            "jit: arguments are Tensors, arrays, what can be hashed, and tuples, lists and"
            f" dictionaries of them.\n  got {type(x).__name__}\n  try a tuple in its place"
        ) from None
    return type(x), x


class _Recorded:
    """One recording: where its arguments go, its calls, its result"""

    def __init__(self, function: Callable, args: tuple, named: dict):
        self.recording = recording = Recording()
        self.inputs: list[np.ndarray] = []
        self.outside: list[
            tuple[Callable, Callable]
        ] = []  # what reads variables, and what was read
        self.runs = False
        try:
            with watched_by(recording), working_in(recording.workspace):
                given = (
                    [self._taken(x) for x in args],
                    {n: self._taken(x) for n, x in named.items()},
                )
                before = self._identities(given)
                result = function(*given[0], **given[1])
            self.result = self._template(result)
            if self._identities(given) != before:
                recording.refuse(
                    "a recorded function leaves its arguments as they are",
                    "a changed list, dictionary or requires_grad of an argument",
                    "returning what is new",
                )
            recording.finish()
        except BaseException:
            recording.forget()
            raise
        self.first_result = self._copied(self.result)
        recording.commit()

    def sees_the_same(self) -> bool:
        """Whether the variables from outside are what they were"""
        for read, kept in self.outside:
            now, before = read(), kept()
            equal = (
                type(now) is type(before) and isinstance(now, int | float | str) and now == before
            )
            if now is not before and not equal:
                return False
        return True

    def _taken(self, x: Any) -> Any:
        """An argument as the function gets it: arrays in memory of the recording"""
        if isinstance(x, Tensor) and not x.requires_grad:
            return Tensor(self._taken(x._data))
        if isinstance(x, np.ndarray):
            self.inputs.append(np.array(x, order="K"))
            return Traced(self.inputs[-1], ARGUMENT, self.recording)
        if isinstance(x, list | tuple):
            return _rebuilt(x, [self._taken(part) for part in x])
        if isinstance(x, dict):
            return {name: self._taken(part) for name, part in x.items()}
        return x

    def _template(self, x: Any) -> Any:
        """What is returned, with the recording's memory in place of arrays"""
        if isinstance(x, Tensor):
            return _Result(x, self.recording.plain(x._data)) if type(x._data) is Traced else x
        if isinstance(x, Traced):
            return _Result(None, self.recording.plain(x))
        if isinstance(x, list | tuple):
            return _rebuilt(x, [self._template(part) for part in x])
        if isinstance(x, dict):
            return {name: self._template(part) for name, part in x.items()}
        if x is None or isinstance(x, int | float | str):
            return x
        self.recording.refuse(
            "a recorded function returns Tensors and arrays, in tuples, lists and dictionaries",
            type(x).__name__,
            "returning its Tensors",
        )

    def _copied(self, x: Any) -> Any:
        if type(x) is _Result:
            copy = x.array.copy()
            return Tensor._wrap(copy) if x.is_tensor else copy
        if isinstance(x, list | tuple):
            return _rebuilt(x, [self._copied(part) for part in x])
        if isinstance(x, dict):
            return {name: self._copied(part) for name, part in x.items()}
        return x

    def __call__(self, arrays: list[np.ndarray]) -> Any:
        self.runs = True
        try:
            for given, place in zip(arrays, self.inputs, strict=True):
                np.copyto(place, given)
            self.recording.replay()
            result = self._copied(self.result)
            self.recording.commit()
        finally:
            self.runs = False
        return result

    def _identities(self, x: Any) -> Any:
        """What a function must not change about its arguments"""
        if isinstance(x, Tensor):
            return id(x), x._requires_grad and type(x._data) is Traced
        if isinstance(x, list | tuple):
            return [self._identities(part) for part in x]
        if isinstance(x, dict):
            return [(name, self._identities(part)) for name, part in x.items()]
        return id(x)


class _Result:
    """The place of a returned array"""

    def __init__(self, tensor: Tensor | None, array: np.ndarray):
        self.is_tensor, self.array = tensor is not None, array


def _rebuilt(like: list | tuple, parts: list) -> Any:
    """A list, a tuple, or a named tuple of these parts"""
    return type(like)(*parts) if hasattr(like, "_fields") else type(like)(parts)

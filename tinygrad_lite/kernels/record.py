"""A recording of what a function computes: a list of calls on fixed memory, to be replayed.

Ops compute with `call(function, *arguments)`, which calls and, while a recording is being made in
this thread, also writes down: kernels and NumPy functions, each with its output among its
arguments. Memory for results comes from `empty`. In a recording, the memory of an array is used
again once nobody refers to the array: what is replayed needs no more memory than what was recorded.
`tinygrad_lite/jit.py` is what users see.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

Array = np.ndarray


class _Recorder(threading.local):
    recording: "Recording | None" = None


_recorder = _Recorder()


class Recording:
    """Calls in their order, and the memory that they work on"""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable, tuple]] = []
        self.free: dict[int, list[Array]] = {}  # buffers by size
        self.kept: list[Array] = []  # what calls know by its address alone

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """An array whose buffer is free again when the array is gone"""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        known = self.free.get(size)
        owner = _Owner(self, known.pop() if known else np.empty(size, np.uint8))
        array = np.asarray(owner).view(dtype)
        return array.reshape(shape)

    def add(self, function: Callable, arguments: tuple) -> None:
        self.calls.append((function, tuple(_unowned(a) for a in arguments)))

    def keep(self, arrays: Iterable[Array]) -> None:
        """The memory of these arrays must stay as long as the recording."""
        self.kept += [_unowned(array) for array in arrays]

    def replay(self) -> None:
        for function, arguments in self.calls:
            function(*arguments)


class _Owner:
    """What a recorded array refers to; when it is collected, its buffer may be used again."""

    def __init__(self, recording: Recording, buffer: Array):
        self.recording, self.buffer = recording, buffer
        self.__array_interface__ = buffer.__array_interface__

    def __del__(self) -> None:
        self.recording.free.setdefault(self.buffer.size, []).append(self.buffer)


def owner_of(array: Array) -> _Owner | None:
    """The owner of the array's memory, if it is a recording's"""
    base: Any = array
    while isinstance(base, Array):
        base = base.base
    return base if isinstance(base, _Owner) else None


def _unowned(argument: Any) -> Any:
    """The same array without its owner: writing it down must not keep its memory from others."""
    owner = owner_of(argument) if isinstance(argument, Array) else None
    if owner is None:
        return argument
    start = argument.__array_interface__["data"][0] - owner.buffer.__array_interface__["data"][0]
    return np.ndarray(argument.shape, argument.dtype, owner.buffer, start, argument.strides)


def empty(shape: tuple[int, ...] | int, dtype: Any = np.float32) -> Array:
    """Memory for a result, contents arbitrary"""
    recording = _recorder.recording
    shape = (shape,) if isinstance(shape, int) else shape
    if recording is None or 0 in shape:
        return np.empty(shape, dtype)
    return recording.empty(shape, dtype)


def empty_like(array: Array) -> Array:
    """C-contiguous memory of the same shape and dtype"""
    return empty(array.shape, array.dtype)


def call(function: Callable, *arguments: Any) -> None:
    """function(*arguments), now and in every replay"""
    function(*arguments)
    if _recorder.recording is not None:
        _recorder.recording.add(function, arguments)


def contiguous(array: Array, dtype: Any = None) -> Array:
    """The array if it is C-contiguous and of that dtype, else a copy that is"""
    dtype = array.dtype if dtype is None else np.dtype(dtype)
    if array.flags.c_contiguous and array.dtype == dtype:
        return array
    copy = empty(array.shape, dtype)
    call(np.copyto, copy, array)
    return copy


def current() -> Recording | None:
    """The recording that is being made in this thread"""
    return _recorder.recording


@contextlib.contextmanager
def recording_to(recording: Recording) -> Iterator[None]:
    if _recorder.recording is not None:
        raise RuntimeError(
            "jit: a recorded function cannot record another one.\n"
            "  got a call of a jit function inside a jit function\n"
            "  try jit for the outer function only"
        )
    _recorder.recording = recording
    try:
        yield
    finally:
        _recorder.recording = None

"""Who looks on while a thread computes.

Whatever computes by filling an array passes through `launch`, and each Tensor asks for its data
through `watcher()`. Mostly nobody looks on, and both do the plain thing. A Watcher sees what
passes, and may put something else in its place: `jit` hands out arrays that write down what is
done with them, `find_mistakes` looks for numbers that are not finite, `compile_ahead` only notes
which kernels there are. An op does not know about any of them.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


class Watcher:
    """What is asked of who looks on; each method here does the plain thing."""

    def launch(self, function: Callable, arguments: tuple) -> None:
        """A kernel, or a procedure, is about to fill its outputs."""
        function(*arguments)

    def filled(self, procedure: Callable, shape: Any, dtype: Any, arguments: tuple) -> Any:
        """An array that procedure(array, *arguments) fills, with no array among the arguments"""
        out = np.empty(shape, dtype)
        self.launch(procedure, (out, *arguments))
        return out

    def constant(self, array: np.ndarray) -> Any:
        """An array that follows from numbers in the program's text"""
        return array

    def data_of(self, tensor: Any) -> Any:
        """Somebody reads tensor.data."""
        return tensor._data

    def set_data(self, tensor: Any, array: Any) -> None:
        """Somebody sets tensor.data."""
        tensor._data = array

    def grad_of(self, tensor: Any) -> Any:
        """Somebody reads tensor.grad."""
        return tensor._grad

    def set_grad(self, tensor: Any, gradient: Any) -> None:
        """Somebody sets tensor.grad."""
        tensor._grad = gradient

    def ran(self, op: str, operands: list, out: Any) -> None:
        """An op has computed `out` from its operands."""

    def noted(self, node: Any, operands: list) -> None:
        """The op was noted for `backward` as `node`."""

    def differentiates(self, node: Any) -> None:
        """The vjp of `node` is about to be evaluated."""

    def differentiated(self, node: Any, arrived: Any, gradient: Any) -> None:
        """From the gradient that arrived, the gradient of an operand was computed."""

    def reads(self, module: Any) -> None:
        """Somebody is about to read, or has set, an attribute of a module."""


attribute_changes = [0]  # one higher whenever an attribute of any module is set


class _Current(threading.local):
    watcher: Watcher | None = None


current = _Current()


@contextlib.contextmanager
def watched_by(watcher: Watcher | None) -> Iterator[None]:
    """Within this context, `watcher`, or nobody, looks on in this thread; one before it looks
    away."""
    before = current.watcher
    current.watcher = watcher
    try:
        yield
    finally:
        current.watcher = before


def launch(function: Callable, *arguments: Any) -> None:
    """function(*arguments), which fills outputs, its first arguments, and returns nothing"""
    if current.watcher is None:
        function(*arguments)
    else:
        current.watcher.launch(function, arguments)


def procedure(function: Callable) -> Callable[..., None]:
    """A function with a kernel's contract, in plain Python: it fills what it is given.

    What an op does beyond NumPy's own functions is in procedures and kernels: draw random numbers,
    look at values, compute in several steps on the same memory.
    """

    @functools.wraps(function)
    def launched(*arguments: Any) -> None:
        launch(function, *arguments)

    return launched


def filled(function: Callable, shape: Any, dtype: Any, *arguments: Any) -> Any:
    """A new array that function(array, *arguments) fills: for what no operand stands behind, such
    as random numbers, or numbers that Python keeps"""
    if current.watcher is None:
        out = np.empty(shape, dtype)
        function(out, *arguments)
        return out
    return current.watcher.filled(function, shape, dtype, arguments)


def constant(array: np.ndarray) -> Any:
    """An array that follows from numbers in the program's text: the same whenever it is run"""
    return array if current.watcher is None else current.watcher.constant(array)

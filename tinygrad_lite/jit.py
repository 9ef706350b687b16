"""`jit`: record a function once, then replay its kernels on the same memory, as tinygrad's TinyJit.

    @jit
    def step(tokens, targets):
        loss = model.loss(tokens, targets)
        loss.backward()
        clip_grad_norm(parameters, 1.0)
        adamw.step()
        adamw.zero_grad()
        return loss

The first call with arrays of given shapes runs the function as it is, and writes down which kernels
it calls on which memory. Later calls copy their arguments to where the first call's were and repeat
these calls: no tape, no Python of the model, no new memory. Small models are mostly Python, so this
is what makes them fast; large ones gain the memory that is always at the same place.

What a function must be for this:
    * its arguments are arrays or Tensors (by position); numbers, texts and the like are part of
      what is recorded: other values record anew;
    * all that it computes from them is computed by ops of this engine, without looking at values
      (`if loss.item() < 3`): Python in it runs once;
    * it returns Tensors, or tuples of them. The next call overwrites their data, and gradients that
      it leaves in `.grad`: copy what must stay.
"""

import functools
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_lite.kernels.compile import get_num_threads
from tinygrad_lite.kernels.precision import get_precision
from tinygrad_lite.kernels.record import Recording, recording_to
from tinygrad_lite.tensor import Tensor, delivered


def jit(function: Callable) -> Callable:
    """The function, recorded at its first call for each combination of shapes and dtypes."""
    recorded: dict[Any, _Recorded] = {}

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        key = (get_num_threads(), get_precision(), *map(_key, args))
        known = recorded.get(key)
        if known is None:
            known = recorded[key] = _Recorded(function, args)
            return known.result
        return known(args)

    return call


def _key(argument: Any) -> Any:
    array = argument.data if isinstance(argument, Tensor) else argument
    return (array.shape, array.dtype) if isinstance(array, np.ndarray) else array


@dataclass
class _Leaf:
    """A Tensor that received a gradient: its memory, whether it had a gradient before, and what it
    has after the recorded call. One that was made inside the function is gone by the next call."""

    tensor: "weakref.ref[Tensor]"
    data: np.ndarray
    had: bool
    gradient: Tensor | None

    def check(self) -> None:
        tensor = self.tensor()
        if tensor is not None and tensor.data is not self.data:
            raise RuntimeError(
                "jit: a leaf keeps the memory that it had when the function was recorded.\n"
                f"  got other data in a leaf of shape {tensor.shape}\n"
                "  try x.data[...] = new values, in place of x.data = new values"
            )
        if tensor is not None and (tensor.grad is not None) != self.had:
            raise RuntimeError(
                "jit: gradients must be there, or not, as when the function was recorded.\n"
                f"  got a leaf of shape {tensor.shape} {'without' if self.had else 'with'} one\n"
                "  try zero_grad() before each call"
            )


class _Recorded:
    """One recording: where its arguments go, its calls, its result, the gradients it leaves"""

    def __init__(self, function: Callable, args: tuple):
        self.inputs = [
            np.array(a.data if isinstance(a, Tensor) else a)
            if isinstance(a, Tensor | np.ndarray)
            else None
            for a in args
        ]
        given = [
            a if i is None else Tensor(i) if isinstance(a, Tensor) else i
            for a, i in zip(args, self.inputs, strict=True)
        ]
        self.recording = Recording()
        with recording_to(self.recording), delivered() as leaves:
            self.result = function(*given)
        self.leaves = [
            _Leaf(weakref.ref(leaf), leaf.data, had, leaf.grad) for leaf, had in leaves.items()
        ]

    def __call__(self, args: tuple) -> Any:
        for leaf in self.leaves:
            leaf.check()
        for given, place in zip(args, self.inputs, strict=True):
            if place is not None:
                np.copyto(place, given.data if isinstance(given, Tensor) else given)
        self.recording.replay()
        for leaf in self.leaves:
            if (tensor := leaf.tensor()) is not None:
                tensor.grad = leaf.gradient
        return self.result

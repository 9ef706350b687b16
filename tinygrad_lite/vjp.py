"""What becomes of an op's vjp: its gradients are computed when they are wanted, summed back down
where arguments were broadcast, and in a recording (see kernels/record.py) computed again in each
replay, also by ops that know nothing of recordings.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lite.kernels.record import call, current, empty, empty_like

Array = np.ndarray


def is_new(out: Any, arguments: list) -> bool:
    """Whether a result has memory of its own: it is no view of an argument"""
    return not any(isinstance(a, Array) and np.may_share_memory(out, a) for a in arguments)


def recorded_whole(function: Callable, arguments: list) -> tuple[Array, Callable | None]:
    """(out, vjp) of an op whose work is not done by recorded calls: its body is replayed as it is,
    and leaves its newest vjp for the backward pass."""
    value, latest = function(*arguments)
    out = empty(np.shape(value), np.asarray(value).dtype)

    def forward(out: Array, *arguments: Any) -> None:
        nonlocal latest
        value, latest = function(*arguments)
        np.copyto(out, value)

    call(forward, out, *arguments)
    return out, None if latest is None else lambda g: latest(g)


class Adding:
    """A gradient that is computed into memory, and can be added to a gradient that is there.

    like    an array of the argument's shape and dtype
    write   write(out, add) sets `out` to the gradient, or adds it, by recorded calls
    """

    def __init__(self, like: Array, write: Callable[[Array, bool], object]):
        self.like, self.write = like, write

    def __call__(self) -> Array:
        out = empty_like(self.like)
        self.write(out, False)
        return out


def gradients_of(vjp: Callable, g: Array) -> list[Callable[[], Array] | None]:
    """vjp(g), each gradient as a function that computes it when it is wanted"""
    recording = current()
    calls = len(recording.calls) if recording else 0
    found = vjp(g)
    written = recording is not None and len(recording.calls) > calls
    return [
        dx
        if dx is None or isinstance(dx, Adding)
        else functools.partial(_gradient, vjp, g, position, dx, written)
        for position, dx in enumerate(found)
    ]


def _gradient(vjp: Callable, g: Array, position: int, dx: Any, written: bool) -> Array:
    """Gradient number `position` of vjp(g), of which `dx` is what vjp returned; in a recording, one
    that no recorded call has written is computed again in each replay, by the whole vjp."""
    recording = current()
    if callable(dx):
        calls = len(recording.calls) if recording else 0
        dx = dx()
        written = recording is not None and len(recording.calls) > calls
    if recording is None or written or not is_new(dx, [g]):
        return dx

    def backward(place: Array, g: Array) -> None:
        dx = vjp(g)[position]
        np.copyto(place, dx() if callable(dx) else dx)

    place = empty(np.shape(dx), dx.dtype)
    call(backward, place, g)
    return place


def sum_to_arguments(vjp: Callable, arrays: list) -> Callable:
    """Undo broadcasting: what was spread over an axis receives the sum over that axis."""
    shapes = [np.shape(a) for a in arrays]

    def summed(g: Array) -> list:
        return [
            None if dx is None else functools.partial(_unbroadcast_later, dx, shape)
            for dx, shape in zip(gradients_of(vjp, g), shapes, strict=False)
        ]

    return summed


def _unbroadcast_later(dx: Callable[[], Array], shape: tuple[int, ...]) -> Array:
    return unbroadcast(dx(), shape)


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """Sum `g` over the axes along which an array of `shape` was broadcast to `g.shape`."""
    if g.shape == shape:
        return g
    g = np.asarray(g)
    extra = g.ndim - len(shape)
    if extra < 0:  # the vjp of a constant may be smaller than its argument
        return np.broadcast_to(g, shape)
    axes = tuple(range(extra)) + tuple(
        extra + i for i, n in enumerate(shape) if n == 1 and g.shape[extra + i] != 1
    )
    if axes:
        out = empty(tuple(1 if i in axes else n for i, n in enumerate(g.shape)), g.dtype)
        call(np.add.reduce, g, axes, None, out, True)
        g = out
    g = g.reshape(g.shape[extra:])
    return g if g.shape == shape else np.broadcast_to(g, shape)

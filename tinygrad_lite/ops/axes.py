"""Axes as arguments: their name, `axis`, or `dim` for those who come from PyTorch; their place."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np


def takes_axis(function: Callable) -> Callable:
    """The function, which takes its argument `axis` under the name `dim` too"""

    @functools.wraps(function)
    def call(*args: Any, **settings: Any) -> Any:
        return function(*args, **axis_named(function.__name__, settings))

    return call


def axis_named(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with `axis` for `dim`; TypeError where there are both"""
    if "dim" not in settings:
        return settings
    if "axis" in settings:
        raise TypeError(
            f"{name}: axis and dim are two names of one argument.\n"
            f"  got {settings}\n  try axis alone"
        )
    return {("axis" if key == "dim" else key): value for key, value in settings.items()}


def place_of(axis: int, ndim: int) -> int:
    """An axis as a number from 0 up; numpy.exceptions.AxisError, which is an IndexError and a
    ValueError, for one that so many do not have"""
    return np.lib.array_utils.normalize_axis_index(axis, ndim, "axis")

"""The name of an axis argument: `axis`, and `dim` for those who come from PyTorch."""

import functools
from collections.abc import Callable
from typing import Any


def takes_axis(function: Callable) -> Callable:
    """The function, which takes its argument `axis` under the name `dim` too"""

    @functools.wraps(function)
    def call(*args: Any, **settings: Any) -> Any:
        if "dim" in settings:
            if "axis" in settings:
                raise TypeError(
                    f"{function.__name__}: axis and dim are two names of one argument.\n"
                    f"  got {settings}\n  try axis alone"
                )
            settings["axis"] = settings.pop("dim")
        return function(*args, **settings)

    return call

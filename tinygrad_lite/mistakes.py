"""`find_mistakes`: where the first number that is not finite comes from, and data that changes.

    with find_mistakes():
        loss = model.loss(tokens, targets)
        loss.backward()

Each op is looked at as it is run, and each gradient as it is computed: ArithmeticError names the
first op, and the line of the program that called it, whose result is not finite though its operands
are. Data that changes between the forward and the backward pass, in whatever way, raises
RuntimeError. It takes longer, and jitted functions are run as they are.
"""

import contextlib
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from tinygrad_lite.kernels.watch import Watcher, watched_by
from tinygrad_lite.tensor import Node

_HERE = str(Path(__file__).parent)


class _Finder(Watcher):
    def __init__(self) -> None:
        # For each op by the number of its node: the caller's line, and its operands with checksums
        self.known: dict[int, tuple[str, list[tuple[np.ndarray, int]]]] = {}

    def ran(self, op: str, operands: list, out: Any) -> None:
        where = _users_line()
        _refuse_infinite(f"{op} at {where}", operands, out)

    def noted(self, node: Node, operands: list) -> None:
        arrays = [x for x in operands if isinstance(x, np.ndarray)]
        node.line = _users_line()
        self.known[node.index] = node.line, [(x, _checksum(x)) for x in arrays]

    def differentiates(self, node: Node) -> None:
        where, operands = self.known.get(node.index, ("a line outside find_mistakes()", []))
        self.known[node.index] = where, []  # the operands are let go
        for array, before in operands:
            if _checksum(array) != before:
                raise RuntimeError(
                    "find_mistakes: data must not change between the forward and the backward"
                    f" pass.\n  got other data {array.shape} in an operand of {node.name} at"
                    f" {where}\n  try backward() first, or a copy"
                )

    def differentiated(self, node: Node, arrived: np.ndarray, gradient: np.ndarray) -> None:
        where, _ = self.known.get(node.index, ("a line outside find_mistakes()", []))
        _refuse_infinite(f"the gradient of {node.name} at {where}", [arrived], gradient)


def _refuse_infinite(what: str, before: list, out: Any) -> None:
    if not isinstance(out, np.ndarray | np.generic) or out.dtype.kind != "f":
        return
    if np.isfinite(out).all():
        return
    numbers = np.ndarray | np.generic | float | list | tuple
    given = [np.asarray(x) for x in before if isinstance(x, numbers)]
    if any(x.dtype.kind == "f" and not np.isfinite(x).all() for x in given):
        return  # it was there before: -inf of a mask, or what an op outside has made
    bad = np.asarray(out)[~np.isfinite(out)]
    raise ArithmeticError(
        "find_mistakes: what is computed of finite numbers is finite.\n"
        f"  got {bad[0]} ({bad.size} of {out.size}) from {what}\n"
        "  try a look at the operands there: a division by 0, a logarithm, a learning rate too high"
    )


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(array.tobytes())


def _users_line() -> str:
    """file:line of the nearest caller outside this package"""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "an unknown line"


@contextlib.contextmanager
def find_mistakes() -> Iterator[None]:
    """Within this context the first op whose result is not finite though its operands are raises
    ArithmeticError, and data that changes before its backward pass RuntimeError; see the module."""
    with watched_by(_Finder()), np.errstate(all="ignore"):
        yield

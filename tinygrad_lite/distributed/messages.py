"""What ranks tell each other beside gradients: numbers, words, arrays.

Each message begins with a sum of what it is about, so that ranks that do not ask for the same, or
not for the same shape, are noticed. Sums are in the order of ranks: the same bits on each, and in
each run of as many.
"""

import json
import zlib
from typing import Any

import numpy as np

from tinygrad_lite.distributed.ranks import _World, wait, world
from tinygrad_lite.kernels.arrays import contiguous
from tinygrad_lite.kernels.watch import launch
from tinygrad_lite.tensor import Tensor, as_tensor

LITTLE = 1 << 16  # bytes: up to here each rank sends all it has to each other


def all_reduce(x: Any) -> Tensor:
    """The sum of x over all ranks, on each of them: a new Tensor without history. x has the same
    shape and dtype everywhere, float or integer.

    >>> tg.distributed.all_reduce([1.0, 2.0]).tolist()
    [1.0, 2.0]
    """
    x = _without_history(x, "all_reduce")
    if x.dtype == bool:
        raise TypeError("all_reduce: numbers are summed.\n  got bool\n  try x.astype('int64')")
    out = np.empty(x.shape, x.dtype, like=x)
    launch(_sum_over_ranks, out, contiguous(x, x.dtype))
    return Tensor._wrap(out)


def broadcast(x: Any, root: int = 0) -> Tensor:
    """x as rank `root` has it, on each rank: a new Tensor without history. Shape and dtype are the
    same everywhere.

    >>> tg.distributed.broadcast([1.0, 2.0]).tolist()
    [1.0, 2.0]
    """
    x = _without_history(x, "broadcast")
    out = np.empty(x.shape, x.dtype, like=x)
    launch(_from_root, out, contiguous(x, x.dtype), root)
    return Tensor._wrap(out)


def _without_history(x: Any, name: str) -> Any:
    x = as_tensor(x)
    if x.requires_grad:
        raise RuntimeError(
            f"{name}: messages have no gradients.\n  got a tensor that requires them\n"
            "  try x.detach(); Shares exchanges gradients"
        )
    return x.data


def _sum_over_ranks(out: np.ndarray, x: np.ndarray) -> None:
    found = world()
    if found is None:
        np.copyto(out, x)
        return
    about = f"all_reduce {x.dtype} {x.shape}"
    if x.nbytes <= LITTLE:
        parts = _gathered(found, about, x.reshape(-1).view(np.uint8))
        _add_up(out.reshape(-1), [part.view(x.dtype) for part in parts])
        return
    _gathered(found, about, np.empty(0, np.uint8))
    # Each rank sums one part of what all have, then each gets all parts
    bounds = np.linspace(0, x.size, found.size + 1).astype(np.int64)
    counts = np.diff(bounds) * x.itemsize
    own = int(counts[found.rank]) // x.itemsize
    come = np.empty((found.size, own), x.dtype)
    here = np.full(found.size, own * x.itemsize)
    at = np.arange(found.size) * own * x.itemsize
    starts, byte = bounds[:-1] * x.itemsize, found.MPI.BYTE
    given = [x.reshape(-1).view(np.uint8), (counts, starts), byte]
    wait([found.comm.Ialltoallv(given, [come.view(np.uint8), (here, at), byte])])
    total = np.empty(own, x.dtype)
    _add_up(total, list(come))
    whole = [out.reshape(-1).view(np.uint8), (counts, starts), byte]
    wait([found.comm.Iallgatherv([total.view(np.uint8), byte], whole)])


def _add_up(out: np.ndarray, parts: list[np.ndarray]) -> None:
    np.copyto(out, parts[0])
    for part in parts[1:]:
        np.add(out, part, out=out)


def _from_root(out: np.ndarray, x: np.ndarray, root: int) -> None:
    found = world()
    if not 0 <= root < (1 if found is None else found.size):
        raise ValueError(
            f"broadcast: root is the number of a rank.\n  got {root}\n  try 0, the first"
        )
    np.copyto(out, x)
    if found is not None:
        _gathered(found, f"broadcast {x.dtype} {x.shape} of {root}", np.empty(0, np.uint8))
        wait([found.comm.Ibcast([out.reshape(-1).view(np.uint8), found.MPI.BYTE], root)])


def _gathered(found: _World, about: str, given: np.ndarray) -> np.ndarray:
    """The bytes that all ranks have given, (size, n); RuntimeError where others speak of others"""
    head = np.frombuffer(np.uint64(zlib.crc32(about.encode())).tobytes(), np.uint8)
    message = np.concatenate([head, given])
    come = np.empty((found.size, message.size), np.uint8)
    try:
        wait([found.comm.Iallgather(message, come)])
        others = [r for r in range(found.size) if not np.array_equal(come[r, :8], head)]
    except found.MPI.Exception:  # a longer message than this one's
        others = [r for r in range(found.size) if r != found.rank]
    if others:
        raise RuntimeError(
            "distributed: all ranks call the same functions in the same order, with the same"
            f" shapes.\n  got {about} on rank {found.rank}, and other things on rank {others[0]}\n"
            "  try the same model and batch on each, and no such call for some ranks alone"
        )
    return come[:, 8:]


def largest(x: float) -> float:
    """The largest of what the ranks give"""
    found = world()
    if found is None:
        return x
    return float(_numbers(found, "largest", x).max())


def _numbers(found: _World, about: str, x: float) -> np.ndarray:
    """What each rank gives"""
    parts = _gathered(found, about, np.array([x], np.float64).view(np.uint8))
    return parts.copy().view(np.float64).reshape(-1)


def from_first(x: Any) -> Any:
    """What the first rank gives, on each: what JSON can say, such as a number or a text. All give
    the same kind of thing."""
    found = world()
    if found is None:
        return x
    if isinstance(x, float | bool):  # integers may be too large for it
        return type(x)(_numbers(found, "from_first", float(x))[0])
    return json.loads(told(json.dumps(x) if found.rank == 0 else "")[0])


def told(text: str) -> list[str]:
    """What each rank says, in the order of ranks"""
    found = world()
    if found is None:
        return [text]
    own = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    lengths = _gathered(found, "told", np.array([own.size], np.int64).view(np.uint8))
    counts = lengths.copy().view(np.int64).reshape(-1)
    most = np.zeros(max(int(counts.max()), 1), np.uint8)
    most[: own.size] = own
    parts = _gathered(found, "the words", most)
    return [
        part[:count].tobytes().decode("utf-8", "surrogatepass")
        for part, count in zip(parts, counts, strict=True)
    ]

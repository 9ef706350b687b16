"""The norm of all gradients together, and the limit to it."""

import functools
import math
from collections.abc import Iterable

import numpy as np

from tinygrad_lite.distributed.messages import all_reduce
from tinygrad_lite.distributed.ranks import is_divided, size
from tinygrad_lite.kernels.compile import CHUNKS, kernel, part_of
from tinygrad_lite.kernels.rows import dot
from tinygrad_lite.kernels.tables import Table, array_at
from tinygrad_lite.kernels.watch import filled, launch
from tinygrad_lite.optim.optimizer import count_change, like
from tinygrad_lite.tensor import Tensor, gradients_of


@kernel
def square_sum_kernel(chunk, sums, table, like):
    """sums (CHUNKS,) float64 += sums of squares; rows of table: g"""
    for row in range(len(table)):
        g = array_at(table[row, 0], table[row, 1], like)[part_of(table[row, 1], chunk)]
        for start in range(0, g.size, 4096):  # float32 inside a block, float64 across blocks
            block = g[start : start + 4096]
            sums[chunk] += dot(block, block)


@kernel
def norm_kernel(task, result, sums, max_norm):
    """result (2, 1): the norm, and the factor that brings it down to max_norm; sums (CHUNKS,)"""
    norm = math.sqrt(sums.sum())
    result[0, 0] = norm
    result[1, 0] = max_norm / norm if norm > max_norm else 1.0


@kernel
def scale_kernel(chunk, table, like, factor):
    """g *= factor[0], unless that is 1; rows of table: g"""
    f = like.dtype.type(factor[0])
    for row in range(len(table) if factor[0] != 1 else 0):
        g = array_at(table[row, 0], table[row, 1], like)[part_of(table[row, 1], chunk)]
        for i in range(g.size):
            g[i] *= f


def _count_scaled(versions, factor):
    if factor[0] != 1:
        count_change(versions)


def grad_norm(params: Tensor | Iterable[Tensor], over_ranks: bool = False) -> Tensor:
    """The Euclidean norm of all gradients together, a Tensor of float64 without shape

    over_ranks   together with those of the parameters that other ranks give, see `distributed`
    """
    norm, _ = _norm_and_factor(_with_gradients(params), math.inf, over_ranks)
    return Tensor._wrap(norm.reshape(()))


def clip_factor(
    params: Tensor | Iterable[Tensor], max_norm: float, over_ranks: bool = False
) -> tuple[Tensor, Tensor]:
    """The norm of all gradients together, and the factor, at most 1, that brings it down to
    max_norm: `optimizer.step(grad_scale=factor)` clips on its way, without a pass of its own.

    over_ranks   together with those of the parameters that other ranks give, see `distributed`
    """
    norm, factor = _norm_and_factor(_with_gradients(params), max_norm, over_ranks)
    return Tensor._wrap(norm.reshape(())), Tensor._wrap(factor.reshape(()))


def clip_grad_norm(
    params: Tensor | Iterable[Tensor], max_norm: float, over_ranks: bool = False
) -> Tensor:
    """Scale all gradients so that their norm is at most max_norm; return the norm before.

    over_ranks   together with those of the parameters that other ranks give, see `distributed`
    """
    params = _with_gradients(params)
    norm, factor = _norm_and_factor(params, max_norm, over_ranks)
    for group in _by_dtype(params):
        scale_kernel(Table(gradients_of(group)), like(group), factor)
    changed = [p.grad._version for p in params if p.grad is not None and p.grad._node is not None]
    if changed:  # what was computed from such a gradient cannot go back any more
        launch(functools.partial(_count_scaled, changed), factor)
    return Tensor._wrap(norm.reshape(()))


def _norm_and_factor(
    params: list[Tensor], max_norm: float, over_ranks: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The norm (1,), and the factor (1,) that brings it down to max_norm; summed in float64"""
    if not max_norm >= 0:
        raise ValueError(f"clip: the largest norm is not negative.\n  got {max_norm}\n  try 1.0")
    if not over_ranks and any(map(is_divided, params)):
        raise ValueError(
            "clip: the norm is of all gradients, of which each rank has those of its own"
            " parameters.\n  got parameters of Shares without over_ranks\n"
            "  try over_ranks=True, on all ranks"
        )
    sums = filled(np.copyto, CHUNKS, np.float64, 0.0)
    result = np.empty((2, 1), np.float64, like=sums)
    for group in _by_dtype(params):
        square_sum_kernel(sums, Table(gradients_of(group)), like(group))
    if over_ranks and size() > 1:
        sums = all_reduce(Tensor._wrap(sums)).data
    norm_kernel.run(1, 1, result, sums, float(max_norm))
    return result[0], result[1]


def _with_gradients(params: Tensor | Iterable[Tensor]) -> list[Tensor]:
    params = [params] if isinstance(params, Tensor) else params  # not its rows
    return [p for p in params if p.grad is not None]


def _by_dtype(params: list[Tensor]) -> list[list[Tensor]]:
    return [[p for p in params if p.dtype == d] for d in dict.fromkeys(p.dtype for p in params)]

"""The layouts that kernels take: C-contiguous memory, rows, one dtype."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lite.kernels.watch import constant

Array = np.ndarray


def asking(function: Callable) -> Callable:
    """A function of arrays that asks what it is given, as NumPy's own do (NEP 18): a Tensor answers
    with the op that computes the same, so that what is built from such functions can be
    differentiated. See protocols.py."""

    @functools.wraps(function)
    def call(*args: Any, **settings: Any) -> Any:
        for x in args[:2]:
            answer = getattr(x, "answer", None)
            if answer is not None:
                return answer(function.__name__, args, settings)
        return function(*args, **settings)

    return call


def as_array(x: Any) -> Any:
    """An array as it is; a number, or a list of them, as one"""
    return constant(np.asarray(x)) if isinstance(x, list | tuple | int) else x


@asking
def contiguous(x: Any, dtype: Any = None) -> Any:
    """The array if it is C-contiguous and of that dtype, else a copy that is"""
    if x.flags.c_contiguous and (dtype is None or x.dtype == dtype):
        return x
    return x.astype(x.dtype if dtype is None else dtype, order="C")


@asking
def as_rows(x: Any, dtype: Any = None) -> Any:
    """x (..., C) as a C-contiguous matrix (N, C)"""
    return contiguous(x, dtype).reshape(math.prod(x.shape[:-1]), x.shape[-1])


def float_dtype(*operands: Any) -> Any:
    """The dtype in which a kernel computes with these arrays: float64 if one of them is, else
    float32, also for integers and booleans. TypeError for float16 and what is no number."""
    kinds = [x.dtype for x in operands if x is not None]
    dtype = np.result_type(np.float32, *(k for k in kinds if k.kind == "f"))
    wrong = [k for k in kinds if k.kind not in "fiub" or k == np.float16]
    if wrong or dtype not in (np.float32, np.float64):
        raise TypeError(
            "kernels compute with float32 and float64 numbers.\n"
            f"  got {', '.join(map(str, kinds))}\n  try x.astype('float32')"
        )
    return dtype

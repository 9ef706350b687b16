"""Lists of arrays for a kernel: one call for all parameters of a model, however many there are.

A table (arrays, n + 1) holds the addresses of n arrays of equal size, and that size, in each row.
"""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from tinygrad_lite.kernels.record import current


def table_of(*groups: Sequence[np.ndarray]) -> np.ndarray:
    """Rows (address of groups[0][i], address of groups[1][i], ..., size); C-contiguous arrays."""
    recording = current()
    if recording is not None:
        recording.keep(array for arrays in groups for array in arrays)
    return np.array(
        [
            [a.__array_interface__["data"][0] for a in arrays] + [arrays[0].size]
            for arrays in zip(*groups, strict=True)
        ],
        np.int64,
    )


def _array_in_python(address, size, like):
    """The array (size,) at an address, of the dtype of `like`"""
    kind = np.ctypeslib.as_ctypes_type(like.dtype) * int(size)
    return np.ctypeslib.as_array(kind.from_address(int(address)))


@intrinsic
def _pointer_to(typing, address, like):
    """An address as a pointer to numbers of the dtype of `like`"""

    def generate(context, builder, sig, args):
        return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

    return types.CPointer(like.dtype)(types.int64, like), generate


@numba.njit
def _array_in_llvm(address, size, like):
    return numba.carray(_pointer_to(address, like), size)


array_at: Any = _array_in_python if numba.config.DISABLE_JIT else _array_in_llvm

"""Lists of arrays for a kernel: one call for all parameters of a model, however many there are.

A kernel gets a table (arrays, n + 1): in each row the addresses of n arrays of equal size, and
that size. `Table` is such an argument before its launch, when the arrays are still known.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic


class Table:
    """Groups of arrays: Table(w, g) has the rows (w[0], g[0]), (w[1], g[1]), ...

    All arrays are C-contiguous and of one dtype, those of a row have one shape: a kernel that finds
    them by their addresses relies on it. ValueError otherwise.
    """

    def __init__(self, *groups: Sequence[Any]):
        self.rows = list(zip(*groups, strict=True))
        self.size = sum(row[0].size for row in self.rows)  # numbers in one array of each row
        for first, *others in self.rows:
            for array in (first, *others):
                if (
                    array.shape != first.shape
                    or array.dtype != self.rows[0][0].dtype
                    or not (array.flags.c_contiguous and array.flags.writeable)
                ):
                    raise ValueError(
                        "optimizer: a parameter, its gradient and its state have one shape and one"
                        " dtype, and all parameters of a call one dtype, in memory that is"
                        " contiguous and may be written to.\n"
                        f"  got {array.dtype} {array.shape} beside {first.dtype} {first.shape}\n"
                        "  try the gradient and the state that belong to this parameter"
                    )

    def addresses(self, array_of: Callable[[Any], np.ndarray] = lambda x: x) -> np.ndarray:
        """The table (arrays, n + 1) of the arrays array_of(x)"""
        return np.array(
            [
                [array_of(x).__array_interface__["data"][0] for x in row] + [row[0].size]
                for row in self.rows
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

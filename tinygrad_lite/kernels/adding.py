"""a + b of whole arrays: the sums that a model makes most, of residuals and of gradients that meet.

NumPy adds on one thread, and in a recording it is a call of Python's between compiled ones.
"""

from typing import Any

import numpy as np

from tinygrad_lite.kernels.compile import SERIAL_SIZE, kernel, part_of
from tinygrad_lite.kernels.watch import current

FLOATS = (np.float32, np.float64)


@kernel
def add_kernel(chunk, out, a, b):
    part = part_of(a.size, chunk)
    out, a, b = out[part], a[part], b[part]
    for i in range(a.size):
        out[i] = a[i] + b[i]


def added(a: Any, b: Any, out: Any = None) -> Any:
    """a + b, or where `out` is given, that, filled: what NumPy gives, bit for bit"""
    if not _fit(a, b) or (out is not None and not _takes(out, b)):
        return np.add(a, b) if out is None else np.add(a, b, out=out)
    if out is None:
        out = np.empty(a.shape, a.dtype, like=a)
    add_kernel(out.reshape(-1), a.reshape(-1), b.reshape(-1))
    return out


def _takes(out: Any, b: Any) -> bool:
    """Whether a kernel may write to `out`, which is a, or new, while it reads b"""
    return out.flags.writeable and out.flags.aligned and not np.may_share_memory(out, b)


def _fit(a: Any, b: Any) -> bool:
    """Whether both are arrays of floats of one kind, shape and layout, large or looked at"""
    if current.watcher is None and (type(a) is not np.ndarray or a.size < SERIAL_SIZE):
        return False
    return (
        type(a) is type(b)
        and hasattr(a, "flags")  # no Tensors, whose sums have derivatives
        and a.ndim > 0
        and a.size > 0
        and a.shape == b.shape
        and a.dtype == b.dtype
        and a.dtype in FLOATS
        and a.flags.c_contiguous
        and b.flags.c_contiguous
        and a.flags.aligned
        and b.flags.aligned
    )

"""Where arrays lie, and that freed memory stays with the process.

What kernels work on begins with a cache line where it can: NumPy's own arrays begin anywhere, and
vectors, and rows of a tile of AMX, that lie across two lines take longer to load.

A training step frees and allocates the same megabytes again and again. By default glibc gives
them back to the system each time, and the first touch of each new page then costs more than the
arithmetic on it: a GELU of 1.5 MB takes three times as long. Other C libraries keep their way.
"""

import ctypes
import math
import platform
from typing import Any

import numpy as np

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # the names and numbers of malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20  # glibc takes no more; larger arrays come from the system
_KEPT = 1 << 30  # bytes of free memory at the top of the heap before any is given back
LINE = 64  # bytes of a cache line, and of the largest vector


def keep_freed_memory() -> None:
    """Tell glibc's malloc to reuse what was freed; elsewhere do nothing."""
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


def empty_aligned(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """np.empty, of memory that begins with a cache line"""
    dtype = np.dtype(dtype)
    size = math.prod(shape if isinstance(shape, tuple) else (shape,)) * dtype.itemsize
    memory = np.empty(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size].view(dtype).reshape(shape)

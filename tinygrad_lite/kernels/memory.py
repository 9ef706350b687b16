"""Freed memory stays with the process, so that the next step does not ask for it page by page.

A training step frees and allocates the same megabytes again and again. By default glibc gives
them back to the system each time, and the first touch of each new page then costs more than the
arithmetic on it: a GELU of 1.5 MB takes three times as long. Other C libraries keep their way.
"""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # the names and numbers of malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20  # glibc takes no more; larger arrays come from the system
_KEPT = 1 << 30  # bytes of free memory at the top of the heap before any is given back


def keep_freed_memory() -> None:
    """Tell glibc's malloc to reuse what was freed; elsewhere do nothing."""
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)

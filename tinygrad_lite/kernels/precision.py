"""In what float32 matrices are multiplied."""

import contextlib
import threading
from collections.abc import Iterator

from tinygrad_lite.kernels.cpu import prefers_bfloat16

PRECISIONS = ("float32", "bfloat16", "auto")


class _Precision(threading.local):
    name = "float32"


_precision = _Precision()


def get_precision() -> str:
    """In what float32 matrices are multiplied in this Python thread: "float32" or "bfloat16" """
    return _precision.name


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Within this context float32 matrices are multiplied in "float32", or in "bfloat16": operands
    are rounded to 8 bits of mantissa, sums are float32, and so is everything else. "auto" is
    bfloat16 on CPUs that are faster in it (AMD's with AVX512-BF16, Intel's with AMX)."""
    if name not in PRECISIONS:
        raise ValueError(
            f"precision: there are {', '.join(PRECISIONS)}.\n  got {name!r}\n  try 'auto'"
        )
    before = _precision.name
    _precision.name = ("bfloat16" if prefers_bfloat16() else "float32") if name == "auto" else name
    try:
        yield
    finally:
        _precision.name = before

"""What this machine can do at most: products of matrices, and bytes to and from memory.

Both with the engine's own threads, the fastest of some tries: what speeds are fractions of.
"""

import time
from collections.abc import Callable

import numpy as np

from tinygrad_lite.kernels.compile import CHUNKS, kernel, part_of
from tinygrad_lite.kernels.cpu import COLUMNS_FLOAT32, ROWS
from tinygrad_lite.kernels.rows import total
from tinygrad_lite.kernels.team import get_num_threads
from tinygrad_lite.kernels.tile import tile_rows

DEPTH, REPEATS = 256, 2000
COPIED = 64 << 20  # bytes: more than any cache


@kernel
def tiles_kernel(t, c, a, b, repeats):
    """Thread t multiplies the same strips, which stay in its L1 cache, again and again."""
    row = c[t]
    for _ in range(repeats):
        tile_rows(row, 0, COLUMNS_FLOAT32, a, 0, 1, ROWS, b, 0, DEPTH, False)


@kernel
def copy_kernel(chunk, y, x):
    part = part_of(x.size, chunk)
    y, x = y[part], x[part]
    for i in range(x.size):
        y[i] = x[i]


@kernel
def read_kernel(chunk, sums, x):
    part = part_of(x.size, chunk)
    sums[chunk] = total(x[part])


def _shortest(call: Callable[[], object], tries: int = 12) -> float:
    call()
    seconds = []
    for _ in range(tries):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def peak_gflops() -> float:
    """10^9 float32 multiplications and additions a second, of tiles in the L1 cache"""
    threads = get_num_threads()
    c = np.zeros((threads, ROWS * COLUMNS_FLOAT32), np.float32)
    a, b = (np.ones(DEPTH * n, np.float32) for n in (ROWS, COLUMNS_FLOAT32))
    seconds = _shortest(lambda: tiles_kernel.run(threads, threads, c, a, b, REPEATS))
    return 2 * threads * REPEATS * DEPTH * ROWS * COLUMNS_FLOAT32 / seconds / 1e9


def bandwidth_gb_s() -> float:
    """10^9 bytes read or written a second while copying an array"""
    x = np.ones(COPIED // 4, np.float32)
    y = np.empty_like(x)
    return 2 * COPIED / _shortest(lambda: copy_kernel(y, x)) / 1e9


def reading_gb_s() -> float:
    """10^9 bytes read a second while adding up an array"""
    x, sums = np.ones(COPIED // 2, np.float32), np.empty(CHUNKS, np.float32)
    return x.nbytes / _shortest(lambda: read_kernel(sums, x)) / 1e9

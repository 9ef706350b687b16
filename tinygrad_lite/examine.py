"""Is this machine, and what is installed on it, as the engine needs it? `for finding in examine()`

Each finding is good, or says what to do.
"""

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np

from tinygrad_lite.functional.losses import cross_entropy
from tinygrad_lite.fused.activations import gelu
from tinygrad_lite.fused.attention import scaled_dot_product_attention
from tinygrad_lite.fused.layernorm import layernorm
from tinygrad_lite.fused.rmsnorm import rmsnorm
from tinygrad_lite.fused.softmax import softmax
from tinygrad_lite.gradcheck import check_gradients
from tinygrad_lite.kernels import cpu
from tinygrad_lite.kernels.peak import peak_gflops
from tinygrad_lite.kernels.team import get_num_threads
from tinygrad_lite.ops.matmul import matmul
from tinygrad_lite.tensor import Tensor

SIDE = 768  # of the matrices whose product is timed
SLOW = 0.5  # share of the peak below which a product is slow
PATIENCE = 2.0  # seconds for which a fast one is waited for


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is good, what was found, and what to do where it is not"""

    name: str
    good: bool
    found: str
    hint: str = ""


def examine(seconds: float = 10.0) -> Iterator[Finding]:
    """Versions, threads, the CPU, the kernels on disk, gradients (for so many seconds at most), and
    the speed of products."""
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    jit = not numba.config.DISABLE_JIT
    yield Finding(
        "versions", jit, f"{versions}, Numba {numba.__version__}" + ("" if jit else ", disabled"),
        "unset NUMBA_DISABLE_JIT: kernels run in plain Python, a thousand times slower",
    )  # fmt: skip
    yield _threads()
    width = {64: "AVX-512", 32: "AVX2", 16: "SSE or NEON"}[cpu.VECTOR_BYTES]
    half = "bfloat16 products" if cpu.has_bfloat16() else "no bfloat16 products"
    half += " by AMX" if cpu.has_amx() else ""
    yield Finding(
        "processor", cpu.VECTOR_BYTES > 16 or cpu.IS_ARM,
        f"{platform.machine()}, {width}, {half}; tiles of {cpu.ROWS} x {cpu.COLUMNS_FLOAT32}",
        "a machine with AVX2: on this one products are slow",
    )  # fmt: skip
    yield _kernels_on_disk()
    yield _gradients(seconds)
    if jit:
        yield _products()


def _threads() -> Finding:
    count, cores = get_num_threads(), os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not everywhere
        cores = len(os.sched_getaffinity(0))
    return Finding(
        "threads", count <= cores, f"{count} of {cores} cores",
        "OMP_NUM_THREADS no larger than the cores",
    )  # fmt: skip


def _kernels_on_disk() -> Finding:
    """Where Numba keeps what it compiles of this package, and whether it can"""
    given, package = os.environ.get("NUMBA_CACHE_DIR"), Path(__file__).parent
    home = Path(given) if given else package
    folder = home if given else package / "kernels" / "__pycache__"
    files = sum(1 for _ in home.rglob("*.sealed*.nbc"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            writable = True
    except OSError:
        writable = False
    return Finding(
        "kernels", writable, f"{files} kept in {home}"
        + ("" if writable else ", where nothing can be written"),
        "NUMBA_CACHE_DIR=FOLDER that can be written, or they are compiled in each process",
    )  # fmt: skip


def _gradients(seconds: float) -> Finding:
    """Compare the derivatives that a GPT needs with finite differences."""
    rng, start, checked, worst = np.random.default_rng(0), time.monotonic(), 0, 0.0
    targets = np.array([3, 0, 7, 1])

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return scaled_dot_product_attention(q, k, v, is_causal=True)

    rounds: list[tuple[Callable[..., Tensor], list[tuple[int, ...]]]] = [
        (matmul, [(5, 7), (7, 3)]),
        (softmax, [(4, 9)]),
        (gelu, [(3, 20)]),
        (layernorm, [(4, 8), (8,), (8,)]),
        (rmsnorm, [(4, 8)]),
        (attend, [(1, 2, 6, 4)] * 3),
        (lambda logits: cross_entropy(logits, targets), [(4, 8)]),
    ]
    for function, shapes in rounds * 20:
        if checked >= len(rounds) and time.monotonic() - start > seconds:
            break
        try:
            arrays = [rng.standard_normal(shape) for shape in shapes]
            worst = max(worst, check_gradients(function, *arrays, seed=checked))
        except AssertionError as error:
            told = str(error).splitlines()[1].strip()
            return Finding("gradients", False, told, "another version of Numba, and tell us")
        checked += 1
    told = f"{checked} agree with finite differences, to {worst:.0e}"
    return Finding("gradients", True, told)


def _products() -> Finding:
    a, b = (np.ones((SIDE, SIDE), np.float32) for _ in range(2))
    peak, speed, turns, first = peak_gflops(), 0.0, 0, time.perf_counter()
    # Other programs may have had a core for the first of them
    while turns < 12 or (speed <= SLOW * peak and time.perf_counter() - first < PATIENCE):
        start = time.perf_counter()
        try:
            matmul(Tensor(a), Tensor(b))
        except MemoryError:
            return Finding("products", False, f"no room for {SIDE} x {SIDE}", "freeing memory")
        speed = max(speed, 2 * SIDE**3 / (time.perf_counter() - start) / 1e9)
        turns += 1
    return Finding(
        "products", speed > SLOW * peak,
        f"{speed:,.0f} GFLOP/s, {speed / peak:.0%} of {peak:,.0f} in the innermost loop",
        "closing other programs: something else computes on this machine",
    )  # fmt: skip

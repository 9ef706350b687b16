"""From the start of the process to the end of the first training step."""

import os
import subprocess
import sys
import tempfile
import time

from benchmarks.timing import Row

CONFIGS = ["baby cold", "baby warm"]
RUNS = {"baby cold": 2, "baby warm": 5}

OURS = """
import tinygrad_lite as tg
from benchmarks.step import ours
tg.compile_ahead(lambda: ours("baby")[0]())
ours("baby")[0]()
"""
TORCH = 'from benchmarks.step import of_torch; of_torch("baby", {threads}, {kind!r})[0]()'
JAX = 'from benchmarks.step import of_jax; of_jax("baby", "float32")[0]()'
PEAK = "\nfrom gpt.training.measure import peak_memory_mb; print(peak_memory_mb())"


def run(config: str, peers: list[str]) -> list[Row]:
    from tinygrad_lite import get_num_threads

    threads = get_num_threads()
    programs = {"ours float32": OURS}
    if "torch" in peers:
        programs["torch float32"] = TORCH.format(threads=threads, kind="eager")
        programs["torch compile"] = TORCH.format(threads=threads, kind="compile")
    if "jax" in peers:
        programs["jax float32"] = JAX
    with tempfile.TemporaryDirectory() as folder:
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        peaks = dict.fromkeys(programs, 0.0)
        for turn in range(RUNS[config]):
            for name, program in programs.items():
                # Where each library keeps what it has compiled: empty, or left from the last turn
                kept = f"{folder}/{turn if config == 'baby cold' else 0}"
                environment = {"NUMBA_CACHE_DIR": kept, "TORCHINDUCTOR_CACHE_DIR": f"{kept}/torch"}
                if config == "baby warm" and turn == 0:
                    in_process(program, environment)
                took, peaks[name] = in_process(program, environment)
                seconds[name].append(took)
    return [
        Row("start", config, name, 1000 * sorted(times)[len(times) // 2], 1000 * min(times),
            min(times), peaks[name])
        for name, times in seconds.items()
    ]  # fmt: skip


def in_process(program: str, environment: dict[str, str]) -> tuple[float, float]:
    """How long a Python process takes for the program, and its peak memory in MB"""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program + PEAK], env={**os.environ, **environment},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return time.perf_counter() - start, float(done.stdout.split()[-1])

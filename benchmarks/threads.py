"""One thread beside all of them: the speed-up, and that the bits are the same."""

from collections.abc import Callable

import numpy as np

from benchmarks import step
from benchmarks.timing import Factory, Row, race
from tinygrad_lite import get_num_threads, set_num_threads

CONFIGS = ["baby", "shake"]


def run(config: str, peers: list[str]) -> list[Row]:
    most = get_num_threads()
    contenders: dict[str, tuple[Factory, tuple]] = {
        f"ours {n} thread{'s' * (n > 1)}": (with_threads, (config, n)) for n in (most, 1)
    }
    return race("threads", config, contenders, step.CONFIGS[config][2], tolerance=0)


def with_threads(config: str, n: int) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    set_num_threads(n)
    return step.ours(config, "float32")

"""How much memory there is, before it is needed."""

import resource
from pathlib import Path

import psutil

from gpt.errors import require

GROUP = Path("/sys/fs/cgroup")  # limits of a container


def available_mb() -> float:
    """Megabytes (10^6 bytes) that this process can still get: what is free, within the limits of
    its container and its own"""
    process = psutil.Process()
    room = [float(psutil.virtual_memory().available)]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        room.append(limit - process.memory_info().vms)
    for most, used in (("memory.max", "memory.current"),
                       ("memory/memory.limit_in_bytes",
                        "memory/memory.usage_in_bytes")):  # fmt: skip
        try:
            room.append(int((GROUP / most).read_text()) - int((GROUP / used).read_text()))
        except (OSError, ValueError):  # no such limit
            continue
    return max(min(room), 0.0) / 1e6


def check_room(
    needed_mb: float, what: str, hint: str = "a smaller one, or a larger machine"
) -> None:
    """ValueError where something needs more memory than there is"""
    there = available_mb() if needed_mb > 100 else needed_mb
    require(
        needed_mb <= there,
        "memory: what is asked for must fit.",
        f"{what}, which needs about {_size(needed_mb)}, where {_size(there)} are free",
        hint,
    )


def _size(megabytes: float) -> str:
    if megabytes < 1e4:
        return f"{megabytes:,.0f} MB"
    return f"{megabytes / 1000:,.0f} GB" if megabytes < 1e9 else f"{megabytes / 1000:.1e} GB"

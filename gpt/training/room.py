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
    for most, used, stat in (("memory.max", "memory.current", "memory.stat"),
                             ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes",
                              "memory/memory.stat")):  # fmt: skip
        try:
            taken = int((GROUP / used).read_text()) - _given_back(GROUP / stat)
            room.append(int((GROUP / most).read_text()) - taken)
        except (OSError, ValueError):  # no such limit
            continue
    return max(min(room), 0.0) / 1e6


def _given_back(stat: Path) -> int:
    """Bytes of a container that hold parts of files, and are free as soon as they are needed"""
    try:
        said = dict(line.split() for line in stat.read_text().splitlines())
        return int(said.get("total_inactive_file", said.get("inactive_file", "0")))
    except (OSError, ValueError):
        return 0


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

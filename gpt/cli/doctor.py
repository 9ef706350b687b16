"""gpt doctor"""

import dataclasses
import shutil
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gpt.cli import console
from gpt.cli.common import announce_compilation
from gpt.cli.console import say
from gpt.config import GPTConfig, TrainConfig
from gpt.presets import DEFAULT_PRESET, PRESETS
from gpt.text.named import cache_folder
from gpt.training.measure import missing_kernels
from gpt.training.room import available_mb
from tinygrad_lite import Finding, examine

ROOM_MB = 500.0  # of disk and memory, below which even small runs may end early


def doctor_command(args: Namespace) -> None:
    announce_compilation()
    found = []
    for finding in _all(args.seconds):
        found.append(finding)
        if not args.json:
            sign = "good" if finding.good else "BAD "
            say(f"{sign}  {finding.name:<10}  {finding.found}", None if finding.good else "bold")
            if not finding.good:
                say(f"      try {finding.hint}", "bold")
    bad = sum(not finding.good for finding in found)
    if args.json:
        console.show_json([dataclasses.asdict(finding) for finding in found])
    elif bad:
        say(f"{console.many(bad, 'thing')} to mend")
    else:
        say("all is well: gpt train")
    if bad:
        raise SystemExit(1)


def _all(seconds: float) -> Iterator[Finding]:
    yield from examine(seconds)
    yield _preset()
    yield _memory()
    yield from _disk()


def _preset() -> Finding:
    """Which kernels `gpt train` would compile first"""
    chosen = PRESETS[DEFAULT_PRESET]
    missing, count = missing_kernels(
        GPTConfig(vocab_size=65, **chosen.model), TrainConfig(**chosen.train), np.zeros(1000, int)
    )
    told = f"{count - missing} of the {count} that gpt train needs are compiled"
    return Finding("ready", True, told + ("" if not missing else "; the others will be"))


def _memory() -> Finding:
    free = available_mb()
    return Finding("memory", free > ROOM_MB, f"{free:,.0f} MB are free", "closing other programs")


def _disk() -> Iterator[Finding]:
    cache = cache_folder()
    size = sum(p.stat().st_size for p in cache.rglob("*") if p.is_file()) if cache.exists() else 0
    there = next(p for p in (cache, *cache.parents) if p.exists())
    for name, folder, more in (
        ("cache", there, f"; {size / 1e6:,.0f} MB in {cache}"),
        ("disk", Path.cwd(), " in the current folder"),
    ):
        free = shutil.disk_usage(folder).free / 1e6
        yield Finding(name, free > ROOM_MB, f"{free:,.0f} MB are free{more}", "to make room")

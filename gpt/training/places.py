"""Where runs are: the folder of a new one, those that are there, the latest."""

import contextlib
from pathlib import Path

from gpt.errors import require
from gpt.text.finding import base_name
from gpt.training.setup import is_setup


def default_folder(name: str) -> Path:
    """The folder of the run called `name`: runs/NAME"""
    require(
        name not in ("", ".", "..") and "/" not in name and "\0" not in name,
        "run: the name of a run must be the name of a folder in runs/.",
        f"{name!r}",
        f"--name {base_name(name)}, or --out for a folder elsewhere",
    )
    return Path("runs") / name


def runs_near(folder: Path) -> str:
    """The runs in a folder that is not one itself, or beside it, to choose from"""
    for home in (folder, folder.parent, Path("runs")):
        if found := [str(p) for p in runs_in(home)]:
            return found[0] if len(found) == 1 else f"one of {', '.join(found)}"
    return ""


def runs_in(home: Path) -> list[Path]:
    """The folders of runs in a folder"""
    with contextlib.suppress(OSError):
        return sorted(p.parent for p in home.glob("*/config.json") if is_setup(p))
    return []


def latest_run(home: Path = Path("runs")) -> Path:
    """The folder of the run that was saved last"""
    found = [(p / "last" / "checkpoint.safetensors", p) for p in runs_in(home)]
    times = {p: checkpoint.stat().st_mtime for checkpoint, p in found if checkpoint.is_file()}
    require(
        bool(times),
        "run: there must be a run to go on with.",
        f"{home} without any",
        "gpt train --resume RUN, or gpt train",
    )
    return max(times, key=times.__getitem__)

"""What is a run's in its folder, and what is somebody else's; and who may write there."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".training.lock"
FILES = (
    *("tokenizer.json", "model.safetensors", "log.jsonl", "probes.jsonl", "samples.txt"),
    *("loss.png", "ablation.png", "report.html"),
    *("last", "last/checkpoint.safetensors", "config.json", LOCK),
)
_UNFINISHED = re.compile(r"(^|/)\.(.+)\.[a-z0-9_]{8}$")  # as tempfile names what is being written


def _entries(folder: Path) -> Iterator[tuple[str, Path]]:
    """What is in a folder, and in a real folder last/ in it, by names as in FILES; what is left of
    a file that was being written has the name of the file."""
    last = folder / "last"
    inner = last.iterdir() if last.is_dir() and not last.is_symlink() else ()
    for path in sorted((*folder.iterdir(), *inner)):
        yield _UNFINISHED.sub(r"\1\2", path.relative_to(folder).as_posix()), path


def foreign(folder: Path) -> list[str]:
    """The names of what is in the folder of a run, and was not written by one"""
    return [
        path.relative_to(folder).as_posix()
        for name, path in _entries(folder)
        if name not in FILES or path.is_symlink() or path.is_dir() != (name == "last")
    ]


def leftovers(folder: Path) -> list[Path]:
    """Files that were being written when a command was killed, and the lock"""
    return [
        path
        for name, path in _entries(folder)
        if name in FILES
        and path.is_file()
        and not path.is_symlink()
        and (path.name == LOCK or path.relative_to(folder).as_posix() != name)
    ]


def remove(folder: Path) -> None:
    """Remove the files of a run; config.json, by which it is known, at the end"""
    for name, path in sorted(_entries(folder), key=lambda entry: FILES.index(entry[0])):
        if not path.is_dir() and name != LOCK:
            path.unlink()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within this context no other process trains in the folder. The system frees the lock of a
    process that has ended, however it did."""
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ValueError(
            "run: one training at a time writes into a folder.\n"
            f"  got {folder}, where another is at work\n  try another --out, or wait for it"
        ) from error
    try:
        yield
    finally:
        lock.release()


def is_free(folder: Path) -> bool:
    """Whether nothing but leftovers of a killed command is in a folder that exists"""
    rest = set(os.listdir(folder)) - {p.relative_to(folder).parts[0] for p in leftovers(folder)}
    return not rest

"""What is a run's in its folder, and what is somebody else's; and who may write there."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".training.lock"  # the first file of a run, and empty
MAKING = ".being-made"  # is there until a run is whole for the first time
FILES = (
    *("tokenizer.json", "model.safetensors", "log.jsonl", "probes.jsonl", "samples.txt"),
    *("corpus.txt", "loss.png", "ablation.png", "report.html"),
    *("last/checkpoint.safetensors", "last", "config.json", MAKING, LOCK),
)
OLDER = re.compile(r"last/step-(\d+)\.safetensors")  # states that are kept beside the last one
_UNFINISHED = re.compile(r"(^|/)\.(.+)\.[0-9a-f]{8}\.unfinished$")  # as write_atomically names them


def _entries(folder: Path) -> Iterator[tuple[str, Path]]:
    """What is in a folder, and in a real folder last/ in it, by names as in FILES; what is left of
    a file that was being written has the name of the file."""
    last = folder / "last"
    inner = last.iterdir() if last.is_dir() and not last.is_symlink() else ()
    for path in sorted((*folder.iterdir(), *inner)):
        yield _UNFINISHED.sub(r"\1\2", path.relative_to(folder).as_posix()), path


def _is_ours(name: str, path: Path) -> bool:
    known = name in FILES or OLDER.fullmatch(name)
    return bool(known) and not path.is_symlink() and path.is_dir() == (name == "last")


def foreign(folder: Path) -> list[str]:
    """The names of what is in a folder, and was not written by a run"""
    entries = _entries(folder) if folder.is_dir() else ()
    return [p.relative_to(folder).as_posix() for name, p in entries if not _is_ours(name, p)]


def sweep(folder: Path) -> None:
    """Remove what a killed process has left of files that it was writing."""
    for name, path in list(_entries(folder)):
        if _is_ours(name, path) and path.relative_to(folder).as_posix() != name:
            path.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Remove the files of a run but its marks; config.json, by which it is known, at the end"""
    ours = [(name, path) for name, path in _entries(folder) if _is_ours(name, path)]
    for name, path in sorted(ours, key=lambda e: FILES.index(e[0]) if e[0] in FILES else 0):
        if path.is_dir():
            with contextlib.suppress(OSError):  # not empty: somebody else's is in it
                path.rmdir()
        elif name not in (LOCK, MAKING):
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

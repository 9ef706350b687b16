"""Files that grow by a line for each record: log.jsonl and probes.jsonl."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from tinygrad_lite import write_atomically


def read_records(log: Path) -> list[dict[str, Any]]:
    """The objects of a file that holds one in each line; lines that are damaged, or that a crash
    has cut off, are left out."""
    found = []
    for line in log.read_bytes().splitlines() if log.is_file() else []:
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(line)
            if isinstance(record, dict) and type(record.get("step", 0)) is int:
                found.append(record)
    return found


def append_record(log: Path, data: dict[str, Any]) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(data) + "\n")


def rewind(log: Path, step: int) -> None:
    """Keep the records that speak of no step, or of one up to `step`, each once."""
    kept = [json.dumps(r) + "\n" for r in read_records(log) if r.get("step", 0) <= step]
    text = "".join(dict.fromkeys(kept))
    if log.read_bytes() != text.encode():
        write_atomically(log, lambda path: path.write_text(text, "utf-8"))


def sync(log: Path) -> None:
    """Have the system write what was appended to a file, if it is there"""
    with contextlib.suppress(FileNotFoundError):
        file = os.open(log, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)

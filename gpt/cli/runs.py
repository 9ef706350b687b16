"""gpt runs"""

import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from gpt.cli import console
from gpt.cli.console import duration, number, say
from gpt.errors import require
from gpt.inside.history import read_history
from gpt.size import describe
from gpt.training.places import runs_in
from gpt.training.run import Run


def runs_command(args: Namespace) -> None:
    home = Path(args.folder)
    require(home.is_dir(), "runs: FOLDER must be a folder.", f"{home}", "gpt train first")
    rows = [_told(folder) for folder in runs_in(home)]
    rows.sort(key=lambda row: row["saved"] or 0.0, reverse=True)
    if args.json:
        console.show_json(rows)
        return
    if not rows:
        say(f"no run is in {home}")
        return
    titles = ("run", "corpus", "steps", "training", "best loss", "saved", "MB")
    console.table(titles, [_row(row) for row in rows])


def _told(folder: Path) -> dict[str, Any]:
    """What a run's files say, or what is wrong with them"""
    run = Run(folder)
    files = [p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()]
    kept = [p for p in (run.checkpoint, run.weights) if p.is_file()]
    row: dict[str, Any] = {
        "run": str(folder),
        "mb": sum(p.stat().st_size for p in files) / 1e6,
        "saved": max((p.stat().st_mtime for p in kept), default=None),
    }
    try:
        setup = run.read_setup()
        row |= {
            "corpus": setup.corpus,
            "parameters": describe(setup.model, 1)["parameters"],
            "wanted_steps": setup.train.steps,
            **run.told(),
        }
    except ValueError as error:
        return row | {"damaged": str(error).splitlines()[1].strip()}
    try:
        row["seconds"] = float(read_history(run.log).seconds[-1])
    except ValueError:
        row["seconds"] = None
    return row


def _row(row: dict[str, Any]) -> list[str]:
    saved = "" if row["saved"] is None else time.strftime("%m-%d %H:%M", _local(row["saved"]))
    if "damaged" in row:
        return [row["run"], "damaged", "", "", "", saved, f"{row['mb']:.1f}"]
    corpus = ", ".join(Path(name).name for name in row["corpus"])
    return [
        row["run"],
        corpus if len(corpus) <= 16 else f"{corpus[:15]}…",
        f"{number(row['steps'])}/{number(row['wanted_steps'])}",
        "" if row["seconds"] is None else duration(row["seconds"]),
        "" if row["best_loss"] is None else f"{row['best_loss']:.4f}",
        saved,
        f"{row['mb']:.1f}",
    ]


def _local(seconds: float) -> time.struct_time:
    return time.localtime(min(max(seconds, 0.0), 253370764800.0))  # clocks may be wrong

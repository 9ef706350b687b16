"""gpt compare"""

from argparse import Namespace
from pathlib import Path

from gpt.cli import console
from gpt.cli.common import check_target
from gpt.cli.console import duration, number, say
from gpt.errors import require
from gpt.inside.comparison import (
    COLUMNS,
    differences,
    draw_comparison,
    write_csv,
    write_tensorboard,
)
from gpt.inside.figures import BEGINNINGS
from gpt.inside.history import read_history
from gpt.size import describe
from gpt.training.run import Run


def compare_command(args: Namespace) -> None:
    names = list(dict.fromkeys(str(Path(run)) for run in args.run))
    path = Path(args.out)
    check_target(path, BEGINNINGS.get(path.suffix.lower(), b""))
    if args.csv:
        check_target(Path(args.csv), ",".join(COLUMNS).encode(), mark="")  # it says enough
    if args.tensorboard:
        folder = Path(args.tensorboard)
        require(
            not folder.exists() or folder.is_dir(),
            "compare: --tensorboard must name a folder.",
            f"{folder}, which is a file",
            "another name",
        )
    runs = [Run.open(name) for name in names]
    setups = [run.read_setup() for run in runs]
    histories = {name: read_history(run.log) for name, run in zip(names, runs, strict=True)}
    different = differences(setups)
    found = []
    for name, run, setup in zip(names, runs, setups, strict=True):
        history, told = histories[name], run.told()
        found.append(
            {
                "run": name,
                "parameters": describe(setup.model, 1)["parameters"],
                "steps": int(history.step[-1]),
                "seconds": float(history.seconds[-1]),
                "loss": float(history.smooth[-1]),
                "best_val_loss": told["best_loss"],
                "best_step": told["best_step"],
            }
        )
    if args.json:
        console.show_json({"runs": found, "differences": different})
    else:
        _show(found, different)
    draw_comparison(path, histories, args.x)
    written = [str(path)]
    if args.csv:
        write_csv(Path(args.csv), histories)
        written.append(args.csv)
    if args.tensorboard:
        write_tensorboard(Path(args.tensorboard), histories)
        written.append(args.tensorboard)
    if not args.json:
        say(f"written: {', '.join(written)}")


def _show(found: list[dict], different: dict[str, list]) -> None:
    titles = ("run", "", "parameters", "steps", "training", "loss", "best validation")
    console.table(
        titles,
        [
            [
                row["run"], "", number(row["parameters"]), number(row["steps"]),
                duration(row["seconds"]), f"{row['loss']:.4f}",
                "" if row["best_val_loss"] is None
                else f"{row['best_val_loss']:.4f} after {number(row['best_step'])}",
            ]
            for row in found
        ],
    )  # fmt: skip
    if different:
        say("what differs:")
        rows = [[name, *(str(value) for value in values)] for name, values in different.items()]
        console.table(("setting", *(row["run"] for row in found)), rows)

"""Runs beside each other: what differs in their settings, their curves on one figure, and their
logs for other programs."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpt.errors import require
from gpt.inside.figures import BEGINNINGS, INK, PALETTE, drawing, save_figure
from gpt.inside.history import History
from gpt.training.setup import Setup
from tinygrad_lite import write_atomically

COLUMNS = ("run", "step", "seconds", "loss", "lr", "grad_norm", "tokens_per_second", "val_loss")


def differences(setups: Sequence[Setup]) -> dict[str, list[Any]]:
    """The settings that are not the same in all, with the value in each"""
    every: list[dict[str, Any]] = [
        {
            "corpus": ", ".join(Path(name).name for name in s.corpus),
            "validation texts": ", ".join(Path(name).name for name in s.source.validation),
            "SHA-256 of the text": s.corpus_sha256[:8],
            "tokenizer": s.tokenizer.kind,
            **dataclasses.asdict(s.model),
            **dataclasses.asdict(s.train),
        }
        for s in setups
    ]
    return {
        name: [one[name] for one in every]
        for name in every[0]
        if any(one[name] != every[0][name] for one in every)
    }


def rows(name: str, history: History) -> list[list[Any]]:
    """A row of COLUMNS for each step; the validation loss where there is one"""
    measured = {step: loss for step, _, loss in history.evaluations}
    columns = (history.seconds, history.loss, history.lr, history.grad_norm, history.speed)
    return [
        [name, step, *(float(f"{c[i]:.6g}") for c in columns), measured.get(step, "")]
        for i, step in enumerate(history.step.tolist())
    ]


def write_csv(path: Path, histories: dict[str, History]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, history in histories.items():
        writer.writerows(rows(name, history))
    write_atomically(path, lambda temporary: temporary.write_text(text.getvalue(), "utf-8"))


def write_tensorboard(folder: Path, histories: dict[str, History]) -> None:
    """Event files for TensorBoard, a folder for each run"""
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "compare: event files are written by tensorboardX.\n  got none installed\n"
            "  try pip install tensorboardX"
        ) from error
    for name, history in histories.items():
        with SummaryWriter(str(folder / name.replace("/", "_"))) as writer:
            for row in rows(name, history):
                for column, value in zip(COLUMNS[3:], row[3:], strict=True):
                    if value != "":
                        writer.add_scalar(column, value, row[1], walltime=row[2])


def draw_comparison(path: Path, histories: dict[str, History], over: str = "seconds") -> None:
    """Validation losses over the seconds of training, or steps, and smoothed training losses, thin.

    path   ends in .png or .svg
    """
    require(
        path.suffix.lower() in BEGINNINGS,
        "compare: a figure is a PNG or an SVG file.",
        f"{path}",
        f"{path.with_suffix('.png')}",
    )
    with drawing():
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
        timed, styles = over == "seconds", ("-", "--", ":", "-.")
        lowest, highest = float("inf"), 0.0
        for i, (name, history) in enumerate(histories.items()):
            colour, style = PALETTE[i % len(PALETTE)], styles[i // len(PALETTE) % len(styles)]
            axes.plot(history.seconds if timed else history.step, history.smooth, style,
                      color=colour, alpha=0.35, linewidth=0.9)  # fmt: skip
            label = name
            if history.best is not None:
                steps, times, losses = zip(*history.evaluations, strict=True)
                label = f"{name}: {history.best[2]:.4f} after step {history.best[0]:,}"
                axes.plot(times if timed else steps, losses, style, color=colour, marker="o",
                          markersize=3.5, label=label)  # fmt: skip
                highest = max(highest, *losses)
            else:
                axes.plot([], [], style, color=colour, label=label)
            highest = max(highest, float(history.smooth[len(history.smooth) // 20]))
            lowest = min(lowest, *(e[2] for e in history.evaluations), float(history.smooth.min()))
        axes.set(
            xlabel="seconds of training" if timed else "steps",
            ylabel="cross-entropy (nats per token)",
        )
        axes.set_ylim(top=highest + 0.1 * max(highest - lowest, 0.1))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc="upper right")
        figure.suptitle("validation losses; thin: training", fontsize=11, color=INK)
        save_figure(figure, path)

"""Figures of a run: the loss over the time it took."""

import json
import math
from pathlib import Path

import numpy as np

from gpt.errors import require
from tinygrad_lite import write_atomically


def plot_loss(log: Path, path: Path, vocab_size: int) -> None:
    """Draw training and validation loss of a log.jsonl over the seconds of training, as a PNG."""
    import matplotlib

    require(path.suffix == ".png", "plot: a picture is a PNG file.", f"{path}", f"{path.stem}.png")
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    records = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    steps = [r for r in records if "loss" in r]
    require(bool(steps), "plot: a log must hold at least one step.", f"{log}", "a run with steps")
    seconds = np.cumsum([r["ms"] / 1000 for r in steps])
    time_of = {r["step"]: t for r, t in zip(steps, seconds, strict=True)}
    validation = [(time_of[r["step"]], r["val_loss"]) for r in records if "val_loss" in r]
    losses = np.array([r["loss"] for r in steps])
    window = max(1, len(losses) // 40)
    smooth = np.convolve(losses, np.ones(window) / window, "valid")

    figure, axes = plt.subplots(figsize=(8, 4), dpi=120)
    axes.plot(seconds, losses, color="#9ecae1", linewidth=0.8, label="training, each step")
    axes.plot(seconds[window - 1 :], smooth, color="#3182bd", label=f"mean of {window} steps")
    if validation:
        axes.plot(*zip(*validation, strict=True), "o-", color="#e6550d", label="validation")
        axes.annotate(
            f"{validation[-1][1]:.3f}",
            validation[-1],
            xytext=(0, 8),
            textcoords="offset points",
            ha="right",
        )
    uniform = math.log(vocab_size)
    axes.axhline(uniform, color="#969696", linestyle=":", linewidth=1)
    axes.annotate(
        "a uniform guess", (seconds[-1], uniform), ha="right", va="bottom", color="#636363"
    )
    axes.set(xlabel="seconds of training", ylabel="cross-entropy (nats per token)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.tight_layout()
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))
    plt.close(figure)

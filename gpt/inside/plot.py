"""The loss of a run over the time it took, as a figure."""

import math
from pathlib import Path

from gpt.errors import require
from gpt.inside.figures import BEGINNINGS, INK, PALETTE, drawing, save_figure
from gpt.inside.history import read_history


def plot_loss(log: Path, path: Path, vocab_size: int, name: str, over: str = "seconds") -> None:
    """Draw training and validation loss of a log.jsonl over the seconds of training, or its steps.

    path   ends in .png or .svg, which decides what is written
    over   seconds or steps
    """
    require(
        path.suffix.lower() in BEGINNINGS,
        "plot: a figure is a PNG or an SVG file.",
        f"{path}",
        f"{path.with_suffix('.png')}",
    )
    history = read_history(log)
    uniform, best = math.log(vocab_size), history.best
    with drawing():
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
        timed = over == "seconds"
        at = history.seconds if timed else history.step
        axes.plot(at, history.loss, color=PALETTE[0], alpha=0.25, linewidth=0.8,
                  label="training, each step")  # fmt: skip
        axes.plot(at, history.smooth, color=PALETTE[0], label="training, smoothed")
        if best is not None:
            steps, times, losses = zip(*history.evaluations, strict=True)
            axes.plot(times if timed else steps, losses, "o-", color=PALETTE[1], markersize=4,
                      label="validation")  # fmt: skip
            axes.plot(best[1 if timed else 0], best[2], "*", color=PALETTE[1], markersize=13,
                      markeredgecolor=INK,
                      label=f"the best, {best[2]:.4f} after step {best[0]:,}")  # fmt: skip
        axes.axhline(uniform, color=INK, linestyle=":", linewidth=1,
                     label=f"a uniform guess, {uniform:.3f}")  # fmt: skip
        axes.set(
            xlabel="seconds of training" if timed else "steps",
            ylabel="cross-entropy (nats per token)",
        )
        axes.set_ylim(top=1.05 * max(uniform, float(history.smooth.max())))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.94))
        done, seconds = int(history.step[-1]), history.seconds[-1]
        figure.suptitle(f"{name}: {done:,} steps in {seconds:,.0f} seconds", fontsize=11)
        save_figure(figure, path)

"""Does `gpt train --minutes` choose well? What it reaches beside ten fixed configurations that are
given the same minutes, on one text: sizes from small to large, each with a short context and no
dropout, and with a longer one and dropout."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.learn import ours

SIZES = ((2, 64), (3, 96), (4, 128), (4, 192), (6, 256))
# Context and dropout: nanoGPT, too, has a shorter and none, or 256 and 0.2, for Shakespeare
CONTEXTS = ((128, 0.0), (256, 0.2))


def fixed() -> dict[str, list[str]]:
    """Ten configurations by name: options of `gpt train`"""
    found = {}
    for layers, width in SIZES:
        for context, dropout in CONTEXTS:
            name = f"{layers}x{width} context {context} dropout {dropout:g}"
            found[name] = [
                "--n-layer", f"{layers}", "--n-embd", f"{width}", "--n-head", f"{width // 32}",
                "--block-size", f"{context}", "--dropout", f"{dropout:g}",
            ]  # fmt: skip
    return found


CONFIGS: dict[str, list[str]] = {"chosen": [], **fixed()}


def run(text: Path, minutes: list[float], names: list[str]) -> Iterator[dict[str, Any]]:
    """A row a run: seconds of the whole process, nats of its best weights on the whole split"""
    for m in minutes:
        for name, options in ((name, CONFIGS[name]) for name in names):
            curve, trained = ours(text, m, *options)
            seconds, nats = curve[-1]
            off = seconds / (60 * m) - 1
            print(f"sweep   {text.name}, {m:g} minutes: {name} {nats:.4f} nats in {seconds:.1f} s"
                  f" ({off:+.1%}; {trained})", flush=True)  # fmt: skip
            yield {"text": text.name, "minutes": m, "what": name, "trained": trained,
                   "seconds": seconds, "nats": nats, "curve": curve}  # fmt: skip


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """A panel a text: nats over minutes, what was chosen, each fixed one, and the best of these"""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    texts = list(dict.fromkeys(row["text"] for row in rows))
    figure, panels = pyplot.subplots(
        1, len(texts), figsize=(4 * len(texts), 4), squeeze=False, layout="constrained"
    )
    for axes, text in zip(panels[0], texts, strict=True):
        own = sorted((r for r in rows if r["text"] == text), key=lambda r: r["minutes"])
        fixed_ones = [r for r in own if r["what"] != "chosen"]
        best = {r["minutes"]: min(o["nats"] for o in fixed_ones if o["minutes"] == r["minutes"])
                for r in fixed_ones}  # fmt: skip
        points = [(r["minutes"], r["nats"]) for r in own if r["what"] == "chosen"]
        for some, style, label in (
            ([(r["minutes"], r["nats"]) for r in fixed_ones], "x", "fixed configurations"),
            (list(best.items()), "--", "the best of these"),
            (points, "o-", "chosen"),
        ):
            if some:
                axes.plot(*zip(*some, strict=True), style, label=label)
        axes.set(xscale="log", xlabel="minutes", ylabel="nats a character, validation", title=text)
        times = sorted({r["minutes"] for r in own})
        axes.set_xticks(times, [f"{m:g}" for m in times])
        axes.minorticks_off()
        axes.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _run_of(row: dict[str, Any]) -> tuple:
    return row["text"], row["minutes"], row["what"]


def saved(path: Path) -> list[dict[str, Any]]:
    """The rows that a file has; ValueError if it is not a sweep's, or cannot be written"""
    if not path.exists() and path.parent.is_dir():
        return []
    try:
        rows = json.loads(path.read_text("utf-8"))
        if not isinstance(rows, list) or any(math.isnan(r["nats"]) for r in rows):
            raise ValueError("not a list of runs")
        set(map(_run_of, rows))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            "sweep: --json is a new file, or that of another sweep, to which rows are added.\n"
            f"  got {path}: {error!r:.80}\n  try another name"
        ) from error
    return rows


def save(rows: list[dict[str, Any]], path: Path) -> None:
    """The rows, with those of other runs that the file has, and a picture beside it"""
    measured = set(map(_run_of, rows))
    rows = [row for row in saved(path) if _run_of(row) not in measured] + rows
    whole = path.with_name(f"{path.name}.new")  # a sweep takes hours
    whole.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    whole.replace(path)
    draw(rows, path.with_suffix(".png"))

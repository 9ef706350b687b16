"""Does `gpt train --minutes` choose well? What it reaches beside ten fixed configurations that are
given the same minutes, on one text: sizes from small to large, with and without dropout."""

import json
from pathlib import Path
from typing import Any

from benchmarks.learn import Curve, ours

SIZES = ((2, 64), (3, 96), (4, 128), (4, 192), (6, 256))
DROPOUTS = (0.0, 0.2)


def fixed() -> dict[str, list[str]]:
    """Ten configurations by name: options of `gpt train`"""
    found = {}
    for layers, width in SIZES:
        for dropout in DROPOUTS:
            name = f"{layers} x {width}, dropout {dropout:g}"
            found[name] = [
                "--n-layer", f"{layers}", "--n-embd", f"{width}", "--n-head", f"{width // 32}",
                "--dropout", f"{dropout:g}",
            ]  # fmt: skip
    return found


def run(text: Path, minutes: list[float], only_chosen: bool = False) -> list[dict[str, Any]]:
    """A row a run: seconds of the whole process, nats of its best weights on the whole split"""
    rows: list[dict[str, Any]] = []
    for m in minutes:
        named = {"chosen": []} if only_chosen else {"chosen": [], **fixed()}
        for name, options in named.items():
            curve: Curve = ours(text, m, *options)
            seconds, nats = curve[-1]
            rows.append({"text": text.name, "minutes": m, "what": name, "seconds": seconds,
                         "nats": nats, "curve": curve})  # fmt: skip
            off = seconds / (60 * m) - 1
            print(f"sweep   {text.name}, {m:g} minutes: {name} {nats:.4f} nats in {seconds:.1f} s"
                  f" ({off:+.1%})", flush=True)  # fmt: skip
    return rows


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """A panel a text: nats over minutes, what was chosen as a line, the fixed ones as points"""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    texts = list(dict.fromkeys(row["text"] for row in rows))
    figure, panels = pyplot.subplots(
        1, len(texts), figsize=(4 * len(texts), 4), squeeze=False, layout="constrained"
    )
    for axes, text in zip(panels[0], texts, strict=True):
        own = [row for row in rows if row["text"] == text]
        for chosen, style in ((True, "o-"), (False, "x")):
            some = [row for row in own if (row["what"] == "chosen") == chosen]
            label = "chosen" if chosen else "fixed configurations"
            axes.plot([r["minutes"] for r in some], [r["nats"] for r in some], style, label=label)
        axes.set(xscale="log", xlabel="minutes", ylabel="nats a character, validation", title=text)
        axes.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def save(rows: list[dict[str, Any]], path: Path) -> None:
    path.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    draw(rows, path.with_suffix(".png"))

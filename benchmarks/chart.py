"""A picture of a JSON file that the benchmarks wrote: how much faster ours is than each peer."""

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks import scale

COLOURS = {"ours": "#1f77b4", "torch": "#ee4c2c", "jax": "#5e97f6", "numpy": "#777777"}


def draw(source: Path, target: Path) -> None:
    """One panel a benchmark; each bar is a contender's median, in multiples of our best."""
    data = json.loads(source.read_text("utf-8"))
    growth = [row for row in data["rows"] if row["benchmark"] == "scale"]
    if growth:
        scale.draw(growth, target)
        return
    groups: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in data["rows"]:
        groups.setdefault(row["benchmark"], {}).setdefault(row["config"], []).append(row)
    longest = max(len(configs) for configs in groups.values())
    figure, panels = plt.subplots(
        1, len(groups), figsize=(5.5 * len(groups), 1.2 + 0.95 * longest), squeeze=False
    )
    for axes, (benchmark, configs) in zip(panels[0], groups.items(), strict=True):
        for i, (_, rows) in enumerate(configs.items()):
            unit = min(r["median_ms"] for r in rows if r["contender"].startswith("ours"))
            height = 0.8 / len(rows)
            for k, row in enumerate(rows):
                at, name = i + k * height, row["contender"]
                axes.barh(at, row["median_ms"] / unit, height * 0.9,
                          color=COLOURS.get(name.split()[0], "#999999"),
                          alpha=0.6 if "compile" in name else 1)  # fmt: skip
                axes.text(row["median_ms"] / unit, at, f" {name}, {row['median_ms']:.3g} ms",
                          va="center", fontsize=7)  # fmt: skip
        axes.axvline(1, color="#1f77b4", linewidth=0.8)
        axes.set_yticks([i + 0.4 for i in range(len(configs))], list(configs), fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.35)
        axes.set_title(benchmark)
        axes.set_xlabel("median time, in multiples of ours")
    machine = data["machine"]
    figure.suptitle(f"{machine['cpu']}, {machine['threads']} threads", fontsize=9)
    figure.tight_layout()
    figure.savefig(target, dpi=130)
    plt.close(figure)

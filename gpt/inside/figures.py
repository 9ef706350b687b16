"""Figures: of one forward pass each layer, the next token, the logit lens; of a model, what its
parts are for.

Colours run from light to dark or, for numbers of both signs, from orange to purple: both can be
told apart by colour-blind people. Of long prompts the last tokens are shown, and the title says so.
"""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpt.config import GPTConfig
from gpt.inside.ablation import Ablation
from gpt.inside.forward import ForwardPass
from gpt.inside.labels import cut, labels
from gpt.inside.predictions import likeliest, logit_lens
from gpt.mark import MARK
from gpt.model import GPT
from gpt.text.tokenizers import Tokenizer
from tinygrad_lite import write_atomically

MOST = 64  # tokens in a figure
AMOUNTS, SIGNED = "Blues", "PuOr"
BEGINNINGS = {".png": b"\x89PNG", ".svg": b"<?xml"}  # how the files begin
INK, BLUE = "#333333", "#0072B2"
PALETTE = (BLUE, "#E69F00", "#009E73", "#CC79A7")  # Okabe and Ito 2008, for everyone's eyes


def draw_figures(
    forward: ForwardPass,
    model: GPT,
    tokenizer: Tokenizer,
    folder: Path,
    kind: str = "png",
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write layer_1, ..., next_token_probability and logit_lens into a folder; their paths.

    kind       png or svg
    progress   is called with the figures that are done, and all
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = iter(figure_paths(forward.config, folder, kind))
    shown = slice(max(0, len(forward.tokens) - MOST), None)
    names = [cut(name, 10) for name in labels(tokenizer, forward.tokens[shown])]
    paths = []

    def save(figure: Any) -> None:
        paths.append(next(wanted))
        save_figure(figure, paths[-1])
        if progress is not None:
            progress(len(paths), forward.config.n_layer + 2)

    with drawing():
        for number in range(1, forward.config.n_layer + 1):
            save(_layer(forward, number, names, shown))
        save(_next_token(forward, tokenizer, names))
        save(_lens(forward, model, tokenizer, names, shown))
    return paths


def figure_paths(config: GPTConfig, folder: Path, kind: str) -> list[Path]:
    """The files that draw_figures writes, in its order"""
    layers = [f"layer_{number}" for number in range(1, config.n_layer + 1)]
    names = [*layers, "next_token_probability", "logit_lens"]
    return [folder / f"{name}.{kind}" for name in names]


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Within this context Matplotlib needs no display, and texts are drawn as they are."""
    import matplotlib

    matplotlib.use("Agg")
    settings: Any = {"text.parse_math": False, "svg.hashsalt": "gpt", "font.size": 9,
                "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK}  # fmt: skip
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a sign that the font does not have
        yield


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure as what the end of its name says, png or svg, and close it."""
    from matplotlib import pyplot as plt

    kind = path.suffix.removeprefix(".").lower()
    metadata = {"Creator": MARK, "Date": None} if kind == "svg" else {"Software": MARK}
    write_atomically(
        path, lambda file: figure.savefig(file, format=kind, dpi=110, metadata=metadata)
    )
    plt.close(figure)


def _titled(figure: Any, title: str, forward: ForwardPass, names: Sequence[str]) -> None:
    left_out = len(forward.tokens) - len(names)
    note = f" (the last {len(names)} of {len(forward.tokens)} tokens)" if left_out else ""
    figure.suptitle(title + note, fontsize=12)


def _layer(forward: ForwardPass, number: int, names: Sequence[str], shown: slice) -> Any:
    """Each head's attention; queries, keys and values; the norms of the residual stream"""
    from matplotlib import pyplot as plt

    part, heads, count = forward.layer(number), forward.config.n_head, len(names)
    side = min(8.0, max(2.4, 0.145 * count + 1.0))  # inches of a panel
    columns = heads if heads <= 4 else math.ceil(math.sqrt(heads))
    rows = math.ceil(heads / columns)
    wide = max(columns * side, 9.0)
    low = max(2.2, 0.145 * count + 0.8)
    figure = plt.figure(figsize=(wide, rows * side + 2 * low + 0.8), layout="constrained")
    parts: Any = figure.subfigures(3, 1, height_ratios=[rows * side, low, low])
    top, middle, bottom = parts
    panels = np.atleast_1d(top.subplots(rows, columns)).ravel()
    image = None
    for head, axes in enumerate(panels):
        if head >= heads:
            axes.set_visible(False)
            continue
        weights = part["weights"][head][shown, shown]
        image = axes.imshow(
            np.where(np.tri(count, dtype=bool), weights, np.nan), cmap=AMOUNTS, vmin=0, vmax=1
        )
        axes.set_title(f"head {head + 1}", fontsize=9)
        _ticks(axes, names, names)
    top.colorbar(
        image, ax=list(panels), label="attention: row looks at column", shrink=0.8, aspect=40
    )
    for axes, name in zip(middle.subplots(1, 3), ("query", "key", "value"), strict=True):
        values = part[name][:, shown].transpose(1, 0, 2).reshape(count, -1)
        limit = float(np.abs(values).max()) or 1.0
        drawn = axes.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit, aspect="auto",
                            interpolation="nearest")  # fmt: skip
        for head in range(1, heads):
            axes.axvline(head * values.shape[1] / heads - 0.5, color=INK, linewidth=0.5)
        axes.set_title(f"{name}, heads side by side", fontsize=9)
        _ticks(axes, None, names)
        middle.colorbar(drawn, ax=axes, aspect=30)
    _norms(bottom.subplots(), part, names, shown)
    title = f"Layer {number} of {forward.config.n_layer}: what looks where, and what it adds"
    _titled(figure, title, forward, names)
    return figure


def _norms(axes: Any, part: dict[str, np.ndarray], names: Sequence[str], shown: slice) -> None:
    at = np.arange(len(names))
    for i, (name, told) in enumerate(
        (("input", "comes in"), ("attention", "attention adds"),
         ("feed_forward", "feed-forward adds"), ("output", "goes out"))
    ):  # fmt: skip
        heights = np.linalg.norm(part[name][shown], axis=-1)
        axes.bar(at + 0.2 * i - 0.3, heights, 0.2, label=told, color=PALETTE[i],
                 hatch=("", "//", "..", "xx")[i], edgecolor="white", linewidth=0.3)  # fmt: skip
    axes.set_title("residual stream: length of each position's row", fontsize=9)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_xticks(at, names, rotation=_turn(names), fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.25))


def _next_token(forward: ForwardPass, tokenizer: Tokenizer, names: Sequence[str]) -> Any:
    from matplotlib import pyplot as plt

    chosen = likeliest(forward["probabilities"][-1], 20)
    figure, axes = plt.subplots(figsize=(7, 1.2 + 0.28 * len(chosen)), layout="constrained")
    values = [p for _, p in chosen][::-1]
    axes.barh(range(len(chosen)), values, color=BLUE)
    shown = [cut(n, 14) for n in labels(tokenizer, [i for i, _ in chosen])]
    axes.set_yticks(range(len(chosen)), shown[::-1])
    for at, p in enumerate(values):
        axes.annotate(f" {p:.4f}", (p, at), va="center", fontsize=8)
    axes.set(xlabel="probability", xlim=(0, min(1.15, 1.2 * values[-1] + 0.01)))
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"What comes after  {cut(' '.join(names[-12:]), 60)}", fontsize=11)
    return figure


def _lens(
    forward: ForwardPass, model: GPT, tokenizer: Tokenizer, names: Sequence[str], shown: slice
) -> Any:
    from matplotlib import pyplot as plt

    p = logit_lens(model, forward, shown)
    best, highest = p.argmax(-1), p.max(-1)
    figure, axes = plt.subplots(
        figsize=(max(6.0, 0.62 * len(names) + 2.2), 0.36 * len(p) + 1.9), layout="constrained"
    )
    image = axes.imshow(highest, cmap=AMOUNTS, vmin=0, vmax=1, aspect="auto")
    for i in range(len(p)):
        for j, text in enumerate(labels(tokenizer, best[i])):
            axes.text(j, i, cut(text, 7), ha="center", va="center", fontsize=7.5,
                      color="white" if highest[i, j] > 0.5 else INK)  # fmt: skip
    rows = ["embedding", *(f"layer {i}" for i in range(1, len(p)))]
    axes.set_yticks(range(len(p)), rows)
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(names)), names, rotation=_turn(names))
    axes.set_xlabel("under each token: what is predicted to follow it")
    figure.colorbar(image, ax=axes, label="probability")
    _titled(figure, "Logit lens: the next token, if the model ended here", forward, names)
    return figure


def _ticks(axes: Any, columns: Sequence[str] | None, rows: Sequence[str]) -> None:
    size = 8 if len(rows) <= 32 else 6
    axes.set_yticks(range(len(rows)), rows, fontsize=size)
    if columns is None:
        axes.set_xticks([])
    else:
        axes.set_xticks(range(len(columns)), columns, rotation=_turn(columns), fontsize=size)
    axes.tick_params(length=2)


def _turn(names: Sequence[str]) -> int:
    """Degrees: labels below each other stand upright where they are short"""
    return 0 if max(map(len, names)) <= 2 else 90


def draw_ablation(ablation: Ablation, path: Path) -> None:
    """A heat map of what is added to the loss without each head and feed-forward layer"""
    from matplotlib import pyplot as plt

    table = np.hstack([ablation.heads, ablation.feed_forward[:, None]])
    layers, columns = table.shape
    limit = float(np.abs(table).max()) or 1.0
    with drawing():
        figure, axes = plt.subplots(
            figsize=(max(6.0, 1.15 * columns + 2), max(2.4, 0.62 * layers + 1.6)),
            layout="constrained",
        )
        image = axes.imshow(table, cmap=SIGNED, vmin=-limit, vmax=limit, aspect="auto")
        for i in range(layers):
            for j in range(columns):
                label = ablation.label(i, j) if j < columns - 1 else None
                text = f"{table[i, j]:+.3f}" + (f"\n{label[0]}" if label else "")
                dark = abs(table[i, j]) > 0.6 * limit
                axes.text(j, i, text, ha="center", va="center", fontsize=7,
                          color="white" if dark else INK)  # fmt: skip
        heads = [f"head {h + 1}" for h in range(columns - 1)]
        axes.set_xticks(range(columns), [*heads, "feed-\nforward"])
        axes.set_yticks(range(layers), [f"layer {i + 1}" for i in range(layers)])
        figure.colorbar(image, ax=axes, label="nats added to the loss")
        figure.suptitle(f"The loss without each part (with all: {ablation.loss:.4f})", fontsize=11)
        save_figure(figure, path)

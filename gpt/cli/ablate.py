"""gpt ablate"""

from argparse import Namespace
from pathlib import Path

import numpy as np

from gpt.cli import console
from gpt.cli.common import announce_compilation, check_target, measured_tokens
from gpt.cli.console import number, say
from gpt.cli.numbers import width
from gpt.errors import require
from gpt.inside.ablation import Ablation, ablate
from gpt.inside.figures import BEGINNINGS, draw_ablation
from gpt.training.run import Run
from tinygrad_lite import precision


def ablate_command(args: Namespace) -> None:
    require(
        args.tokens >= 1,
        "ablate: --tokens must be positive.",
        f"--tokens {args.tokens}",
        "--tokens 4096",
    )
    run = Run.open(args.run)
    path = Path(args.out) if args.out else run.folder / "ablation.png"
    require(path.suffix == ".png", "ablate: a figure is a PNG file.", f"{path}", f"{path.stem}.png")
    check_target(path, BEGINNINGS[".png"])
    model, _ = run.load_best()
    config = run.read_setup().train
    names, tokens = measured_tokens(run, args)
    validation = tokens.validation
    announce_compilation()
    with console.WorkBar("parts switched off") as bar, precision(config.precision):
        found = ablate(model, validation, args.tokens, bar)
    if args.json:
        console.show_json(_as_json(found, names))
    else:
        _show(found)
    draw_ablation(found, path)
    if not args.json:
        say(f"drawn in {path}")


def _show(found: Ablation) -> None:
    layers, heads = found.heads.shape
    many = number(found.tokens)
    say(f"loss {found.loss:.4f} on {many} tokens; nats that it rises by without ...")
    titles = [*(f"head {h + 1}" for h in range(heads)), "feed-forward"]
    values = np.hstack([found.heads, found.feed_forward[:, None]])
    fit = max(1, (width() - 15) // 9)  # columns; the last is wider, and so are tables of many
    for start in range(0, len(titles), fit):
        part = slice(start, start + fit)
        rows = [[f"layer {i + 1}", *(f"{x:+.4f}" for x in values[i, part])] for i in range(layers)]
        console.table(("", *titles[part]), rows)
    named = [
        [f"layer {i + 1}, head {h + 1}", label[0], f"{100 * label[1]:.0f} %"]
        for i in range(layers)
        for h in range(heads)
        if (label := found.label(i, h))
    ]
    say()
    if named:
        say("heads that mostly look at one thing, and the share of their attention that it gets")
        console.table(("head", "looks at", "share"), named)
    else:
        say("no head clearly looks at one thing")


def _as_json(found: Ablation, corpus: list[str]) -> dict:
    layers, heads = found.heads.shape
    return {
        "loss": found.loss,
        "tokens": found.tokens,
        "corpus": corpus,
        "heads": found.heads.tolist(),
        "feed_forward": found.feed_forward.tolist(),
        "patterns": {name: shares.tolist() for name, shares in found.patterns.items()},
        "labels": [
            {"layer": i + 1, "head": h + 1, "label": label[0], "share": label[1]}
            for i in range(layers)
            for h in range(heads)
            if (label := found.label(i, h))
        ],
    }

"""What is shown of a forward pass: stages under headings, the next token."""

import textwrap
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.text import Text

from gpt.cli import console
from gpt.cli.console import say
from gpt.cli.numbers import LABEL, bars, grid, kept_rows, matrix, padded, width
from gpt.errors import closest, require
from gpt.inside.forward import ForwardPass
from gpt.inside.labels import cut, labels
from gpt.inside.predictions import likeliest
from gpt.inside.stages import Stage, after_layers, before_layers, of_layer
from gpt.model import GPT
from gpt.text.tokenizers import Tokenizer

GRIDS = ("scores", "masked", "weights")  # (H, T, T): a row and a column for each token


@dataclass(frozen=True)
class View:
    """How much is shown. layers, heads: numbers counted from 1; rows: of each table"""

    layers: Sequence[int]
    heads: Sequence[int]
    decimals: int
    rows: int
    code: bool = True  # the lines that compute each stage
    stages: Sequence[str] = ()  # names; none for all


def view_of(model: GPT, args: Namespace) -> View:
    """What the options ask for: all of a small model, the first and the last layer and the first
    head of a larger one"""
    c = model.config
    small = c.n_layer <= 2
    layers = [args.layer] if args.layer else range(1, c.n_layer + 1) if small else [1, c.n_layer]
    heads = [args.head] if args.head else range(1, c.n_head + 1) if small else [1]
    for name, number, most in (("layer", args.layer, c.n_layer), ("head", args.head, c.n_head)):
        require(
            number is None or 1 <= number <= most,
            f"{args.command}: --{name} must lie between 1 and {most}.",
            f"--{name} {number}",
            f"--{name} {most}",
        )
    for name, number, least, most in (
        ("decimals", args.decimals, 0, 12),
        ("max-rows", args.max_rows, 1, 10_000),
        ("next", args.next, 1, 10_000),
    ):
        rule = f"{args.command}: --{name} must lie between {least} and {most}."
        require(least <= number <= most, rule,
                f"--{name} {number}", f"--{name} {least + 3}")  # fmt: skip
    stages = [*before_layers(c), *of_layer(c), *after_layers(c)]
    known = ["tokens", *(stage.name for stage in stages)]
    for name in args.stage:
        require(
            name in known,
            f"{args.command}: the stages are {', '.join(known)}.",
            f"--stage {name}",
            closest(name, known),
        )
    return View(list(layers), list(heads), args.decimals, args.max_rows, stages=tuple(args.stage))


def show_pass(forward: ForwardPass, tokenizer: Tokenizer, prompt: str, view: View) -> None:
    """All stages under headings, with their numbers"""
    c, names = forward.config, labels(tokenizer, forward.tokens)
    if not view.stages or "tokens" in view.stages:
        heading("TOKENIZATION", f"(T) = ({len(names)})")
        say(f"  The text {prompt!r} is cut into {len(names)} tokens: numbers in the vocabulary.")
        for i, name in zip(forward.tokens, names, strict=True):
            say(f"  {name:<10} {i:>6}")
    if _shows(view, before_layers(c)):
        heading("EMBEDDINGS", f"{c.n_embd} numbers for each token")
    for stage in before_layers(c):
        show_stage(stage, forward[stage.name], names, tokenizer, view)
    for number in range(1, c.n_layer + 1) if _shows(view, of_layer(c)) else ():
        if number not in view.layers:
            if len(view.layers) > 1 and (number - 1 in view.layers or number == 1):
                last = min((n for n in view.layers if n > number), default=c.n_layer + 1) - 1
                some = f"layer {number}" if last == number else f"layers {number} to {last}"
                say(f"\n… {some} not shown; --layer N shows one alone", "dim")
            continue
        heading(
            f"LAYER {number} of {c.n_layer}",
            f"{console.many(c.n_head, 'head')} of {c.n_embd // c.n_head}",
        )
        arrays = forward.layer(number)
        for stage in of_layer(c):
            show_stage(stage, arrays[stage.name], names, tokenizer, view)
    if _shows(view, after_layers(c)):
        heading("OUTPUT HEAD", f"{c.vocab_size} tokens to choose from")
    for stage in after_layers(c):
        show_stage(stage, forward[stage.name], names, tokenizer, view)


def _shows(view: View, stages: Sequence[Stage]) -> bool:
    return not view.stages or any(stage.name in view.stages for stage in stages)


def heading(title: str, shape: str) -> None:
    say()
    console.console.print(Text(title, "bold") + Text(f"  {shape}", "dim"))


def show_stage(
    stage: Stage, values: np.ndarray, names: Sequence[str], tokenizer: Tokenizer, view: View
) -> None:
    if view.stages and stage.name not in view.stages:
        return
    sizes = ", ".join(map(str, values.shape))
    heading(stage.title, f"({stage.shape}) = ({sizes})")
    say(textwrap.fill(stage.about, width(), initial_indent="  ", subsequent_indent="  "))
    if view.code:
        for line in stage.lines:
            say(f"    {line}", "cyan")
    if stage.shape == "T, V":
        for line in _best_of_rows(names, values, tokenizer, view):
            say(line)
        return
    if values.ndim == 2:
        parts = [("", values)]
    else:
        parts = [(f"head {h}", values[h - 1]) for h in view.heads]
    for title, part in parts:
        if title and len(values) > 1:
            say(f"  {title}", "dim")
        if stage.name == "weights":
            lines = grid(names, part, view.rows * 2)
        elif stage.name in GRIDS:
            lines = matrix(names, part, min(view.decimals, 2), view.rows)
        else:
            lines = matrix(names, part, view.decimals, view.rows)
        for line in lines:
            say(line)


def _best_of_rows(
    names: Sequence[str], values: np.ndarray, tokenizer: Tokenizer, view: View
) -> list[str]:
    """For each position the tokens of the vocabulary with the highest numbers"""
    lines = []
    for i in kept_rows(len(values), view.rows):
        if i is None:
            lines.append("  ⋮")
            continue
        best = likeliest(values[i], 5)
        shown = (f"{cut(n, 7)} {x:.{view.decimals}f}" for n, (_, x) in
                 zip(labels(tokenizer, [v for v, _ in best]), best, strict=True))  # fmt: skip
        lines.append(f"  {padded(names[i], LABEL)} {'   '.join(shown)}")
    return lines


def show_next(forward: ForwardPass, tokenizer: Tokenizer, count: int) -> None:
    """The likeliest next tokens as bars, then the likeliest"""
    chosen = likeliest(forward["probabilities"][-1], count)
    names = labels(tokenizer, [i for i, _ in chosen])
    heading("NEXT TOKEN", f"the {len(chosen)} likeliest of {forward.config.vocab_size}")
    for line in bars([(name, p) for name, (_, p) in zip(names, chosen, strict=True)]):
        say(line)
    say()
    say(f"Predicted next token: {names[0]}", "bold")

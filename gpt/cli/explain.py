"""gpt explain"""

import json
import textwrap
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.text import Text

from gpt.cli import console
from gpt.cli.common import announce_compilation
from gpt.cli.console import say
from gpt.cli.numbers import LABEL, bars, grid, kept_rows, matrix, padded, surprised, width
from gpt.errors import require
from gpt.inside.figures import draw_figures
from gpt.inside.forward import ForwardPass, record_pass
from gpt.inside.labels import cut, labels
from gpt.inside.predictions import likeliest, surprises
from gpt.inside.stages import Stage, after_layers, before_layers, of_layer
from gpt.model import GPT
from gpt.text.tokenizers import Tokenizer
from gpt.training.run import Run
from tinygrad_lite import write_atomically

GRIDS = ("scores", "masked", "weights")  # (H, T, T): a row and a column for each token


@dataclass(frozen=True)
class View:
    """How much is shown. layers, heads: numbers counted from 1"""

    layers: Sequence[int]
    heads: Sequence[int]
    decimals: int
    rows: int
    code: bool = True  # the lines that compute each stage


def explain_command(args: Namespace) -> None:
    model, tokenizer = Run.open(args.run).load_best()
    tokens = tokens_of(tokenizer, args.prompt)
    announce_compilation()
    if args.loss:
        _show_surprises(model, tokenizer, tokens)
        return
    view = view_of(model, args)
    _check_paths([Path(p) for p in (args.json,) if p])
    require(
        not args.figures or not Path(args.figures).exists() or Path(args.figures).is_dir(),
        "explain: --figures names a folder.",
        f"{args.figures}, which is a file",
        "another folder",
    )
    forward = record_pass(model, tokens)
    show_pass(forward, tokenizer, args.prompt, view)
    show_next(forward, tokenizer, args.top_k)
    if args.json:
        data = as_json(forward, tokenizer, args.prompt, args.top_k)
        text = json.dumps(data, ensure_ascii=False)
        write_atomically(args.json, lambda path: path.write_text(text, "utf-8"))
        say(f"all numbers are in {args.json}")
    if args.figures:
        drawn = draw_figures(forward, model, tokenizer, Path(args.figures), args.format)
        say(f"{len(drawn)} figures are in {args.figures}: {drawn[0].name} ... {drawn[-1].name}")


def tokens_of(tokenizer: Tokenizer, prompt: str) -> np.ndarray:
    tokens = tokenizer.encode(prompt)
    require(
        len(tokens) > 0,
        "explain: the prompt must hold at least one token.",
        repr(prompt),
        "a word, such as one of the text that the model was trained on",
    )
    return tokens


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
            f"explain: --{name} must lie between 1 and {most}.",
            f"--{name} {number}",
            f"--{name} {most}",
        )
    for name, number, least in (("decimals", args.decimals, 0), ("max-rows", args.max_rows, 1)):
        require(number >= least, f"explain: --{name} must be at least {least}.",
                f"--{name} {number}", f"--{name} {least + 3}")  # fmt: skip
    return View(list(layers), list(heads), args.decimals, args.max_rows)


def _check_paths(paths: Sequence[Path]) -> None:
    """Before anything is computed: a file can be made there."""
    for path in paths:
        require(
            path.parent.is_dir() and not path.is_dir(),
            "explain: a file is written into a folder that is there.",
            f"{path}",
            f"mkdir -p {path.parent}" if not path.is_dir() else f"{path / 'explain.json'}",
        )


def show_pass(forward: ForwardPass, tokenizer: Tokenizer, prompt: str, view: View) -> None:
    """All stages under headings, with their numbers"""
    c, names = forward.config, labels(tokenizer, forward.tokens)
    _heading("TOKENIZATION", f"(T) = ({len(names)})")
    say(f"  The text {prompt!r} is cut into {len(names)} tokens: numbers in the vocabulary.")
    for i, name in zip(forward.tokens, names, strict=True):
        say(f"  {name:<10} {i:>6}")
    for stage in before_layers(c):
        _show(stage, forward[stage.name], names, tokenizer, view)
    for number in range(1, c.n_layer + 1):
        if number not in view.layers:
            if number - 1 in view.layers or number == 1:
                last = min((n for n in view.layers if n > number), default=c.n_layer + 1) - 1
                some = f"layer {number}" if last == number else f"layers {number} to {last}"
                say(f"\n… {some} not shown: --layer N", "dim")
            continue
        _heading(f"LAYER {number} of {c.n_layer}", f"{c.n_head} heads of {c.n_embd // c.n_head}")
        arrays = forward.layer(number)
        for stage in of_layer(c):
            _show(stage, arrays[stage.name], names, tokenizer, view)
    _heading("OUTPUT HEAD", f"{c.vocab_size} tokens to choose from")
    for stage in after_layers(c):
        _show(stage, forward[stage.name], names, tokenizer, view)


def _heading(title: str, shape: str) -> None:
    say()
    console.console.print(Text(title, "bold") + Text(f"  {shape}", "dim"))


def _show(
    stage: Stage, values: np.ndarray, names: Sequence[str], tokenizer: Tokenizer, view: View
) -> None:
    sizes = ", ".join(map(str, values.shape))
    _heading(stage.title, f"({stage.shape}) = ({sizes})")
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
    _heading("NEXT TOKEN", f"the {len(chosen)} likeliest of {forward.config.vocab_size}")
    for line in bars([(name, p) for name, (_, p) in zip(names, chosen, strict=True)]):
        say(line)
    say()
    say(f"Predicted next token: {names[0]}", "bold")


def _show_surprises(model: GPT, tokenizer: Tokenizer, tokens: np.ndarray) -> None:
    found = surprises(model, tokens)
    names = labels(tokenizer, tokens)
    if console.console.is_terminal and not console.console.no_color:
        line = Text(tokenizer.pieces(tokens[:1])[0])
        for piece, s in zip(tokenizer.pieces(tokens[1:]), found, strict=True):
            line += surprised(piece.replace("\n", "↵\n"), s.bits)
        console.console.print(line)
    rows = [
        [name, f"{s.probability:.4f}", f"{s.rank}", f"{s.bits:.2f}",
         "  ".join(labels(tokenizer, [i for i, _ in s.likeliest if i != s.token]))]
        for name, s in zip(names[1:], found, strict=True)
    ]  # fmt: skip
    console.table(("token", "probability", "rank", "bits", "likelier, or next"), rows)
    mean = float(np.mean([s.bits for s in found]))
    say(f"{mean:.3f} bits a {console.unit(tokenizer)}, {2**mean:.1f} equal choices", "bold")


def as_json(forward: ForwardPass, tokenizer: Tokenizer, prompt: str, count: int) -> dict:
    """All of a pass, for programs; what is minus infinity is null"""
    c = forward.config
    stages = [("", s, forward[s.name]) for s in before_layers(c)]
    for number in range(1, c.n_layer + 1):
        arrays = forward.layer(number)
        stages += [(f"layer_{number}.", s, arrays[s.name]) for s in of_layer(c)]
    stages += [("", s, forward[s.name]) for s in after_layers(c)]
    chosen = likeliest(forward["probabilities"][-1], count)
    names = labels(tokenizer, [i for i, _ in chosen])
    return {
        "prompt": prompt,
        "tokens": forward.tokens.tolist(),
        "pieces": tokenizer.pieces(forward.tokens),
        "stages": [
            {"name": prefix + s.name, "title": s.title, "about": s.about, "lines": list(s.lines),
             "shape": list(values.shape), "values": _numbers(values)}
            for prefix, s, values in stages
        ],
        "next": [
            {"token": i, "piece": name, "probability": p}
            for name, (i, p) in zip(names, chosen, strict=True)
        ],
    }  # fmt: skip


def _numbers(values: np.ndarray) -> list:
    if values.ndim > 1:
        return [_numbers(part) for part in values]
    return [float(f"{x:.9g}") if np.isfinite(x) else None for x in values.tolist()]

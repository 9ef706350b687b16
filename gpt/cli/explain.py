"""gpt explain"""

from argparse import Namespace
from pathlib import Path

import numpy as np
from rich.text import Text

from gpt.cli import console
from gpt.cli.common import announce_compilation, check_target
from gpt.cli.console import say
from gpt.cli.numbers import surprised
from gpt.cli.stages import show_next, show_pass, view_of
from gpt.config import GPTConfig
from gpt.errors import require
from gpt.inside.figures import BEGINNINGS, draw_figures, figure_paths
from gpt.inside.forward import ForwardPass, record_pass
from gpt.inside.labels import labels
from gpt.inside.page import BEGINNING as PAGE
from gpt.inside.page import page_data, page_of
from gpt.inside.predictions import Surprise, likeliest, surprises
from gpt.inside.stages import after_layers, before_layers, of_layer
from gpt.mark import MARK
from gpt.model import GPT
from gpt.plain_json import dumps
from gpt.text.tokenizers import Tokenizer
from gpt.training.run import Run
from tinygrad_lite import write_atomically

JSON = b'{"generator"'  # how it begins


def explain_command(args: Namespace) -> None:
    run = Run.open(args.run)
    _check_files(args, run.read_setup().model)
    model, tokenizer = run.load_best()
    tokens = tokens_of(tokenizer, args.prompt)
    view = view_of(model, args)
    announce_compilation()
    if args.loss:
        _explain_loss(model, tokenizer, tokens, args)
        return
    forward = record_pass(model, tokens)
    show_pass(forward, tokenizer, args.prompt, view)
    if not args.stage:
        show_next(forward, tokenizer, args.next)
    if args.json:
        _write_json(args, as_json(forward, tokenizer, args.prompt, args.next))
    if args.html:
        data = page_data(forward, model, tokenizer, args.prompt)
        page = page_of(data, f"{args.run}: {args.prompt}")
        write_atomically(args.html, lambda path: path.write_text(page, "utf-8"))
        say(f"a page to open in a browser is {args.html}, {len(page) / 1e6:.1f} MB")
    if args.figures:
        with console.WorkBar("figures") as bar:
            drawn = draw_figures(forward, model, tokenizer, Path(args.figures), args.format, bar)
        say(f"{len(drawn)} figures are in {args.figures}: {drawn[0].name} ... {drawn[-1].name}")


def _check_files(args: Namespace, config: GPTConfig) -> None:
    """Before anything is computed: what is asked for goes together, and can be written."""
    parts = ("layer", "head", "stage", "html", "figures")
    others = [f"--{name}" for name in parts if getattr(args, name)]
    require(
        not args.loss or not others,
        "explain: --loss is about the text as a whole; it goes with --json alone.",
        f"--loss with {' and '.join(others)}",
        "two commands",
    )
    if args.json:
        check_target(Path(args.json), JSON)
    if args.html:
        check_target(Path(args.html), PAGE)
    if args.figures:
        folder = Path(args.figures)
        require(
            not folder.exists() or folder.is_dir(),
            "explain: --figures names a folder.",
            f"{args.figures}, which is a file",
            "another folder",
        )
        folder.mkdir(parents=True, exist_ok=True)
        for path in figure_paths(config, folder, args.format):
            check_target(path, BEGINNINGS[path.suffix])


def _write_json(args: Namespace, data: dict) -> None:
    text = dumps(data, ensure_ascii=False)
    write_atomically(args.json, lambda path: path.write_text(text, "utf-8"))
    say(f"all numbers are in {args.json}")


def tokens_of(tokenizer: Tokenizer, prompt: str) -> np.ndarray:
    tokens = tokenizer.encode(prompt)
    require(
        len(tokens) > 0,
        "explain: the prompt must hold at least one token.",
        repr(prompt),
        "a word, such as one of the text that the model was trained on",
    )
    return tokens


def _explain_loss(model: GPT, tokenizer: Tokenizer, tokens: np.ndarray, args: Namespace) -> None:
    found = surprises(model, tokens)
    _show_surprises(tokenizer, tokens, found)
    if args.json:
        pieces = tokenizer.pieces(tokens)
        expected = [
            {"token": s.token, "piece": piece, "probability": s.probability, "rank": s.rank,
             "bits": s.bits, "likeliest": [
                 {"token": i, "piece": tokenizer.pieces([i])[0], "probability": p}
                 for i, p in s.likeliest]}
            for piece, s in zip(pieces[1:], found, strict=True)
        ]  # fmt: skip
        first = {
            "generator": MARK,
            "prompt": args.prompt,
            "tokens": tokens.tolist(),
            "pieces": pieces,
        }
        _write_json(args, {**first, "expected": expected})


def _show_surprises(tokenizer: Tokenizer, tokens: np.ndarray, found: list[Surprise]) -> None:
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
        "generator": MARK,
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

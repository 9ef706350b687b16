"""gpt generate"""

import dataclasses
import json
import sys
import time
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gpt.cli import console
from gpt.cli.common import announce_compilation, sampling_of, tell_unknown, writing_precision
from gpt.cli.console import say
from gpt.cli.numbers import surprised
from gpt.errors import require
from gpt.inside.labels import labels
from gpt.inside.predictions import Surprise, surprise_at
from gpt.text.tokenizers import Tokenizer
from gpt.training.run import Run
from gpt.writing.sampling import generate_with_logits
from gpt.writing.stream import TextStream
from tinygrad_lite import distributed, set_num_threads

PROMPT = "bold"  # the style that sets it apart from what is written


@dataclass
class Written:
    """One text, and how each of its tokens was expected"""

    text: str = ""
    found: list[Surprise] = field(default_factory=list)


class Sample(Written):
    """One that is being written"""

    def __init__(self, stream: TextStream):
        super().__init__()
        self.stream = stream

    def add(self, text: str) -> str:
        self.text += text
        return text


def generate_command(args: Namespace) -> None:
    sampling = sampling_of(args)
    require(args.n >= 1, "generate: -n must be at least 1.", f"-n {args.n}", "-n 1")
    require(
        args.prompt is None or args.prompt_file is None,
        "generate: there is one prompt.",
        "--prompt and --prompt-file",
        "one of them",
    )
    require(
        distributed.size() == 1 or args.prompt_file != "-",
        "generate: each rank reads the prompt, and only the first has a standard input.",
        f"--prompt-file - with {distributed.size()} ranks",
        "--prompt, or a file",
    )
    if args.threads is not None:
        set_num_threads(args.threads)
    run = Run.open(args.run)
    config = run.read_setup().train
    model, tokenizer = run.load_best()
    text, prompt = _prompt(args, tokenizer)
    if args.prompt is not None or args.prompt_file:
        tell_unknown(tokenizer, "the prompt", prompt)
    size = model.config.block_size
    if len(prompt) > size:
        console.complain(f"the prompt has {len(prompt)} tokens: the model sees its last {size}")
    announce_compilation()
    end = None if args.ignore_end else tokenizer.end_of_text
    rows, weight = distributed.part(args.n)  # the samples that this rank writes
    count = rows.stop - rows.start
    samples = [Sample(TextStream(tokenizer, prompt, args.stop, end)) for _ in range(count)]
    streams = args.n == 1 and not args.json
    start, counted, first = time.perf_counter(), 0, 0.0
    if streams:
        console.write(text.lstrip("\n"), PROMPT)
    with (
        writing_precision(model, args.precision or config.precision),
        console.WritingBar(0 if streams else args.tokens) as bar,
    ):
        batch = generate_with_logits(
            model, [prompt] * count, args.tokens, sampling, args.seed + rows.start,
            not args.no_cache,
        )  # fmt: skip
        for chosen in batch:
            first = first or time.perf_counter() - start
            for sample, (token, logits) in zip(samples, chosen, strict=True):
                if sample.stream.done:
                    continue
                counted += 1
                shown = sample.add(sample.stream.feed(token))
                if args.why or args.json:
                    sample.found.append(surprise_at(logits, token))
                if streams:
                    _show(shown, sample.found[-1] if args.why else None)
            bar.advance()
            if all(sample.stream.done for sample in samples):
                break
    rest = [sample.add(sample.stream.finish()) for sample in samples]
    written = _gathered(samples if weight else [])
    counted = int(distributed.all_reduce(np.array([counted if weight else 0])).item())
    if args.json:
        console.show_json(_as_json(written, text, tokenizer, args))
        return
    if streams:
        _show(rest[0], None)
        say()
    for i, one in enumerate(written):
        if args.n > 1:
            say(f"--- sample {i + 1} of {args.n}, seed {args.seed + i}", "dim")
            whole = (text + one.text).strip("\n")
            begins = text.strip("\n") if whole.startswith(text.strip("\n")) else ""
            console.write(begins, PROMPT)
            console.write(whole[len(begins) :])
            say()
        if args.why:
            _show_why(one, tokenizer)
    took = time.perf_counter() - start - first
    if counted > args.n and took > 0:
        rate = (counted - args.n) / took
        console.complain(f"{rate:,.0f} tokens/s after {1000 * first:.0f} ms to the first")


def _gathered(samples: list[Sample]) -> list[Written]:
    """Those of all ranks, in their order"""
    if distributed.size() == 1:
        return [*samples]
    own = json.dumps([[s.text, [dataclasses.astuple(f) for f in s.found]] for s in samples])
    each = [one for said in distributed.told(own) for one in json.loads(said)]
    return [Written(text, [_as_it_was(*numbers) for numbers in found]) for text, found in each]


def _as_it_was(token: int, probability: float, rank: int, likeliest: list[list]) -> Surprise:
    return Surprise(token, probability, rank, [(i, p) for i, p in likeliest])


def _show(text: str, found: Surprise | None) -> None:
    """Text as it comes; on a background that says how likely it was, where that is asked for"""
    if found is not None and console.is_live():
        console.console.print(surprised(text, found.bits), end="")
    else:
        console.write(text)


def _show_why(sample: Written, tokenizer: Tokenizer) -> None:
    """Each token with its probability, its rank, and the likeliest of those that it was chosen
    from: for temperature 1 and all tokens, as the model predicts"""
    rows = []
    for found in sample.found:
        others = [(i, p) for i, p in found.likeliest if i != found.token]
        names = labels(tokenizer, [i for i, _ in others])
        beaten = "  ".join(f"{n} {p:.3f}" for n, (_, p) in zip(names, others, strict=True))
        name = labels(tokenizer, [found.token])[0]
        rows.append([name, f"{found.probability:.4f}", f"{found.rank}", beaten])
    say()
    console.table(("token", "probability", "rank", "instead of"), rows)


def _as_json(samples: list[Written], prompt: str, tokenizer: Tokenizer, args: Namespace) -> dict:
    def entry(i: int, p: float) -> dict:
        logprob = float(np.log(p)) if p > 0 else None
        return {"id": i, "piece": tokenizer.pieces([i])[0], "logprob": logprob}

    return {
        "prompt": prompt,
        "samples": [
            {
                "seed": args.seed + number,
                "text": sample.text,
                "tokens": [
                    {**entry(f.token, f.probability), "rank": f.rank,
                     "alternatives": [entry(i, p) for i, p in f.likeliest if i != f.token]}
                    for f in sample.found
                ],
            }
            for number, sample in enumerate(samples)
        ],
    }  # fmt: skip


def _prompt(args: Namespace, tokenizer: Tokenizer) -> tuple[str, np.ndarray]:
    """The text to continue, and its tokens"""
    text = args.prompt
    if args.prompt_file == "-":
        text = sys.stdin.read()
    elif args.prompt_file:
        try:
            text = Path(args.prompt_file).read_text("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"generate: a prompt is text in UTF-8.\n  got {args.prompt_file}: {error.reason}\n"
                "  try iconv -f latin1 -t utf-8"
            ) from error
    if text is None:  # what a text usually begins with
        if tokenizer.end_of_text is not None:
            return "", np.array([tokenizer.end_of_text])
        try:
            return "\n", tokenizer.encode("\n")
        except ValueError:  # the model's text has a single line
            return tokenizer.decode([0]), np.array([0])
    ids = tokenizer.encode(text) if text else np.array([])
    require(
        len(ids) > 0,
        "generate: the prompt must hold at least one token.",
        "an empty prompt",
        "--prompt with some text, or none to begin anew",
    )
    return text, ids

"""gpt generate"""

import sys
import time
from argparse import Namespace
from pathlib import Path

import numpy as np

from gpt.cli import console
from gpt.cli.common import announce_compilation
from gpt.cli.console import say
from gpt.errors import require
from gpt.text.tokenizers import Tokenizer
from gpt.training.run import Run
from gpt.writing.sampling import Sampling, generate_batch
from gpt.writing.stream import TextStream
from tinygrad_lite import get_precision, precision, set_num_threads


def generate_command(args: Namespace) -> None:
    sampling = Sampling(
        args.repetition_penalty, args.temperature, args.top_k, args.top_p, args.min_p
    )
    require(
        args.seed >= 0,
        "generate: the seed must not be negative.",
        f"--seed {args.seed}",
        "--seed 0",
    )
    require(args.n >= 1, "generate: -n must be at least 1.", f"-n {args.n}", "-n 1")
    require(
        args.tokens >= 0,
        "generate: --tokens must not be negative.",
        f"{args.tokens}",
        "--tokens 200",
    )
    if args.threads is not None:
        set_num_threads(args.threads)
    run = Run.open(args.run)
    _, config, *_ = run.read_setup()
    model, tokenizer = run.load_best()
    text, prompt = _prompt(args, tokenizer)
    size = model.config.block_size
    if len(prompt) > size:
        console.complain(f"the prompt has {len(prompt)} tokens: the model sees its last {size}")
    announce_compilation()
    end = None if args.ignore_end else tokenizer.end_of_text
    streams = [TextStream(tokenizer, prompt, args.stop, end) for _ in range(args.n)]
    texts = [""] * args.n
    start, counted, first = time.perf_counter(), 0, 0.0
    if args.n == 1:
        console.write(text.lstrip("\n"))
    with precision(args.precision or config.precision):
        if get_precision() == "bfloat16":  # what is read for each token is half as much
            model.bfloat16()
        batch = generate_batch(
            model, [prompt] * args.n, args.tokens, sampling, args.seed, not args.no_cache
        )
        for tokens in batch:
            first = first or time.perf_counter() - start
            for i, (stream, token) in enumerate(zip(streams, tokens, strict=True)):
                counted += not stream.done
                texts[i] += _show(stream.feed(token), args.n)
            if all(stream.done for stream in streams):
                break
    for i, stream in enumerate(streams):
        texts[i] += _show(stream.finish(), args.n)
        if args.n > 1:
            say(f"--- sample {i + 1} of {args.n}, seed {args.seed + i}", "dim")
            console.write((text + texts[i]).strip("\n"))
            say()
    if args.n == 1:
        say()
    rest = time.perf_counter() - start - first
    if counted > args.n and rest > 0:
        rate = (counted - args.n) / rest
        console.complain(f"{rate:,.0f} tokens/s after {1000 * first:.0f} ms to the first")


def _show(text: str, samples: int) -> str:
    if samples == 1:
        console.write(text)
    return text


def _prompt(args: Namespace, tokenizer: Tokenizer) -> tuple[str, np.ndarray]:
    """The text to continue, and its tokens"""
    text = args.prompt
    if args.prompt_file == "-":
        text = sys.stdin.read()
    elif args.prompt_file:
        text = Path(args.prompt_file).read_text("utf-8")
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

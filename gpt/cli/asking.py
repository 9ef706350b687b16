"""A loop of questions in the terminal, and text that a model writes in answer."""

import contextlib
import importlib
from argparse import Namespace
from collections.abc import Iterator

import numpy as np

from gpt.cli import console
from gpt.cli.common import sampling_of
from gpt.cli.console import say
from gpt.model import GPT
from gpt.text.tokenizers import Tokenizer
from gpt.writing.sampling import generate
from gpt.writing.stream import TextStream

QUITS = ("quit", "exit")


def questions(question: str) -> Iterator[str]:
    """Lines that the user enters, with history and editing, until 'quit' or '/quit', the end of
    input or Ctrl-C"""
    with contextlib.suppress(ImportError):  # not on every system
        importlib.import_module("readline")  # input() edits lines once it is imported
    while True:
        try:
            line = input(question)
        except (EOFError, KeyboardInterrupt):
            say()
            return
        if line.strip().lower().removeprefix("/") in QUITS:
            return
        yield line


def write_on(
    model: GPT, tokenizer: Tokenizer, tokens: np.ndarray, args: Namespace, seed: int
) -> str:
    """Show what the model writes after `tokens`, as it comes; Ctrl-C ends it. Returns the text."""
    stream = TextStream(tokenizer, tokens, args.stop, tokenizer.end_of_text)
    text = ""
    try:
        for token in generate(model, tokens, args.tokens, sampling_of(args), seed):
            text += _shown(stream.feed(token))
            if stream.done:
                break
        text += _shown(stream.finish())
    except KeyboardInterrupt:
        say("  (stopped)", "dim")
    return text


def _shown(text: str) -> str:
    console.write(text, "cyan")
    return text

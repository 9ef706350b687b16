"""gpt chat"""

from argparse import Namespace

import numpy as np

from gpt.cli import console
from gpt.cli.asking import questions, write_on
from gpt.cli.common import announce_compilation, sampling_of, writing_precision
from gpt.cli.console import say
from gpt.model import GPT
from gpt.text.tokenizers import Tokenizer
from gpt.training.run import Run


def chat_command(args: Namespace) -> None:
    """What you enter and what the model writes are one text, which each goes on with."""
    sampling_of(args)  # a mistake shows before the first question
    run = Run.open(args.run)
    config = run.read_setup().train
    model, tokenizer = run.load_best()
    announce_compilation()
    with writing_precision(model, config.precision):
        _talk(model, tokenizer, args)


def _talk(model: GPT, tokenizer: Tokenizer, args: Namespace) -> None:
    characters = tokenizer.kind == "characters"
    known = tokenizer.pieces(range(tokenizer.vocab_size)) if characters else ["\n"]
    line_end = next((end for end in ("\n", " ") if end in known), "")
    told = np.empty(0, np.int64)
    for number, line in enumerate(questions("> ")):
        try:
            told = np.concatenate([told, tokenizer.encode(line + line_end)])
        except ValueError as error:
            console.complain(str(error))
            continue
        if not len(told):
            continue
        written = write_on(model, tokenizer, told, args, args.seed + number)
        told = np.concatenate([told, tokenizer.encode(written)])
        say()

"""gpt ask"""

from argparse import Namespace
from dataclasses import replace

import numpy as np

from gpt.cli import console
from gpt.cli.asking import questions, write_on
from gpt.cli.common import announce_compilation, sampling_of
from gpt.cli.console import say
from gpt.cli.stages import View, heading, show_pass, view_of
from gpt.inside.forward import record_pass
from gpt.inside.labels import labels
from gpt.inside.predictions import likeliest
from gpt.model import GPT
from gpt.text.tokenizers import Tokenizer
from gpt.training.run import Run

STAGES = ("tokens", "token_embedding", "position_embedding", "embedding", "weights", "output")


def ask_command(args: Namespace) -> None:
    sampling_of(args)  # a mistake shows before the first question
    model, tokenizer = Run.open(args.run).load_best()
    view = view_of(model, args)
    view = replace(view, stages=view.stages or STAGES, code=False)
    announce_compilation()
    asked: np.ndarray | None = None  # the last prompt, and what was written after it
    for number, prompt in enumerate(questions("Ask a prompt (or 'quit'): ")):
        if not prompt and asked is not None:
            console.write(tokenizer.decode(asked))
            written = write_on(model, tokenizer, asked, args, args.seed + number)
            asked = np.concatenate([asked, tokenizer.encode(written)])
            say()
            continue
        try:
            asked = _answer(model, tokenizer, prompt, view, args.next)
        except ValueError as error:  # a mistake ends the answer, not the conversation
            console.complain(str(error))


def _answer(model: GPT, tokenizer: Tokenizer, prompt: str, view: View, count: int) -> np.ndarray:
    tokens = tokenizer.encode(prompt)
    size = model.config.block_size
    if len(tokens) > size:
        say(f"the prompt has {len(tokens)} tokens: the model sees its last {size}", "yellow")
        prompt = tokenizer.decode(tokens[-size:])
    forward = record_pass(model, tokens[-size:])
    show_pass(forward, tokenizer, prompt, view)
    chosen = likeliest(forward["probabilities"][-1], count)
    names = labels(tokenizer, [i for i, _ in chosen])
    heading("OUTPUT HEAD", f"the {len(chosen)} likeliest of {model.config.vocab_size}")
    rows = [[name, str(i), f"{p:.4f}"] for name, (i, p) in zip(names, chosen, strict=True)]
    console.table(("token", "id", "probability"), rows)
    say()
    say(f"Predicted next token: {names[0]}", "bold")
    say("Enter alone lets the model go on writing.", "dim")
    return tokens

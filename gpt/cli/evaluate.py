"""gpt eval"""

import math
from argparse import Namespace

import numpy as np

from gpt.cli import console
from gpt.cli.common import (
    announce_compilation,
    corpus_of,
    find_corpus,
    measured_tokens,
    split_tokens,
)
from gpt.cli.console import number, say
from gpt.errors import require
from gpt.text.counts import bigram_loss, unigram_loss
from gpt.text.tokenizers import Tokenizer
from gpt.training.evaluate import bits, evaluate
from gpt.training.run import Run
from tinygrad_lite import precision


def eval_command(args: Namespace) -> None:
    run = Run.open(args.run)
    _, config, *_ = run.read_setup()
    names, corpus = corpus_of(run, args)
    model, tokenizer = run.load_best()
    training, validation, text = measured_tokens(corpus, tokenizer, config.validation, args)
    if args.corpus:  # what is counted is the run's own, if it is there
        training = _training_tokens(run, tokenizer)
    require(
        len(validation) > 1,
        "eval: there must be a token to predict.",
        f"{len(validation)} tokens",
        "a longer text",
    )
    announce_compilation()
    with precision(config.precision):
        val_loss = evaluate(model, validation)
        train_loss = evaluate(model, training, len(validation) - 1) if len(training) > 1 else None
    count, size = len(validation) - 1, tokenizer.vocab_size
    counted = len(training) > 1
    result = {
        "val_loss": val_loss,
        "bits_per_token": bits(val_loss),
        "bits_per_char": bits(val_loss * count) / len(text),
        "bits_per_byte": bits(val_loss * count) / len(text.encode()),
        "train_loss": train_loss,
        "uniform_loss": math.log(size),
        "unigram_loss": unigram_loss(training, validation, size) if counted else None,
        "bigram_loss": bigram_loss(training, validation, size) if counted else None,
        "parameters": sum(p.size for p in model.parameters()),
        "val_tokens": count,
        "corpus": names,
    }
    if args.json:
        console.show_json(result)
        return
    what = "text" if args.corpus else "validation text"
    if not args.corpus and config.validation == 0:
        what = "the text that it was trained on"
    say(f"cross-entropy in nats of {number(count)} {console.unit(tokenizer)}s of {what}")
    for name, key in (*COMPARED, ("the model", "val_loss"),
                      ("the model on training text", "train_loss")):  # fmt: skip
        if result[key] is not None:
            say(f"  {name:<30} {result[key]:.4f}", "bold" if key == "val_loss" else None)
    say(
        f"{result['bits_per_char']:.3f} bits per character,"
        f" {result['bits_per_byte']:.3f} bits per byte; {number(result['parameters'])} parameters"
    )
    say(_conclusion(result, bool(args.corpus)))


def _training_tokens(run: Run, tokenizer: Tokenizer) -> np.ndarray:
    """Of the run's own corpus; none where that is not there any more"""
    _, config, _, names = run.read_setup()
    if not names or "-" in names:
        return np.empty(0, np.int64)
    try:
        return split_tokens(find_corpus(names)[1], tokenizer, config.validation)[0]
    except (ValueError, OSError):
        return np.empty(0, np.int64)


def _conclusion(result: dict, foreign: bool) -> str:
    """In a few words: what the model is better than; foreign: on another text than its own"""
    known = [(name, result[key]) for name, key in COMPARED if result[key] is not None]
    worse = [name for name, loss in known if result["val_loss"] >= loss]
    if worse and foreign:
        return f"worse than {SAID[worse[-1]]}: this text is unlike the one it was trained on"
    if worse:
        return f"worse than {SAID[worse[-1]]}: more steps, or a higher --lr, may help"
    said = f"better than {SAID[min(known, key=lambda one: one[1])[0]]}"
    train = result["train_loss"]
    if train is not None and result["val_loss"] > train + 0.5:
        said += f"; it knows its training text {result['val_loss'] - train:.2f} nats better"
    return said


COMPARED = (
    ("a uniform guess, ln V", "uniform_loss"),
    ("how often each occurs", "unigram_loss"),
    ("what followed the one before", "bigram_loss"),
)
SAID = dict(
    zip(
        (name for name, _ in COMPARED),
        ("guessing", "counting tokens", "counting pairs of tokens"),
        strict=True,
    )
)

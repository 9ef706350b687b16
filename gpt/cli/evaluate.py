"""gpt eval"""

import math
from argparse import Namespace

import numpy as np

from gpt.cli import console
from gpt.cli.common import announce_compilation, has_corpus, measured_tokens, own_tokens
from gpt.cli.console import number, say
from gpt.errors import require
from gpt.inside.probes import COMPRESSED
from gpt.text.counts import gzip_loss, ngram_losses
from gpt.text.tokens import TokenIds
from gpt.training.evaluate import bits, evaluate
from gpt.training.run import Run
from tinygrad_lite import precision


def eval_command(args: Namespace) -> None:
    run = Run.open(args.run)
    model, tokenizer = run.load_best()
    config = run.read_setup().train
    names, tokens = measured_tokens(run, args)
    validation = tokens.validation
    require(
        len(validation) > 1,
        "eval: there must be a token to predict.",
        f"{len(validation)} tokens",
        "a longer text",
    )
    # What is counted is the run's own, if it is there
    training = _training_tokens(run) if args.corpus else tokens.training
    announce_compilation()
    with precision(config.precision):
        val_loss = evaluate(model, validation)
        train_loss = evaluate(model, training, len(validation) - 1) if len(training) > 1 else None
    count, size = len(validation) - 1, tokenizer.vocab_size
    counts = ngram_losses(training, validation, size) if len(training) > 1 else [None] * 3
    text = tokenizer.decode(validation[1:COMPRESSED])
    result = {
        "val_loss": val_loss,
        "bits_per_token": bits(val_loss),
        "bits_per_char": bits(val_loss * count) / max(tokens.characters, 1),
        "bits_per_byte": bits(val_loss * count) / max(tokens.bytes, 1),
        "train_loss": train_loss,
        "uniform_loss": math.log(size),
        "unigram_loss": counts[0],
        "bigram_loss": counts[1],
        "trigram_loss": counts[2],
        "gzip_loss": gzip_loss(text, min(count, COMPRESSED - 1)),
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


def _training_tokens(run: Run) -> TokenIds:
    """Of the run's own corpus; none where that is not there any more"""
    none = np.empty(0, np.int64)
    try:
        return own_tokens(run).training if has_corpus(run) else none
    except (ValueError, OSError):
        return none


def _conclusion(result: dict, foreign: bool) -> str:
    """In a few words: what the model is better than; foreign: on another text than its own"""
    known = [(name, result[key]) for name, key in COMPARED if result[key] is not None]
    known = [one for one in known if one[1] <= result["uniform_loss"]]  # gzip of a few words
    worse = sorted((one for one in known if result["val_loss"] >= one[1]), key=lambda one: one[1])
    train = result["train_loss"]
    if worse and foreign and train is not None and result["val_loss"] > train + UNLIKE:
        return f"worse than {SAID[worse[-1][0]]}: this text is unlike the one it was trained on"
    if worse:
        return f"worse than {SAID[worse[-1][0]]}: more steps, or a higher --lr, may help"
    said = f"better than {SAID[min(known, key=lambda one: one[1])[0]]}"
    if train is not None and result["val_loss"] > train + 0.5:
        said += f"; it knows its training text {result['val_loss'] - train:.2f} nats better"
    return said


UNLIKE = 0.3  # nats above the loss on training text
COMPARED = (
    ("a uniform guess, ln V", "uniform_loss"),
    ("how often each occurs", "unigram_loss"),
    ("what followed the one before", "bigram_loss"),
    ("what followed the two before", "trigram_loss"),
    ("gzip -9 of the same text", "gzip_loss"),
)
NAMES = ("guessing", "counting tokens", "counting pairs of tokens", "counting triples of tokens",
         "gzip")  # fmt: skip
SAID = dict(zip((name for name, _ in COMPARED), NAMES, strict=True))

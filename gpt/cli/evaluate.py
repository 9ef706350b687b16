"""gpt eval"""

import contextlib
from argparse import Namespace

import numpy as np

from gpt.cli import console
from gpt.cli.common import (
    announce_compilation,
    has_corpus,
    measured_tokens,
    own_tokens,
    tell_unknown,
    writing_precision,
)
from gpt.cli.console import number, say
from gpt.errors import require
from gpt.text.counts import SAID, levels, standing
from gpt.text.tokens import TokenIds
from gpt.training.evaluate import bits, evaluate
from gpt.training.run import Run
from tinygrad_lite import precision

UNLIKE = 0.3  # nats above the loss on training text
KEYS = ("uniform_loss", "unigram_loss", "bigram_loss", "trigram_loss", "gzip_loss")  # as in SAID


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
    tell_unknown(tokenizer, "the text", validation)
    # What is counted is the run's own, if it is there
    training = _training_tokens(run) if args.corpus else tokens.training
    announce_compilation()
    parameters = sum(p.size for p in model.parameters())
    with contextlib.ExitStack() as held:
        if args.precision:
            held.enter_context(writing_precision(model, args.precision))
        else:
            held.enter_context(precision(config.precision))
        val_loss = evaluate(model, validation, over_ranks=True)
        train_loss = (
            evaluate(model, training, len(validation) - 1, over_ranks=True)
            if len(training) > 1
            else None
        )
    count, compared = len(validation) - 1, levels(tokenizer, training, validation)
    result = {
        "val_loss": val_loss,
        "bits_per_token": bits(val_loss),
        "bits_per_char": bits(val_loss * count) / max(tokens.characters, 1),
        "bits_per_byte": bits(val_loss * count) / max(tokens.bytes, 1),
        "train_loss": train_loss,
        **{key: compared.get(name) for key, name in zip(KEYS, SAID, strict=True)},
        "parameters": parameters,
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
    for name, loss in (*compared.items(), ("the model", val_loss),
                       ("the model on training text", train_loss)):  # fmt: skip
        if loss is not None:
            say(f"  {name:<30} {round(loss, 4) + 0.0:.4f}", "bold" if name == "the model" else None)
    say(
        f"{result['bits_per_char']:.3f} bits per character,"
        f" {result['bits_per_byte']:.3f} bits per byte; {number(result['parameters'])} parameters"
    )
    say(_conclusion(val_loss, train_loss, compared, bool(args.corpus)))


def _training_tokens(run: Run) -> TokenIds:
    """Of the run's own corpus; none where that is not there any more"""
    none = np.empty(0, np.int64)
    try:
        return own_tokens(run).training if has_corpus(run) else none
    except (ValueError, OSError):
        return none


def _conclusion(
    val_loss: float, train_loss: float | None, compared: dict[str, float], foreign: bool
) -> str:
    """What the model is better than, and what may help; foreign: on another text than its own"""
    said, best = standing(val_loss, compared)
    worse = 0.0 if train_loss is None else val_loss - train_loss
    if not best and foreign and worse > UNLIKE:
        return f"{said}: this text is unlike the one it was trained on"
    if worse > 0.5:
        return f"{said}; it knows its training text {worse:.2f} nats better"
    return said if best else f"{said}: more steps, or a higher --lr, may help"

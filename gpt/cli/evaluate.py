"""gpt eval"""

import json
import math
from argparse import Namespace

from gpt.cli import console
from gpt.cli.common import announce_compilation, corpus_of, split_tokens
from gpt.cli.console import number, say
from gpt.text.counts import bigram_loss, unigram_loss
from gpt.training.evaluate import bits, evaluate
from gpt.training.loop import check_lengths
from gpt.training.run import Run
from tinygrad_lite import precision


def eval_command(args: Namespace) -> None:
    run = Run.open(args.run)
    _, config, *_ = run.read_setup()
    names, corpus = corpus_of(run, args)
    model, tokenizer = run.load_best()
    training, validation, text = split_tokens(corpus, tokenizer, config.validation)
    check_lengths(training, validation[1:], 1)
    announce_compilation()
    with precision(config.precision):
        val_loss = evaluate(model, validation)
        train_loss = evaluate(model, training, most=len(validation) - 1)
    count = len(validation) - 1
    result = {
        "val_loss": val_loss,
        "bits_per_token": bits(val_loss),
        "bits_per_char": bits(val_loss * count) / len(text),
        "bits_per_byte": bits(val_loss * count) / len(text.encode()),
        "train_loss": train_loss,
        "uniform_loss": math.log(tokenizer.vocab_size),
        "unigram_loss": unigram_loss(training, validation, tokenizer.vocab_size),
        "bigram_loss": bigram_loss(training, validation, tokenizer.vocab_size),
        "parameters": sum(p.size for p in model.parameters()),
        "val_tokens": count,
        "corpus": names,
    }
    if args.json:
        console.console.out(json.dumps(result), highlight=False)
        return
    say(f"cross-entropy in nats of {number(count)} {console.unit(tokenizer)}s of validation text")
    for name, key in (
        ("a uniform guess, ln V", "uniform_loss"),
        ("how often each occurs", "unigram_loss"),
        ("what followed the one before", "bigram_loss"),
        ("the model", "val_loss"),
    ):
        say(f"  {name:<30} {result[key]:.4f}", "bold" if key == "val_loss" else None)
    say(f"  {'the model on training text':<30} {train_loss:.4f}")
    say(
        f"{result['bits_per_char']:.3f} bits per character,"
        f" {result['bits_per_byte']:.3f} bits per byte; {number(result['parameters'])} parameters"
    )

"""gpt eval, gpt plot, gpt tokenize: look at a model, a run, a text"""

import json
import math
from argparse import Namespace
from pathlib import Path

from gpt import console
from gpt.commands.common import announce_compilation, find_corpus, split_tokens
from gpt.config import PRESETS
from gpt.console import number, say
from gpt.corpus import gpt2_folder
from gpt.errors import require
from gpt.evaluate import bigram_loss, bits, evaluate, unigram_loss
from gpt.plot import plot_loss
from gpt.run import Run
from gpt.tokenizers import Tokenizer, tokenizer_from_files
from gpt.train import check_lengths
from tinygrad_lite import precision


def eval_command(args: Namespace) -> None:
    run = Run.open(args.run)
    _, config, _, names = run.read_setup()
    require(
        bool(args.corpus) or (bool(names) and "-" not in names),
        "eval: the text that a run read from standard input, or elsewhere, is not kept.",
        f"{args.run} without CORPUS",
        f"gpt eval {args.run} FILE",
    )
    model, tokenizer = run.load_best()
    names, corpus = find_corpus(args.corpus or names)
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


def plot_command(args: Namespace) -> None:
    run = Run.open(args.run)
    model_config, *_ = run.read_setup()
    path = Path(args.out) if args.out else run.folder / "loss.png"
    plot_loss(run.log, path, model_config.vocab_size)
    say(f"the loss of {args.run} is drawn in {path}")


def tokenize_command(args: Namespace) -> None:
    tokenizer = _tokenizer(args.tokenizer)
    ids = [int(i) for i in tokenizer.encode(args.text)]
    pieces = tokenizer.pieces(ids)
    if args.json:
        console.console.out(json.dumps({"ids": ids, "tokens": pieces}), highlight=False)
        return
    console.tokens(ids, pieces)
    say(
        f"{len(ids)} tokens, {len(args.text)} characters, {len(args.text.encode())} bytes;"
        f" vocabulary {number(tokenizer.vocab_size)}"
    )


def _tokenizer(name: str) -> Tokenizer:
    """Of a run, GPT-2's, or of files"""
    if name == "gpt2":
        return tokenizer_from_files(gpt2_folder())
    if (Path(name) / "config.json").is_file():
        return Run.open(name).read_setup()[2]
    require(
        Path(name).exists(),
        "tokenize: the first argument is a run's folder, gpt2, or tokenizer files.",
        f"{name!r}, which does not exist",
        "gpt2, or the folder of a run"
        if name not in PRESETS
        else f"gpt train --preset {name} first",
    )
    return tokenizer_from_files(name)

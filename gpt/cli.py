"""The command `gpt`: the only place, with console.py, that prints.

Exit status: 0 done, 1 the loss became infinite or not a number, 2 a mistake in what was asked,
130 interrupted.
"""

import dataclasses
import json
import math
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gpt import console
from gpt.arguments import UsageError, parse
from gpt.config import GPTConfig, TrainConfig, preset, require
from gpt.console import say
from gpt.corpus import Corpus, default_corpus, load_corpus, located
from gpt.evaluate import bits_per_token, evaluate
from gpt.generate import check_sampling, generate
from gpt.measure import measure
from gpt.plot import plot_loss
from gpt.run import Run
from gpt.tokenizers import CharTokenizer
from gpt.train import NonFiniteError, StepRecord, TrainState, check_lengths, train
from tinygrad_lite import on_compile, precision, set_num_threads

SAMPLE_SEED = 42


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit with its status."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    try:
        args = parse(argv)
        commands = {"train": _train, "generate": _generate, "eval": _eval, "plot": _plot}
        with np.errstate(all="ignore"):  # what is not finite is found, named and reported
            commands[args.command](args)
    except NonFiniteError as error:
        console.complain(str(error))
        return 1
    except KeyboardInterrupt:
        console.complain("interrupted: the last checkpoint is kept; gpt train --resume goes on")
        return 130
    except (UsageError, ValueError, OSError) as error:
        console.complain(str(error))
        return 2
    return 0


def _announce_compilation() -> None:
    said: list[bool] = []

    def once() -> None:
        if not said:
            said.append(True)
            console.complain("compiling kernels, once on this machine: a quarter of a minute ...")

    on_compile(once)


def _corpus(names: Sequence[str]) -> tuple[list[str], Corpus]:
    """The names of the corpus that will be used, and the corpus"""
    bar = console.DownloadBar()
    try:
        if names:
            return [located(name) for name in names], load_corpus(names, bar)
        corpus, wanted = default_corpus(bar)
    finally:
        bar.close()
    if not wanted:
        console.complain(
            "training on the sample text that ships with gpt, because tiny Shakespeare cannot be"
            " reached;\n  gpt train shakespeare says why, and how to get it"
        )
    return [corpus.name], corpus


def _tokens(corpus: Corpus, tokenizer: CharTokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Training tokens, and validation tokens with the one before them as context"""
    training, _ = corpus.splits
    ids = tokenizer.encode(corpus.text)
    return ids[: len(training)], ids[max(0, len(training) - 1) :]


def _train(args: Namespace) -> None:
    start = time.perf_counter()
    _announce_compilation()
    if args.threads is not None:
        set_num_threads(args.threads)
    if args.resume is not None:
        require(
            not args.corpus,
            "train: a resumed run keeps its corpus.",
            f"--resume with CORPUS {' '.join(args.corpus)}",
            f"gpt train --resume {args.resume}",
        )
        folder = Run.open(args.resume)
        model_config, config, tokenizer, names = folder.read_setup()
        require(
            "-" not in names,
            "train: a run on standard input cannot be resumed.",
            f"--resume {args.resume}",
            "a run on a file",
        )
        names, corpus = _corpus(names)
        config = dataclasses.replace(config, **_given(args, TrainConfig))
    else:
        chosen = preset(args.preset)
        names, corpus = _corpus(args.corpus)
        tokenizer = CharTokenizer(corpus.text)
        model_options = {**chosen.model, **_given(args, GPTConfig)}
        model_config = GPTConfig(vocab_size=tokenizer.vocab_size, **model_options)
        config = TrainConfig(**{**chosen.train, **_given(args, TrainConfig)})
    training, validation = _tokens(corpus, tokenizer)
    check_lengths(training, validation[1:], model_config.block_size)
    require(
        args.sample_tokens >= 0,
        "train: --sample-tokens must not be negative.",
        f"{args.sample_tokens}",
        "--sample-tokens 160",
    )
    if args.resume is None:
        folder = Run.create(args.out or Path("runs") / (args.name or corpus.name), args.force)
    seconds, peak_mb = measure(model_config, config, training)
    state = TrainState(model_config, config)
    if args.resume is not None:
        folder.load_last(state)
        folder.rewind_log(state.step)
    else:
        folder.write_setup(model_config, config, tokenizer, names)
    left = config.steps - state.step
    parameters = sum(p.size for p in state.model.parameters())
    counts = (len(training), len(validation) - 1)
    console.card(
        console.card_rows(
            model_config,
            config,
            args.name or corpus.name,
            parameters,
            counts,
            seconds * left,
            peak_mb,
        )
    )
    with console.TrainingLine(config.steps, state.step) as line:
        for record in train(state, training, validation):
            folder.append(record)
            if isinstance(record, StepRecord):
                line.step(record)
                continue
            sample = _sample(state, tokenizer, args.sample_tokens)
            folder.add_sample(record.step, sample)
            if record.best:
                folder.save_best(state)
            folder.save_last(state)
            line.evaluation(record, sample)
    bits = bits_per_token(state.best_loss)
    say(
        f"best validation loss {state.best_loss:.4f} after step {state.best_step}:"
        f" {bits:.3f} bits per character"
    )
    say(f"{console.duration(time.perf_counter() - start)} in all; everything is in {folder.folder}")
    say(f"next: gpt generate {folder.folder}, or gpt plot {folder.folder}")


def _given(args: Namespace, config: type) -> dict:
    """The options of a configuration that were given on the command line"""
    names = (f.name for f in dataclasses.fields(config) if f.name != "vocab_size")
    return {n: getattr(args, n) for n in names if getattr(args, n) is not None}


def _sample(state: TrainState, tokenizer: CharTokenizer, tokens: int) -> str:
    """Text from a fixed prompt and seed: the same run gives the same sample"""
    prompt = "\n" if "\n" in tokenizer.characters else tokenizer.characters[0]
    ids = generate(state.model, tokenizer.encode(prompt), tokens, 0.8, None, SAMPLE_SEED)
    return tokenizer.decode(ids)


def _generate(args: Namespace) -> None:
    check_sampling(args.tokens, args.temperature, args.top_k)
    require(
        args.seed >= 0,
        "generate: the seed must not be negative.",
        f"--seed {args.seed}",
        "--seed 0",
    )
    folder = Run.open(args.run)
    _, config, *_ = folder.read_setup()
    model, tokenizer = folder.load_best()
    require(
        bool(args.prompt),
        "generate: the prompt must hold at least one character.",
        "an empty prompt",
        "--prompt, or none for a new line",
    )
    prompt = tokenizer.encode(args.prompt)
    size = model.config.block_size
    if len(prompt) > size:
        console.complain(f"the prompt has {len(prompt)} tokens: the model sees its last {size}")
    _announce_compilation()
    console.console.out(args.prompt.lstrip("\n"), end="", highlight=False)
    with precision(config.precision):
        for token in generate(model, prompt, args.tokens, args.temperature, args.top_k, args.seed):
            console.console.out(tokenizer.decode([token]), end="", highlight=False)
            console.flush()
    say()


def _eval(args: Namespace) -> None:
    folder = Run.open(args.run)
    _, config, _, names = folder.read_setup()
    require(
        bool(args.corpus) or "-" not in names,
        "eval: the text that a run read from standard input is not kept.",
        f"{args.run} without CORPUS",
        f"gpt eval {args.run} FILE",
    )
    model, tokenizer = folder.load_best()
    names, corpus = _corpus(args.corpus or names)
    training, validation = _tokens(corpus, tokenizer)
    check_lengths(training, validation[1:], 1)
    _announce_compilation()
    with precision(config.precision):
        val_loss = evaluate(model, validation)
        train_loss = evaluate(model, training, most=len(validation) - 1)
    result = {
        "val_loss": val_loss,
        "bits_per_char": bits_per_token(val_loss),
        "train_loss": train_loss,
        "uniform_loss": math.log(tokenizer.vocab_size),
        "parameters": sum(p.size for p in model.parameters()),
        "val_tokens": len(validation) - 1,
        "corpus": names,
    }
    if args.json:
        console.console.out(json.dumps(result), highlight=False)
        return
    say(
        f"validation loss {val_loss:.4f} over {result['val_tokens']:,} characters,"
        f" {result['bits_per_char']:.3f} bits per character"
    )
    say(f"training loss {result['train_loss']:.4f}, a uniform guess {result['uniform_loss']:.4f}")
    say(f"{result['parameters']:,} parameters")


def _plot(args: Namespace) -> None:
    folder = Run.open(args.run)
    model_config, *_ = folder.read_setup()
    path = Path(args.out) if args.out else folder.folder / "loss.png"
    plot_loss(folder.log, path, model_config.vocab_size)
    say(f"the loss of {args.run} is drawn in {path}")

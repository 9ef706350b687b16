"""What several commands do: find a corpus, turn it into tokens, say that kernels are compiled."""

import contextlib
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gpt.cli import console
from gpt.errors import require
from gpt.model import GPT
from gpt.text.corpus import Corpus, default_corpus, load_corpus, located
from gpt.text.tokenizers import Tokenizer
from gpt.training.run import Run
from gpt.writing.sampling import Sampling
from tinygrad_lite import get_precision, on_compile, precision


def announce_compilation() -> None:
    said: list[bool] = []

    def once() -> None:
        if not said:
            said.append(True)
            console.complain("compiling kernels, once on this machine: a quarter of a minute ...")

    on_compile(once)


def find_corpus(names: Sequence[str]) -> tuple[list[str], Corpus]:
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


def check_target(path: Path, beginning: bytes) -> None:
    """Before anything is computed: a file can be written there, and what it replaces, if anything,
    is one that this command has written: it begins like one."""
    require(
        path.parent.is_dir() and not path.is_dir(),
        "a file is written into a folder that is there.",
        f"{path}",
        f"mkdir -p {path.parent}" if not path.is_dir() else "the name of a file in it",
    )
    if path.exists() or path.is_symlink():
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    if file.read(len(beginning)) == beginning:
                        return
        raise ValueError(
            "a file that this command has not written is never replaced.\n"
            f"  got {path}\n  try another name"
        )


def sampling_of(args: Namespace) -> Sampling:
    """What the options of sampling ask for; with those that go with them they are checked here"""
    for holds, rule, given, hint in (
        (args.seed >= 0, "the seed must not be negative", f"--seed {args.seed}", "--seed 0"),
        (args.tokens >= 0, "--tokens must not be negative", f"{args.tokens}", "--tokens 200"),
    ):
        require(holds, f"{args.command}: {rule}.", given, hint)
    return Sampling(args.repetition_penalty, args.temperature, args.top_k, args.top_p, args.min_p)


@contextlib.contextmanager
def writing_precision(model: GPT, wanted: str) -> Iterator[None]:
    """Within this context the model writes in a precision; the weights are stored in it, too"""
    with precision(wanted):
        if get_precision() == "bfloat16":  # what is read for each token is half as much
            model.bfloat16()
        yield


def corpus_of(run: Run, args: Namespace) -> tuple[list[str], Corpus]:
    """The corpus that the command line names, or the run's own"""
    names = run.read_setup()[3]
    require(
        bool(args.corpus) or (bool(names) and "-" not in names),
        f"{args.command}: the text that a run read from standard input, or elsewhere, is not kept.",
        f"{args.run} without CORPUS",
        f"gpt {args.command} {args.run} FILE",
    )
    return find_corpus(args.corpus or names)


def measured_tokens(
    corpus: Corpus, tokenizer: Tokenizer, validation: float, args: Namespace
) -> tuple[np.ndarray, np.ndarray, str]:
    """Like split_tokens; of another text than the run's own, which the command line names, all"""
    if not args.corpus:
        return split_tokens(corpus, tokenizer, validation)
    tokens = tokenizer.encode(corpus.text)
    return tokens, tokens, corpus.text[len(tokenizer.decode(tokens[:1])) :]


def split_tokens(
    corpus: Corpus, tokenizer: Tokenizer, validation: float
) -> tuple[np.ndarray, np.ndarray, str]:
    """Training tokens, validation tokens with the one before them as context, and the text that is
    predicted when the latter are evaluated"""
    before, after = corpus.splits(validation)
    training = tokenizer.encode(before)
    if validation == 0:
        return training, training, after[len(tokenizer.decode(training[:1])) :]
    return training, np.concatenate([training[-1:], tokenizer.encode(after)]), after

"""What several commands do: find a corpus, turn it into tokens, say that kernels are compiled."""

import contextlib
import dataclasses
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from gpt.cli import console
from gpt.config import TrainConfig
from gpt.errors import require
from gpt.mark import EARLIER, MARK
from gpt.model import GPT
from gpt.text.corpus import Corpus, Source, Survey
from gpt.text.finding import default_corpus, load_corpus, located
from gpt.text.tokenizers import CharTokenizer, Tokenizer
from gpt.text.tokens import TokenIds, Tokens, tokenized
from gpt.training.evaluate import FINAL
from gpt.training.run import Run
from gpt.writing.sampling import Sampling
from tinygrad_lite import distributed, get_precision, has_bfloat16, on_compile, precision

LOOKED_AT = 4096  # bytes of a file that may be replaced


def announce_compilation() -> None:
    said: list[bool] = []

    def once() -> None:
        if not said:
            said.append(True)
            console.complain(
                "compiling kernels that are not kept on this machine yet: up to a quarter of a"
                " minute ..."
            )

    on_compile(once)


def find_corpus(source: Source, kept: Path | None = None) -> tuple[Source, Corpus]:
    """The corpus that is asked for, or the default one for no names; and the source by which it is
    found again. kept: the file in which a run has kept its standard input."""
    bar = console.DownloadBar()
    try:
        if source.names:
            with distributed.in_turns():  # what the first has downloaded, others find
                corpus = load_corpus(
                    source.names, bar, source.include, source.errors, source.validation, kept
                )
            _tell_left_out(corpus)
            names, given = (tuple(map(located, n)) for n in (source.names, source.validation))
            return dataclasses.replace(source, names=names, validation=given), corpus
        with distributed.in_turns():
            corpus, wanted = default_corpus(bar)
    finally:
        bar.close()
    if not wanted:
        console.complain(
            "training on the sample text that ships with gpt, because tiny Shakespeare cannot be"
            " reached;\n  gpt train shakespeare says why, and how to get it"
        )
    return dataclasses.replace(source, names=(corpus.name,)), corpus


def _tell_left_out(corpus: Corpus) -> None:
    if corpus.left_out:
        shown = "\n".join(f"  {line}" for line in corpus.left_out[:5])
        more = len(corpus.left_out) - 5
        console.complain(
            f"{console.many(len(corpus.documents), 'file')} of the folders are read;"
            f" {console.number(len(corpus.left_out))} are left out:\n{shown}"
            + (f"\n  and {more:,} more" if more > 0 else "")
        )


def surveyed(corpus: Corpus) -> Survey:
    with console.WorkBar("reading", in_bytes=True) as bar:
        return corpus.survey(bar)


def tokens_of(corpus: Corpus, survey: Survey, tokenizer: Tokenizer, config: TrainConfig) -> Tokens:
    """The tokens of both splits of a run's corpus"""
    if isinstance(tokenizer, CharTokenizer):
        unknown = sorted(set(survey.characters) - set(tokenizer.characters))
        other = tokenizer.other_form(survey.characters)
        require(
            not unknown,
            "encode: the model knows only the characters of the text it was trained on.",
            f"{''.join(unknown[:20])!r} in {corpus.name}",
            other or "a new run, or a text without them",
        )
    with console.WorkBar("characters made tokens") as bar, distributed.in_turns():
        return tokenized(corpus, survey, tokenizer, config.validation, config.split, bar)


def tell_unknown(tokenizer: Tokenizer, what: str, tokens: TokenIds, share: float = 0.0) -> None:
    """Say how much of a text a model of words has no token for, where that is more than a share"""
    if tokenizer.kind == "words" and len(tokens):
        unknown = float((tokens[:FINAL] == 0).mean())
        if unknown > share:
            console.complain(
                f"{max(unknown, 0.01):.0%} of {what} are words that the model has no token for"
            )


def confirm_replacing(run: Run) -> None:
    """On a terminal, ask before --force removes a run; ValueError unless the answer is yes"""
    if run.is_there() and sys.stdin is not None and sys.stdin.isatty():
        told = f"{console.number(run.told()['steps'])} steps" if run.is_whole() else "damaged"
        console.errors.print(f"replace the run in {run.folder} ({told})? [y/N] ", end="",
                             markup=False)  # fmt: skip
        require(
            sys.stdin.readline().strip().lower() in ("y", "yes"),
            f"{run.folder} is kept.",
            "no yes",
            "another --out",
        )


def check_target(path: Path, beginning: bytes, mark: str = MARK) -> None:
    """Before anything is computed: a file can be written there, and what it replaces, if anything,
    is one that this command has written: it begins like one, and has our mark soon after."""
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
                    head = file.read(LOOKED_AT)
                ours = mark.encode() in head or EARLIER.encode() in head
                if head.startswith(beginning) and ours:
                    return
        raise ValueError(
            "a file that this command has not written is never replaced.\n"
            f"  got {path}\n  try another name, or rm {shlex.quote(str(path))}"
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
    with precision("auto" if wanted == "int8" else wanted):
        if wanted == "int8":
            model.int8()
        elif get_precision() == "bfloat16" or (wanted == "auto" and has_bfloat16()):
            # what is read for each token is half as much, in whatever the products are faster
            model.bfloat16()
        yield


def measured_tokens(run: Run, args: Namespace) -> tuple[list[str], Tokens]:
    """The text that a command measures a model on, and its tokens: all of what the command line
    names, or both splits of the run's own corpus"""
    setup = run.read_setup()
    if args.corpus:
        source, corpus = find_corpus(Source(tuple(args.corpus), errors=args.errors or "strict"))
        whole = TrainConfig(validation=0.0)
        return list(source.names), tokens_of(corpus, surveyed(corpus), setup.tokenizer, whole)
    require(
        has_corpus(run),
        f"{args.command}: the text that a run read elsewhere is not kept.",
        f"{args.run} without CORPUS",
        f"gpt {args.command} {args.run} FILE",
    )
    return setup.corpus, own_tokens(run)


def has_corpus(run: Run) -> bool:
    """Whether a run knows where its text is"""
    names = run.read_setup().corpus
    return bool(names) and ("-" not in names or run.text.is_file())


def own_tokens(run: Run) -> Tokens:
    """Both splits of what a run was trained on"""
    setup = run.read_setup()
    _, corpus = find_corpus(setup.source, run.text)
    survey = surveyed(corpus)
    if setup.format and survey.sha256 != setup.corpus_sha256:
        console.complain(f"the text that {run.folder} was trained on has changed since")
    return tokens_of(corpus, survey, setup.tokenizer, setup.train)

"""What several commands do: find a corpus, turn it into tokens, say that kernels are compiled."""

from collections.abc import Sequence

import numpy as np

from gpt.cli import console
from gpt.text.corpus import Corpus, default_corpus, load_corpus, located
from gpt.text.tokenizers import Tokenizer
from tinygrad_lite import on_compile


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

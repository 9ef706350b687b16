"""Tokenizers from files, and for a corpus.

A tokenizer.json may have been written by anybody: what could run for ever (regular expressions that
are not known), change texts behind the reader's back (truncation), or name tokens that are not
there is refused.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gpt.errors import closest, require, short
from gpt.presets import TOKENIZERS
from gpt.text.tokenizers import (
    END_OF_TEXT,
    UNKNOWN,
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    WordTokenizer,
)

ANY_CHARACTER = r"[\s\S]"
# Regular expressions that tokenizer files may hold: others may take for ever on some texts
PATTERNS = (ANY_CHARACTER, WordTokenizer.pattern.pattern)
LARGEST = 200 << 20  # bytes of a file


def build_tokenizer(
    kind: str,
    text: str,
    training: str | Iterable[str],
    vocab_size: int = 0,
    folder: Path | None = None,
    length: int = 0,
) -> Tokenizer:
    """A tokenizer for a corpus.

    kind         one of TOKENIZERS, or the path of tokenizer files
    text         all of the corpus, or the characters in it: each has a token
    training     its training split, or pieces of that, from which words and merges are taken
    vocab_size   of "bytes", 0 to choose by the length of the text
    folder       where "gpt2" finds GPT-2's vocabulary
    length       characters of the training split, where pieces are given
    """
    require(
        vocab_size == 0 or kind == "bytes",
        "tokenizer: only a vocabulary of merged bytes has a size to choose.",
        f"--vocab-size {short(vocab_size)} with --tokenizer {kind}",
        "--tokenizer bytes",
    )
    if kind == "characters":
        return CharTokenizer(text)
    if kind == "words":
        return WordTokenizer.of_text(training)
    if kind == "bytes":
        return ByteTokenizer.of_text(training, vocab_size, length)
    if kind == "gpt2" and folder is not None:
        return tokenizer_from_files(folder)
    require(
        Path(kind).exists(),
        f"tokenizer: there are {', '.join(TOKENIZERS)}, and files of one.",
        f"{kind!r}",
        closest(kind, TOKENIZERS),
    )
    return tokenizer_from_files(kind)


def tokenizer_from_files(path: str | Path) -> Tokenizer:
    """Of a tokenizer.json, a run's or the library's, or a folder that holds one or GPT-2's
    vocab.json and merges.txt"""
    path = Path(path)
    whole = path / "tokenizer.json" if path.is_dir() else path
    with _library(path, "there must be a tokenizer.json, or vocab.json with merges.txt"):
        if whole.is_file():
            return _of_library(_read(whole))
        return _of_gpt2(json.loads(_read(path / "vocab.json")), _read(path / "merges.txt"))


def tokenizer_from_json(data: Any) -> Tokenizer:
    """The tokenizer whose `as_json` gave `data`"""
    data = data if isinstance(data, dict) else {}
    kind = data.get("kind")
    if kind == CharTokenizer.kind and isinstance(data.get("characters"), str):
        return CharTokenizer(data["characters"])
    if kind == WordTokenizer.kind and _are_words(data.get("words")):
        return WordTokenizer(data["words"])
    if kind == ByteTokenizer.kind and "tokenizer" in data:
        with _library("tokenizer.json", "the merges must be as they were written"):
            return ByteTokenizer(_inner(json.dumps(data["tokenizer"])))
    raise ValueError(
        "tokenizer: a tokenizer file is an object with a kind, one of"
        f" {', '.join(TOKENIZERS[:3])}, and what that kind needs.\n"
        f"  got {str(data)[:80]}\n  try the tokenizer.json of a run"
    )


def _are_words(words: Any) -> bool:
    return isinstance(words, list) and all(isinstance(word, str) and word for word in words)


def _read(path: Path) -> str:
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path.name} of {path.stat().st_size:,} bytes")
    return path.read_text("utf-8")


@contextlib.contextmanager
def _library(path: str | Path, rule: str) -> Iterator[None]:
    """Turn whatever the library raises, which may be a panic, into a message."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit | MemoryError):
            raise
        raise ValueError(
            f"tokenizer: {rule}.\n  got {path}: {str(error)[:300]}\n"
            "  try the folder of a GPT-2 model, or the tokenizer.json of a run"
        ) from error


def _inner(text: str) -> Any:
    """A tokenizer of the library from the text of a tokenizer.json, after a look at it"""
    from tokenizers import Tokenizer as Inner

    left: list[Any] = [json.loads(text)]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            pattern = part.get("Regex")
            if pattern is not None and pattern not in PATTERNS:
                raise ValueError(f"the regular expression {short(pattern)}, which is not known")
            left += part.values()
        elif isinstance(part, list):
            left += part
    inner = Inner.from_str(text)
    inner.no_truncation()
    inner.no_padding()
    ids = sorted(inner.get_vocab().values())
    if ids != list(range(len(ids))):
        raise ValueError(f"{len(ids)} tokens whose ids are not 0, ..., {len(ids) - 1}")
    return inner


def _of_library(text: str) -> Tokenizer:
    from tokenizers import models

    data = json.loads(text)
    if isinstance(data, dict) and "kind" in data:
        return tokenizer_from_json(data)
    inner = _inner(text)
    if not isinstance(inner.model, models.WordLevel):
        return ByteTokenizer(inner)
    words = sorted(inner.get_vocab(), key=inner.get_vocab().__getitem__)
    tokenizer = (
        CharTokenizer("".join(words))
        if all(len(word) == 1 for word in words)
        else WordTokenizer(words)
    )
    if tokenizer.pieces(range(tokenizer.vocab_size)) != words:
        raise ValueError(
            f"words in another order than ours: characters by code points, or words after {UNKNOWN}"
        )
    return tokenizer


def _of_gpt2(vocabulary: dict[str, int], merges: str) -> Tokenizer:
    from tokenizers import Tokenizer as Inner
    from tokenizers import decoders, models, pre_tokenizers

    pairs = [tuple(line.split(" ")) for line in merges.splitlines() if line[:9] != "#version:"]
    inner = Inner(models.BPE(vocabulary, [pair for pair in pairs if len(pair) == 2]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([END_OF_TEXT])
    return ByteTokenizer(_inner(inner.to_str()))

"""From a corpus to token ids, in memory or, where there are many, in a file of the user's cache.

Text is tokenised once, piece by piece. The file is known by the SHA-256 of the text, the tokenizer
and the split, appears in one piece, and is checked by its own SHA-256 when it is used again.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gpt.errors import require
from gpt.text.corpus import SEPARATOR, Corpus, Span, Survey
from gpt.text.named import Progress, cache_folder
from gpt.text.tokenizers import Tokenizer, WordTokenizer

IN_MEMORY = 1 << 23  # characters of a corpus whose tokens are kept in memory
PIECE = 1 << 16  # characters that are tokenised at once
LONGEST = 1 << 22  # characters without white space after which a piece ends all the same
PIECES = 64  # that a tokenizer with threads is given together
FORMAT = 1  # of the files
# Where every kind of tokenizer ends a token: before white space that follows something else
BOUNDARY = re.compile(r"(?<=\S)(?=\s)")


class TokenIds(Protocol):
    """int64 ids that are indexed like an array of one axis, by slices and by arrays"""

    def __len__(self) -> int: ...
    def __getitem__(self, index: Any) -> np.ndarray: ...


@dataclass(frozen=True)
class TokenFile:
    """Token ids in a file: what an index asks for is read, and nothing stays in memory."""

    path: Path
    dtype: str
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: Any) -> np.ndarray:
        # Mapped anew each time: pages that stayed mapped would count as memory of this process
        return np.memmap(self.path, self.dtype, "r", shape=(self.count,))[index].astype(np.int64)


@dataclass(frozen=True)
class Tokens:
    """A corpus as a model sees it.

    training     ids to train on
    validation   ids to predict, after one that is only context
    characters, bytes   how long the text is that validation[1:] stands for
    """

    training: TokenIds
    validation: TokenIds
    characters: int
    bytes: int


def tokenized(
    corpus: Corpus,
    survey: Survey,
    tokenizer: Tokenizer,
    share: float,
    split: str = "each",
    progress: Progress | None = None,
) -> Tokens:
    """The tokens of both splits; share and split as in Corpus.splits."""
    before, after = corpus.splits(survey.lengths, share, split)
    both = [("training", before)] if before == after else [("training", before), ("rest", after)]
    counter, check = _Counter(survey.length, progress), _Unchanged(corpus, survey)
    if survey.length <= IN_MEMORY:
        none = [np.empty(0, np.int64)]  # of a split without a document
        ids: dict[str, TokenIds] = {
            n: np.concatenate([*none, *encoded(s, tokenizer, counter)]) for n, s in both
        }
        check()
    else:
        known = [survey.sha256, share, split, tokenizer.as_json(), [name for name, _ in both]]
        ids = _in_files(both, tokenizer, known, counter, check)
    training = ids["training"]
    between = 0 if tokenizer.end_of_text is not None else len(SEPARATOR)
    if before == after:  # its first token has none before it
        size = _length(after, between, _first_length(after, tokenizer, training))
        return Tokens(training, training, *size)
    validation = _WithContext(training[-1:], ids["rest"]) if len(training) else ids["rest"]
    whole = validation[:] if isinstance(ids["rest"], np.ndarray) else validation
    return Tokens(training, whole, *_length(after, between))


@dataclass(frozen=True)
class _WithContext:
    """One token, and the ids that follow it"""

    first: np.ndarray
    rest: TokenIds

    def __len__(self) -> int:
        return 1 + len(self.rest)

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, slice):
            index = np.arange(*index.indices(len(self)))
        index = np.asarray(index)
        found = self.rest[np.maximum(index - 1, 0)] if len(self.rest) else index * 0
        return np.where(index == 0, self.first[0], found)


def _first_length(spans: list[Span], tokenizer: Tokenizer, ids: TokenIds) -> int:
    """Characters that the first token stands for"""
    if isinstance(tokenizer, WordTokenizer):  # whatever it is, also an unknown word
        text = next((piece for span in spans for piece in span.pieces()), "")
        found = tokenizer.pattern.search(text)
        return found.end() if found else 0
    return len(tokenizer.decode(ids[:1]))


def _length(spans: list[Span], between: int, skipped: int = 0) -> tuple[int, int]:
    """Characters and bytes, with so many between documents, and without the first characters"""
    characters = between * max(len(spans) - 1, 0) - skipped
    size = between * max(len(spans) - 1, 0)
    for piece in itertools.chain.from_iterable(span.pieces() for span in spans):
        characters += len(piece)
        size += len(piece[skipped:].encode("utf-8", "surrogatepass"))
        skipped = max(0, skipped - len(piece))
    return characters, size


class _Unchanged:
    """ValueError where files of a corpus are not any more those that were surveyed"""

    def __init__(self, corpus: Corpus, survey: Survey):
        self.corpus, self.survey = corpus, survey

    def __call__(self) -> None:
        changed = [
            document.name
            for document, stamp in zip(self.corpus.documents, self.survey.stamps, strict=False)
            if document.stamp != stamp
        ]
        require(
            not changed,
            "corpus: a text stays as it is while it is read.",
            f"{changed[0] if changed else ''}, which has changed meanwhile",
            "the same command once more",
        )


class _Counter:
    """Tells a callback how many characters are done"""

    def __init__(self, total: int, progress: Progress | None):
        self.total, self.progress, self.done = total, progress, 0

    def add(self, count: int) -> None:
        self.done += count
        if self.progress is not None:
            self.progress(min(self.done, self.total), self.total)


def encoded(spans: Iterable[Span], tokenizer: Tokenizer, counter: Any = None) -> Iterator[Any]:
    """Arrays of ids, one after the other; between documents the tokenizer's end of a text, or
    SEPARATOR."""
    for number, span in enumerate(spans):
        if number:
            end = tokenizer.end_of_text
            yield tokenizer.encode(SEPARATOR) if end is None else np.array([end])
        pieces = cut(span.pieces()) if tokenizer.splittable else iter(["".join(span.pieces())])
        while batch := list(itertools.islice(pieces, PIECES)):
            yield from tokenizer.encode_batch(batch)
            if counter is not None:
                counter.add(sum(map(len, batch)))


def cut(pieces: Iterable[str]) -> Iterator[str]:
    """The same text in pieces of about PIECE characters that end where tokens end, so that their
    tokens are those of the whole"""
    held, looked = "", 0  # up to where no end of a token is
    for piece in pieces:
        held += piece
        start = 0
        while len(held) - start > PIECE:
            found = BOUNDARY.search(held, max(start + PIECE, looked))
            if found is None and len(held) - start < LONGEST:
                looked = len(held)
                break
            end = found.start() if found else len(held)
            yield held[start:end]
            start = looked = end
        held, looked = held[start:], max(looked - start, 0)
    if held:
        yield held


def _in_files(
    both: list[tuple[str, list[Span]]],
    tokenizer: Tokenizer,
    known: list,
    counter: _Counter,
    check: Callable[[], None],
) -> dict[str, TokenIds]:
    size = tokenizer.vocab_size
    dtype = "u1" if size <= 1 << 8 else "<u2" if size <= 1 << 16 else "<u4"
    key = hashlib.sha256(json.dumps([FORMAT, dtype, *known]).encode()).hexdigest()[:32]
    home = cache_folder() / "tokens"
    folder = home / key
    found = _open(folder, dtype)
    if found is None:
        try:
            home.mkdir(parents=True, exist_ok=True)
            for old in home.glob("*.unfinished"):  # what a killed process has left
                _remove_old(old)
            building = Path(tempfile.mkdtemp(prefix=f"{key[:8]}-", suffix=".unfinished", dir=home))
            try:
                about = {n: _write(building / n, s, tokenizer, dtype, counter) for n, s in both}
                (building / "about.json").write_text(json.dumps(about))
                check()  # or wrong tokens would be kept under the name of the right text
                if _open(folder, dtype) is None:  # else another process was faster
                    shutil.rmtree(folder, ignore_errors=True)  # damaged
                with contextlib.suppress(OSError):  # another process was faster
                    os.rename(building, folder)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        except OSError as error:
            raise OSError(
                "corpus: the tokens of a long text are kept in the cache.\n"
                f"  got {home}: {error.strerror}\n"
                "  try XDG_CACHE_HOME=FOLDER, where there is room for two bytes a token"
            ) from error
        found = _open(folder, dtype)
        assert found is not None, folder
    return found


def _remove_old(folder: Path) -> None:
    with contextlib.suppress(OSError):
        if time.time() - folder.stat().st_mtime > 24 * 3600:
            shutil.rmtree(folder, ignore_errors=True)


def _write(
    path: Path, spans: list[Span], tokenizer: Tokenizer, dtype: str, counter: _Counter
) -> dict[str, Any]:
    total, count = hashlib.sha256(), 0
    with path.open("wb") as file:
        for ids in encoded(spans, tokenizer, counter):
            data = ids.astype(dtype).tobytes()
            total.update(data)
            file.write(data)
            count += len(ids)
        file.flush()
        os.fsync(file.fileno())
    return {"count": count, "sha256": total.hexdigest()}


def _open(folder: Path, dtype: str) -> dict[str, TokenIds] | None:
    """What a folder of the cache holds; None where it is not there, or damaged"""
    try:
        about = json.loads((folder / "about.json").read_text())
        files: dict[str, TokenIds] = {}
        for name, said in about.items():
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != said["sha256"]:
                return None
            if said["count"] == 0:
                files[name] = np.empty(0, np.int64)
            else:
                files[name] = TokenFile(folder / name, dtype, said["count"])
        return files
    except (OSError, ValueError, KeyError, TypeError):
        return None

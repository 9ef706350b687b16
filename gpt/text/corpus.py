"""What a model is trained on: documents, what is known of them, and their parts for validation.

A corpus is a list of documents, read piece by piece as often as they are needed, never held whole.
Of each document, or of all of them as a row, the end is kept for validation.
"""

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gpt.errors import require
from gpt.text.named import Progress, shipped
from gpt.text.reading import read_text

SEPARATOR = "\n\n"  # between documents, for tokenizers that have no token for the end of a text


@dataclass(frozen=True)
class Source:
    """What a corpus is made of, as the user says it and as a run remembers it"""

    names: tuple[str, ...]  # paths of files or folders, patterns, "-", or names of NAMES
    include: tuple[str, ...] = ()  # patterns of file names in folders; none: every text file
    errors: str = "strict"  # of bytes that are not text: "strict", or "replace"
    validation: tuple[str, ...] = ()  # names of texts that are kept for validation


@dataclass(frozen=True)
class Document:
    """One text: a file, or a text that ships with this package"""

    name: str
    path: Path | None = None
    errors: str = "strict"

    def pieces(self) -> Iterator[str]:
        """The text, a piece at a time"""
        if self.path is None:
            return iter([shipped(self.name)])
        return read_text(self.path, self.errors, self.name)

    @property
    def place(self) -> str:
        """The same for two names of one file"""
        return self.name if self.path is None else os.path.realpath(self.path)

    @property
    def stamp(self) -> tuple[int, ...]:
        """Changes with the file"""
        if self.path is None:
            return ()
        found = self.path.stat()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    @property
    def size(self) -> int:
        """Bytes in the file: how long reading it takes"""
        return 0 if self.path is None else self.path.stat().st_size


@dataclass(frozen=True)
class Span:
    """Characters start, ..., stop - 1 of a document"""

    document: Document
    start: int
    stop: int

    def pieces(self) -> Iterator[str]:
        at = 0
        for piece in self.document.pieces():
            part = piece[max(0, self.start - at) : max(0, self.stop - at)]
            at += len(piece)
            if part:
                yield part
            if at >= self.stop:
                return


@dataclass(frozen=True)
class Survey:
    """What one pass over a corpus tells: characters in each document, the characters that occur,
    in order, the SHA-256 of all of it, and what the system says of the files"""

    lengths: tuple[int, ...]
    characters: str
    sha256: str
    stamps: tuple[tuple[int, ...], ...] = ()

    @property
    def length(self) -> int:
        return sum(self.lengths)


@dataclass(frozen=True)
class Corpus:
    """Documents, and those of them that the user has given for validation, the last ones"""

    name: str
    documents: tuple[Document, ...]
    given: int = 0  # how many documents, at the end, are for validation alone
    left_out: tuple[str, ...] = field(default=(), compare=False)  # files of folders, and why

    @property
    def text(self) -> str:
        """All of it at once"""
        return SEPARATOR.join("".join(d.pieces()) for d in self.documents)

    @property
    def size(self) -> int:
        return sum(document.size for document in self.documents)

    def survey(self, progress: Progress | None = None) -> Survey:
        """Read everything once."""
        seen = np.zeros(sys.maxunicode + 1, bool)
        total, lengths, done = hashlib.sha256(), [], 0
        stamps, size = self.stamps(), self.size
        for document in self.documents:
            length = 0
            for piece in document.pieces():
                data = piece.encode("utf-8", "surrogatepass")
                total.update(data)
                if len(data) == len(piece):  # ASCII
                    seen[np.frombuffer(data, np.uint8)] = True
                else:
                    codes = np.frombuffer(piece.encode("utf-32-le", "surrogatepass"), np.uint32)
                    seen[codes] = True
                length += len(piece)
                done += len(data)
                if progress is not None:
                    progress(done, max(done, size))
            total.update(length.to_bytes(8, "little"))  # where a document ends
            lengths.append(length)
        if len(self.documents) > 1:
            seen[[ord(c) for c in SEPARATOR]] = True
        total.update(self.given.to_bytes(8, "little"))
        require(
            sum(lengths) > 0,
            "corpus: there must be text to train on.",
            f"an empty text from {self.name}",
            "gpt train sample",
        )
        characters = "".join(map(chr, np.flatnonzero(seen)))
        return Survey(tuple(lengths), characters, total.hexdigest(), stamps)

    def stamps(self) -> tuple[tuple[int, ...], ...]:
        return tuple(document.stamp for document in self.documents)

    def splits(
        self, lengths: Sequence[int], share: float, split: str = "each"
    ) -> tuple[list[Span], list[Span]]:
        """What is trained on, and what is kept for validation.

        lengths   characters of each document
        share     of the characters, kept for validation; 0: all of it is both
        split     "each": the end of each document; "files": whole documents, the last ones
        """
        spans = [Span(d, 0, n) for d, n in zip(self.documents, lengths, strict=True)]
        if self.given:
            return spans[: -self.given], spans[-self.given :]
        if share == 0:
            return spans, spans
        if split == "each":
            cuts, rest = [], 0.0  # of short documents the parts add up to whole characters
            for n in lengths:
                cuts.append(int(n * (1 - share) + rest))
                rest += n * (1 - share) - cuts[-1]
            before = [Span(s.document, 0, cut) for s, cut in zip(spans, cuts, strict=True)]
            after = [Span(s.document, c, s.stop) for s, c in zip(spans, cuts, strict=True)]
            return [s for s in before if s.stop], [s for s in after if s.stop > s.start]
        require(
            len(spans) > 1,
            "corpus: of one document no whole ones can be kept for validation.",
            f"--split files with {self.name}",
            "--split each, or --validation-file",
        )
        reached = np.cumsum(lengths) - np.asarray(lengths) / 2  # the middle of each
        kept = int((reached > (1 - share) * sum(lengths)).sum())
        kept = min(max(kept, 1), len(spans) - 1)
        return spans[:-kept], spans[-kept:]

"""Files as streams of text: decoded piece by piece, so that memory does not grow with the file.

A byte-order mark is dropped, line ends of other systems (CR LF, CR) become LF, gzip is unpacked. A
zero byte, or bytes that are not UTF-8, are refused with their place, or replaced by U+FFFD where
the reader says so.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

BLOCK = 1 << 20  # bytes at a time
GZIP = b"\x1f\x8b"
REPLACEMENT = "\ufffd"


def read_text(path: Path, errors: str = "strict", source: str = "") -> Iterator[str]:
    """The text of a file in pieces, none of them empty.

    errors   "strict", or "replace" for U+FFFD in place of what is not text
    source   what messages call the file
    """
    name = source or str(path)
    decoder = codecs.getincrementaldecoder("utf-8")(errors)
    lines = io.IncrementalNewlineDecoder(None, translate=True)
    before = 0  # bytes that were decoded
    with _opened(path) as file:
        block, mark = _next_block(file, name), codecs.BOM_UTF8
        if block.startswith(mark):
            block, before = block[len(mark) :] or _next_block(file, name), len(mark)
        while True:
            final = not block
            pending = len(decoder.getstate()[0])
            try:
                decoded = decoder.decode(block, final)
            except UnicodeDecodeError as error:
                offset = before - pending + error.start
                raise ValueError(
                    "corpus: a text must be encoded as UTF-8.\n"
                    f"  got byte 0x{error.object[error.start]:02x} at offset {offset} of {name}\n"
                    "  try --errors replace, or iconv -t UTF-8 on a text in another encoding"
                ) from error
            if "\0" in decoded:
                if errors == "strict":
                    raise ValueError(
                        "corpus: a text must not be binary.\n"
                        f"  got a zero byte at offset {_zero(path)} of {name}\n"
                        "  try a text file, or --errors replace"
                    )
                decoded = decoded.replace("\0", REPLACEMENT)
            before += len(block)
            text = lines.decode(decoded, final)
            if text:
                yield text
            if final:
                return
            block = _next_block(file, name)


def what_is_wrong(path: Path, errors: str) -> str:
    """Why a file does not look like text by its first bytes; empty where it does"""
    with _opened(path) as file:
        try:
            beginning = file.read(1 << 13)
        except (OSError, EOFError, zlib.error):
            return "damaged"
    if b"\0" in beginning:
        return "not text"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return "" if errors == "replace" else "not UTF-8 (--errors replace takes it)"
    return ""


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
    return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")


def _next_block(file: IO[bytes], name: str) -> bytes:
    try:
        return file.read(BLOCK)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"corpus: a compressed file must be whole.\n  got {name}: {error}\n"
            "  try another copy of it"
        ) from error


def _zero(path: Path) -> int:
    offset = 0
    with _opened(path) as file:
        while block := file.read(BLOCK):
            if (at := block.find(0)) >= 0:
                return offset + at
            offset += len(block)
    return offset

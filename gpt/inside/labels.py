"""Tokens as labels: short texts that show what cannot be seen."""

from collections.abc import Iterable

from gpt.text.tokenizers import ByteTokenizer, Tokenizer

_SHOWN = str.maketrans({"\n": "↵", " ": "␣", "\t": "⇥", "\r": "␍"})


def labels(tokenizer: Tokenizer, ids: Iterable[int]) -> list[str]:
    """What each token stands for, with spaces and line ends visible; bytes that are not whole
    characters as <C3>; ids beyond the vocabulary, which a padded model has, by their number"""
    known = tokenizer.vocab_size
    return [_label(tokenizer, int(i)) if i < known else f"#{int(i)}" for i in ids]


def _label(tokenizer: Tokenizer, i: int) -> str:
    text = tokenizer.pieces([i])[0].translate(_SHOWN)
    if "\ufffd" in text and isinstance(tokenizer, ByteTokenizer):  # a part of a character's bytes
        text = "".join(_of_byte(b) for b in tokenizer.bytes_of(i))
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return text or f"#{i}"


def _of_byte(byte: int) -> str:
    return chr(byte).translate(_SHOWN) if byte < 128 else f"<{byte:02X}>"


def cut(label: str, width: int) -> str:
    """At most `width` characters of a label"""
    return label if len(label) <= width else label[: width - 1] + "…"

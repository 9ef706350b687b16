"""Text to token ids and back: characters, words, or bytes merged to frequent pieces (BPE).

Each kind has `vocab_size`, `encode(text)`, `decode(ids)`, `pieces(ids)` (what each token stands
for, to look at) and `as_json()`. A tokenizer is saved in its run as JSON, next to the weights.
`splittable`: a text may be encoded in parts that begin with white space after something else.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from gpt.errors import require, short

END_OF_TEXT = "<|endoftext|>"
UNKNOWN = "<unk>"
BYTES = 256
MOST_TOKENS = 1 << 20  # of a vocabulary that is learned


class Tokenizer(Protocol):
    kind: str
    end_of_text: int | None  # the id of the token that ends a text, if there is one
    splittable: bool

    @property
    def vocab_size(self) -> int: ...
    def encode(self, text: str) -> np.ndarray: ...
    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]: ...
    def decode(self, ids: Iterable[int]) -> str: ...
    def pieces(self, ids: Iterable[int]) -> list[str]: ...
    def as_json(self) -> dict[str, Any]: ...


class CharTokenizer:
    """One token for each character of a text, numbered in the order of their code points."""

    kind = "characters"
    end_of_text: int | None = None
    splittable = True

    def __init__(self, characters: str):
        self.characters = "".join(sorted(set(characters)))
        codes = [ord(c) for c in self.characters]
        # By code point; the last: of all above. ASCII always has places
        self._ids = np.full(max(128, *codes) + 2 if codes else 130, -1, np.int64)
        self._ids[codes] = np.arange(len(codes))

    @property
    def vocab_size(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> np.ndarray:
        """Ids (len(text),) int64"""
        if text.isascii():
            ids = self._ids[np.frombuffer(text.encode(), np.uint8)]
        else:
            codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
            ids = self._ids[np.minimum(codes, np.uint32(len(self._ids) - 1))]
        if len(ids) and ids.min() < 0:
            at = int(np.argmin(ids))
            raise ValueError(
                "encode: the model knows only the characters of the text it was trained on.\n"
                f"  got {text[at]!r} (U+{ord(text[at]):04X}) at position {at}\n"
                f"  try {self.other_form(text) or f'a text of these: {self.characters!r}'}"
            )
        return ids

    def other_form(self, text: str) -> str:
        """A hint, where the model knows the text in another form of Unicode"""
        known = set(self.characters)
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            other = unicodedata.normalize(form, text)  # type: ignore[arg-type]
            if set(other) <= known:
                return f"the same text in Unicode's form {form}: {other[:40]!r}"
        return ""

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.characters[i] for i in ids)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        return [self.characters[i] for i in ids]

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "characters": self.characters}


class WordTokenizer:
    """Words, punctuation marks and line ends as tokens, in the order in which they first occur; id
    0 stands for every unknown word. Spaces are not kept: `decode` puts them where they usually are.
    """

    kind = "words"
    end_of_text: int | None = None
    splittable = True
    pattern = re.compile(r"\n|\w+(?:['’-]\w+)*|[^\w\s]")
    _no_space_before = frozenset(".,;:!?)]}’”\n")
    _no_space_after = frozenset("([{‘“\n")

    def __init__(self, words: Iterable[str]):
        self.words = [UNKNOWN, *dict.fromkeys(w for w in words if w != UNKNOWN)]
        self._ids = {word: i for i, word in enumerate(self.words)}

    @classmethod
    def of_text(cls, text: str | Iterable[str]) -> "WordTokenizer":
        """The words of a text, or of its pieces"""
        pieces = [text] if isinstance(text, str) else text
        return cls(word for piece in pieces for word in cls.pattern.findall(piece))

    @property
    def vocab_size(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> np.ndarray:
        """Ids int64; what was not in the vocabulary's text becomes the unknown token"""
        words = self.pattern.findall(_valid(text))
        return np.array([self._ids.get(w, 0) for w in words], np.int64)

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        text = ""
        for word in self.pieces(ids):
            glued = word[0] in self._no_space_before or text[-1:] in self._no_space_after
            text += word if glued or not text else f" {word}"
        return text

    def pieces(self, ids: Iterable[int]) -> list[str]:
        return [self.words[i] for i in ids]

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "words": self.words}


def _byte_letters() -> dict[str, int]:
    """The bytes by the letters that byte-level BPE writes for them (Radford and others 2019): those
    that can be seen stand for themselves, others for letters from 256"""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(BYTES) if b not in seen]
    return {chr(b): b for b in seen} | {chr(BYTES + n): b for n, b in enumerate(hidden)}


_BYTES = _byte_letters()


class ByteTokenizer:
    """Byte-level BPE (Sennrich and others 2016; Radford and others 2019): the 256 bytes and
    frequent sequences of them. Encodes any text and gives back exactly that text.

    inner   a tokenizer of the `tokenizers` library
    """

    kind = "bytes"

    def __init__(self, inner: Any):
        self.inner = inner
        self.end_of_text = inner.token_to_id(END_OF_TEXT)
        described = json.loads(inner.to_str())
        before = described.get("pre_tokenizer") or {}
        self.splittable = not described.get("normalizer") and before == {
            **before, "type": "ByteLevel", "add_prefix_space": False, "use_regex": True
        }  # fmt: skip

    @classmethod
    def of_text(
        cls, text: str | Iterable[str], vocab_size: int = 0, length: int = 0
    ) -> "ByteTokenizer":
        """Learn merges from a text, or from its pieces.

        vocab_size   0: twice the root of the number of characters, a power of 2
        length       that number, where pieces are given
        """
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        pieces = [text] if isinstance(text, str) else text
        length = len(text) if isinstance(text, str) else length
        if vocab_size == 0:
            wanted = 2 * length**0.5
            vocab_size = int(np.clip(2 ** round(np.log2(max(wanted, 1))), 2 * BYTES, 32768))
        require(
            BYTES + 1 < vocab_size <= MOST_TOKENS,
            f"tokenizer: a vocabulary of bytes holds {BYTES} bytes, {END_OF_TEXT} and merges, no"
            f" more than {MOST_TOKENS} in all.",
            f"vocab_size={short(vocab_size)}",
            f"--vocab-size {2 * BYTES}",
        )
        inner = Tokenizer(models.BPE())
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            min_frequency=2,
            show_progress=False,
        )
        inner.train_from_iterator((_valid(piece) for piece in pieces), trainer)
        require(
            inner.get_vocab_size() > BYTES + 1,
            "tokenizer: merges are learned from pairs that occur more than once.",
            f"a text of {length} characters without any",
            "a longer text, or --tokenizer characters",
        )
        return cls(inner)

    @property
    def vocab_size(self) -> int:
        return self.inner.get_vocab_size()

    def encode(self, text: str) -> np.ndarray:
        """Ids int64"""
        return np.array(self.inner.encode(_valid(text), add_special_tokens=False).ids, np.int64)

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        found = self.inner.encode_batch_fast(list(map(_valid, texts)), add_special_tokens=False)
        return [np.array(one.ids, np.int64) for one in found]

    def decode(self, ids: Iterable[int]) -> str:
        return self.inner.decode([int(i) for i in ids], skip_special_tokens=False)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        return [self.decode([i]) for i in ids]

    def bytes_of(self, token: int) -> bytes:
        """What a token stands for, which need not be whole characters"""
        letters = self.inner.id_to_token(int(token)) or ""
        known = [_BYTES.get(letter) for letter in letters]
        if None in known:  # a special token, or not of byte-level BPE
            return self.decode([token]).encode()
        return bytes(b for b in known if b is not None)

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "tokenizer": json.loads(self.inner.to_str())}


def _valid(text: str) -> str:
    """The text, unless it holds halves of characters, as bytes that are not UTF-8 become on the
    command line"""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            "encode: a text must be valid Unicode.\n"
            f"  got {text[error.start]!r} at position {error.start}\n  try a text in UTF-8"
        ) from error
    return text

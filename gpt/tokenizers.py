"""Text to token ids and back. A tokenizer is saved in its run as JSON, next to the weights."""

from typing import Any

import numpy as np


class CharTokenizer:
    """One token for each character of a text, numbered in the order of their code points."""

    kind = "characters"

    def __init__(self, characters: str):
        self.characters = "".join(sorted(set(characters)))
        self._codes = np.array([ord(c) for c in self.characters], np.uint32)

    @property
    def vocab_size(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> np.ndarray:
        """Ids (len(text),) int64"""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        ids = np.searchsorted(self._codes, codes)
        known = self._codes[np.minimum(ids, self.vocab_size - 1)] == codes
        if not known.all():
            at = int(np.argmin(known))
            raise ValueError(
                "encode: the model knows only the characters of the text it was trained on.\n"
                f"  got {text[at]!r} (U+{ord(text[at]):04X}) at position {at}\n"
                f"  try a text of these: {self.characters!r}"
            )
        return ids.astype(np.int64)

    def decode(self, ids: Any) -> str:
        return "".join(self.characters[i] for i in ids)

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "characters": self.characters}


def tokenizer_from_json(data: Any) -> CharTokenizer:
    """The tokenizer whose `as_json` gave `data`."""
    if not isinstance(data, dict) or data.get("kind") != CharTokenizer.kind:
        raise ValueError(
            'tokenizer: a tokenizer file is {"kind": "characters", "characters": ...}.\n'
            f"  got {str(data)[:80]}\n  try the tokenizer.json of a run"
        )
    return CharTokenizer(data["characters"])

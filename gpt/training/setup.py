"""What a run consists of before its first step: config.json and tokenizer.json, both checked.

config.json holds the configurations of model and training, where the text came from, the SHA-256 of
tokenizer.json, and that of itself. `id` is in every file of weights too, so that files of another
run are noticed.
"""

import contextlib
import dataclasses
import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpt.config import GPTConfig, TrainConfig
from gpt.errors import require
from gpt.text.corpus import Source
from gpt.text.tokenizer_files import tokenizer_from_json
from gpt.text.tokenizers import Tokenizer
from tinygrad_lite import write_atomically

FORMAT = 1  # of a run's files; 0, without checksums, is read too


@dataclass(frozen=True)
class Setup:
    """A run before its first step. corpus_sha256: of the text, as Corpus.survey gives it"""

    model: GPTConfig
    train: TrainConfig
    tokenizer: Tokenizer
    source: Source = field(default_factory=lambda: Source(()))
    corpus_sha256: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    format: int = FORMAT

    @property
    def corpus(self) -> list[str]:
        """The names of what the run is trained on"""
        return list(self.source.names)

    def write(self, folder: Path) -> None:
        tokenizer = as_text(self.tokenizer.as_json())
        data: dict[str, Any] = {
            "format": self.format,
            "id": self.id,
            "model": dataclasses.asdict(self.model),
            "train": dataclasses.asdict(self.train),
            "corpus": {**dataclasses.asdict(self.source), "sha256": self.corpus_sha256},
            "tokenizer_sha256": hashlib.sha256(tokenizer.encode()).hexdigest(),
        }
        data = json.loads(json.dumps(data))  # tuples become lists
        if self.format:
            data["sha256"] = _sum_of(data)
        else:
            data = {"model": data["model"], "train": data["train"], "corpus": self.corpus}
        write_text(folder / "tokenizer.json", tokenizer)
        write_text(folder / "config.json", as_text(data))  # last: a run is known by it

    @classmethod
    def read(cls, folder: Path) -> "Setup":
        path = folder / "config.json"
        data = read_json(path)
        with damaged(path):
            if not isinstance(data, dict):
                raise ValueError("no object")
            version = data.get("format", 0)
            require(
                isinstance(version, int) and version <= FORMAT,
                "run: the files must be of a format that this version reads.",
                f"format {version!r} in {path}, where {FORMAT} is the newest that is known",
                "a newer version of gpt",
            )
            if version and _sum_of(data) != data.get("sha256"):
                raise ValueError(
                    "its checksum differs; other settings are given to"
                    f" gpt train CORPUS --from {folder}"
                )
            model, train = GPTConfig(**data["model"]), TrainConfig(**data["train"])
            corpus = dict(data["corpus"]) if version else {"names": data["corpus"]}
            given = {n: _words(corpus[n]) for n in ("names", "include", "validation")
                     if n in corpus}  # fmt: skip
            source = Source(**given, errors=str(corpus.get("errors", "strict")))
            corpus_sha256, own = str(corpus.get("sha256", "")), str(data.get("id", ""))
        with damaged(folder / "tokenizer.json"):
            raw = (folder / "tokenizer.json").read_bytes()
            if version and hashlib.sha256(raw).hexdigest() != data["tokenizer_sha256"]:
                raise ValueError("its checksum differs from that in config.json")
            tokenizer = tokenizer_from_json(json.loads(raw.decode("utf-8")))
        padded = tokenizer.kind == "bytes"  # models of others may have places that no token takes
        require(
            tokenizer.vocab_size == model.vocab_size
            or (padded and tokenizer.vocab_size < model.vocab_size),
            "run: the tokenizer and the model have the same vocabulary.",
            f"{tokenizer.vocab_size} tokens and vocab_size={model.vocab_size} in {folder}",
            "the tokenizer.json that was written with this run",
        )
        return cls(model, train, tokenizer, source, corpus_sha256, own, version)


def is_setup(path: Path) -> bool:
    """Whether a file is the config.json of a run"""
    try:
        return not path.is_symlink() and {"model", "train", "corpus"} <= set(read_json(path))
    except (ValueError, TypeError):
        return False


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"no list: {str(value)[:60]}")
    return tuple(str(word) for word in value)


def _sum_of(data: dict[str, Any]) -> str:
    rest = {name: value for name, value in data.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def damaged(path: Path, hint: str = "another run, or train again") -> Iterator[None]:
    """Turn what a missing or broken file raises into a message that names it."""
    try:
        yield
    except (ValueError, LookupError, TypeError, OSError, RecursionError, OverflowError) as error:
        if isinstance(error, ValueError) and str(error).startswith("run: "):
            raise  # it says what there is to say
        said = str(error) if not isinstance(error, KeyError) else f"there is no {error}"
        if isinstance(error, FileNotFoundError):
            said = "there is no such file"
        if found := re.search(r"\n  got (.*?)\n  try ", said, re.DOTALL):  # one of our own messages
            said = found[1].removeprefix(f"{path}: ")
        reason = " ".join(said.split())[:400] or type(error).__name__
        raise ValueError(
            f"run: {path.name} must be as it was written.\n  got {path}: {reason}\n  try {hint}"
        ) from error


def as_text(data: Any) -> str:
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError:  # the name of a file may be no UTF-8
        text = json.dumps(data, indent=2) + "\n"
    return text


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))


def write_json(path: Path, data: Any) -> None:
    write_text(path, as_text(data))


def read_json(path: Path) -> Any:
    with damaged(path):
        return json.loads(path.read_text("utf-8"))

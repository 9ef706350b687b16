"""Texts to train on: files, folders, standard input, and named corpora.

Named corpora: `shakespeare`, tiny Shakespeare, found in $GPT_DATA_DIR or in the user's cache, else
downloaded; `sample`, a play, `mini`, a tale of a few hundred words, and `hello`, two words, which
ship with this package. The end of a text is the validation split.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import platformdirs

from gpt.errors import closest, require

SHAKESPEARE_URL = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
)
SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
SHAKESPEARE_FILE = "tinyshakespeare.txt"
SHIPPED = ("sample", "hello", "mini")  # in this package
NAMES = ("shakespeare", *SHIPPED)

Progress = Callable[[int, int], None]  # (bytes so far, bytes in all)


@dataclass(frozen=True)
class Corpus:
    """A text and where it came from."""

    name: str
    text: str

    def splits(self, validation: float) -> tuple[str, str]:
        """The training text and the validation text, its last part; all of it twice for 0"""
        cut = int(len(self.text) * (1 - validation))
        return self.text[:cut], self.text[cut if validation else 0 :]


def load_corpus(names: Sequence[str], progress: Progress | None = None) -> Corpus:
    """The texts of `names`, joined: paths of files, folders (their *.txt), "-", or corpus names."""
    texts = [_read(name, progress) for name in names]
    corpus = Corpus("+".join(base_name(name) for name in names), "".join(texts))
    require(
        bool(corpus.text),
        "corpus: there must be text to train on.",
        f"an empty text from {', '.join(names)}",
        "gpt train sample",
    )
    return corpus


def base_name(path: str) -> str:
    """The last part of a path, also of `.`, `..` and `x/..`; stdin for `-`. Never empty, `.`, `..`
    or with a slash."""
    return "stdin" if path == "-" else Path(os.path.abspath(path)).name or "root"


def located(name: str) -> str:
    """The name by which a corpus is found again from any folder: paths become absolute."""
    known = name == "-" or name in NAMES
    return name if known else str(Path(name).resolve())


def default_corpus(progress: Progress | None = None, timeout: float = 5.0) -> tuple[Corpus, bool]:
    """Shakespeare if it is here or can be had within seconds, else the sample; and which it is:
    (corpus, whether it is Shakespeare)."""
    try:
        return Corpus("shakespeare", shakespeare(progress, timeout)), True
    except OSError:
        return Corpus("sample", shipped("sample")), False


def shipped(name: str) -> str:
    """A text that was written for this package"""
    text = (resources.files("gpt") / "data" / f"{name}.txt").read_text("utf-8")
    return text.rstrip("\n") if name == "hello" else text


def cache_folder() -> Path:
    return platformdirs.user_cache_path("tinygrad-lite", appauthor=False)


def shakespeare(
    progress: Progress | None = None, timeout: float = 30.0, url: str = SHAKESPEARE_URL
) -> str:
    """Tiny Shakespeare, from $GPT_DATA_DIR, the cache or `url`; OSError where none works.

    A file that is found is checked like one that is downloaded: another text under this name would
    make every figure incomparable.
    """
    folder = os.environ.get("GPT_DATA_DIR")
    if folder and (Path(folder) / SHAKESPEARE_FILE).exists():
        return _read_file(_verified(Path(folder) / SHAKESPEARE_FILE))
    kept = cache_folder() / SHAKESPEARE_FILE
    if not kept.exists():
        download(url, kept, SHAKESPEARE_SHA256, progress, timeout)
    return _read_file(_verified(kept))


def gpt2_folder() -> Path:
    """Where GPT-2's vocab.json and merges.txt are: $GPT_DATA_DIR/gpt2, or the cache's gpt2"""
    given = os.environ.get("GPT_DATA_DIR")
    folders = [Path(given) / "gpt2"] if given else []
    folders.append(cache_folder() / "gpt2")
    for folder in folders:
        if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
            return folder
    raise ValueError(
        "tokenizer: GPT-2's vocab.json and merges.txt must be on this machine.\n"
        f"  got none in {' or '.join(map(str, folders))}\n"
        "  try gpt import openai-community/gpt2 --out runs/gpt2, which has them, or --tokenizer"
        " FOLDER with both files"
    )


def _verified(path: Path) -> Path:
    import pooch

    found = pooch.file_hash(str(path))
    require(
        found == SHAKESPEARE_SHA256,
        "corpus: tiny Shakespeare has a known SHA-256.",
        f"{path} with {found}, not {SHAKESPEARE_SHA256}",
        f"removing {path}, or gpt train {path} --name another to use it as it is",
    )
    return path


def download(
    url: str, path: Path, sha256: str, progress: Progress | None = None, timeout: float = 30.0
) -> None:
    """Fetch `url` to `path`: to a temporary file first, checked, then moved into place.

    Raises OSError that says how to go on offline; then nothing is left at `path`.
    """
    import pooch
    import requests

    class Bar:  # the interface that pooch calls
        total = 0
        done = 0

        def update(self, n: int) -> None:
            self.done += n
            if progress is not None:
                progress(self.done, self.total)

        def reset(self) -> None:
            self.done = 0

        def close(self) -> None:
            pass

    bar: Any = Bar()
    pooch.get_logger().setLevel("ERROR")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        downloader = pooch.HTTPDownloader(progressbar=bar, timeout=timeout)
        pooch.retrieve(url, f"sha256:{sha256}", path.name, str(path.parent), downloader=downloader)
    except (requests.RequestException, ValueError, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise OSError(
            f"download: {url} must be reachable and have the SHA-256 {sha256[:12]}...\n"
            f"  got {type(error).__name__}: {reason}\n"
            f"  try gpt train sample, which needs no network, or put the file at {path}"
        ) from error


def _read(name: str, progress: Progress | None) -> str:
    if name == "-":
        return _decoded(sys.stdin.buffer.read(), "standard input")
    if name == "shakespeare":
        return shakespeare(progress)
    if name in SHIPPED:
        return shipped(name)
    path = Path(name)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*.txt") if p.is_file() and not _is_written(p))
        require(
            bool(files),
            "corpus: a folder must hold .txt files.",
            f"{name} without any",
            "the path of a text file",
        )
        return "".join(_read_file(p) for p in files)
    if not path.exists():
        near = closest(name, NAMES)
        hint = f"gpt train {near}" if near in NAMES else f"a path, or one of: {near}"
        require(
            False,
            "corpus: each CORPUS must be a file, a folder, - or a known name.",
            f"{name!r}, which does not exist",
            hint,
        )
    return _read_file(path)


def _is_written(path: Path) -> bool:
    """Whether a file holds what a model wrote while it was trained"""
    return path.name == "samples.txt" and path.with_name("log.jsonl").exists()


def _read_file(path: Path) -> str:
    return _decoded(path.read_bytes(), str(path))


def _decoded(data: bytes, source: str) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            "corpus: a text must be encoded as UTF-8.\n"
            f"  got byte 0x{data[error.start]:02x} at offset {error.start} of {source}\n"
            "  try iconv -t UTF-8 on a text in another encoding"
        ) from error
    require(
        "\0" not in text,
        "corpus: a text must not be binary.",
        f"a zero byte at offset {data.find(0)} of {source}",
        "a text file",
    )
    return text

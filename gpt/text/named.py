"""Texts that have a name, and the one download.

`shakespeare`, tiny Shakespeare, is found in $GPT_DATA_DIR or in the user's cache, else downloaded;
`sample`, a play, `mini`, a tale of a few hundred words, and `hello`, two words, ship with this
package.
"""

import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import platformdirs

from gpt.errors import require

SHAKESPEARE_URL = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
)
SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
SHAKESPEARE_FILE = "tinyshakespeare.txt"
SHIPPED = ("sample", "hello", "mini")  # in this package
NAMES = ("shakespeare", *SHIPPED)

Progress = Callable[[int, int], None]  # (what is done, all)


def cache_folder() -> Path:
    return platformdirs.user_cache_path("tinygrad-lite", appauthor=False)


def shipped(name: str) -> str:
    """A text that was written for this package"""
    text = (resources.files("gpt") / "data" / f"{name}.txt").read_text("utf-8")
    return text.rstrip("\n") if name == "hello" else text


def shakespeare(
    progress: Progress | None = None, timeout: float = 30.0, url: str = SHAKESPEARE_URL
) -> Path:
    """The file with tiny Shakespeare: in $GPT_DATA_DIR, the cache, or fetched from `url`; OSError
    where none works.

    A file that is found is checked like one that is downloaded: another text under this name would
    make every figure incomparable.
    """
    folder = os.environ.get("GPT_DATA_DIR")
    if folder and (Path(folder) / SHAKESPEARE_FILE).exists():
        return _verified(Path(folder) / SHAKESPEARE_FILE)
    kept = cache_folder() / SHAKESPEARE_FILE
    if not kept.exists():
        download(url, kept, SHAKESPEARE_SHA256, progress, timeout)
    return _verified(kept)


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

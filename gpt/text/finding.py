"""Find the documents that names lead to: files, folders, patterns, standard input, known texts."""

import glob
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from gpt.errors import closest, require
from gpt.text.corpus import Corpus, Document
from gpt.text.named import NAMES, SHIPPED, Progress, cache_folder, shakespeare
from gpt.text.reading import BLOCK, what_is_wrong

LONGEST_NAME = 60  # characters of the name of a corpus
OF_RUNS = ("config.json", "tokenizer.json", "log.jsonl", "probes.jsonl", "samples.txt",
           "report.html", "corpus.txt")  # fmt: skip


def load_corpus(
    names: Sequence[str],
    progress: Progress | None = None,
    include: Sequence[str] = (),
    errors: str = "strict",
    validation: Sequence[str] = (),
    standard_input: Path | None = None,
) -> Corpus:
    """The documents that `names` and `validation` name: see Source.

    progress         of a download
    standard_input   the file in which standard input was kept, to read it once more
    """
    names = [names] if isinstance(names, str) else names
    left_out: list[str] = []

    def found(names: Sequence[str]) -> list[Document]:
        return [d for n in names for d in _find(n, progress, include, errors, left_out, kept)]

    kept = standard_input
    if kept is None and "-" in (*names, *validation):
        kept = _keep_standard_input()
    documents, given = found(names), found(validation)
    return Corpus(_name_of(names), (*documents, *given), len(given), tuple(left_out))


def default_corpus(progress: Progress | None = None, timeout: float = 5.0) -> tuple[Corpus, bool]:
    """Shakespeare if it is here or can be had within seconds, else the sample; and which it is:
    (corpus, whether it is Shakespeare)."""
    try:
        path = shakespeare(progress, timeout)
        return Corpus("shakespeare", (Document("shakespeare", path),)), True
    except OSError:
        return Corpus("sample", (Document("sample"),)), False


def base_name(path: str) -> str:
    """The last part of a path, also of `.`, `..` and `x/..`; stdin for `-`. Never empty, `.`, `..`
    or with a slash."""
    return "stdin" if path == "-" else Path(os.path.abspath(path)).name or "root"


def located(name: str) -> str:
    """The name by which a corpus is found again from any folder: paths become absolute."""
    if name == "-" or name in NAMES:
        return name
    if _is_pattern(name):  # only what the user wrote is one, not the names of folders above
        return name if os.path.isabs(name) else os.path.join(glob.escape(os.getcwd()), name)
    return str(Path(name).resolve())


def may_be_folder(name: str) -> bool:
    """Whether a name of a text is that of a folder, or leads nowhere, which finding it will say"""
    return name not in ("-", *NAMES) and not _is_pattern(name) and not Path(name).is_file()


def is_known(name: str) -> bool:
    """Whether a name of a text leads to something now"""
    return name == "-" or name in NAMES or os.path.exists(name) or bool(_matches(name))


def _matches(pattern: str) -> list[Path]:
    return sorted(Path(p) for p in glob.glob(pattern, recursive=True) if os.path.isfile(p))


def _name_of(names: Iterable[str]) -> str:
    """One that fits into a folder's name"""
    parts = [
        re.sub(r"[*?\[\]]+", "", base_name(name)).strip(".") or "texts"
        for name in dict.fromkeys(names)
    ]
    whole = "+".join(parts)
    if len(whole) <= LONGEST_NAME:
        return whole
    return f"{parts[0][: LONGEST_NAME - 16]}+{len(parts) - 1}-more"


def _is_pattern(name: str) -> bool:
    return any(c in name for c in "*?[") and not os.path.lexists(name)


def _keep_standard_input() -> Path:
    """Standard input in a file, since a text is read more than once; it goes with the process"""
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        file = tempfile.NamedTemporaryFile(prefix="stdin-", dir=cache)  # noqa: SIM115
    except OSError:
        file = tempfile.NamedTemporaryFile(prefix="stdin-")  # noqa: SIM115
    _kept.append(file)
    shutil.copyfileobj(sys.stdin.buffer, file, BLOCK)
    file.flush()
    return Path(file.name)


_kept: list = []  # closed, and so removed, when the process ends


def _find(
    name: str,
    progress: Progress | None,
    include: Sequence[str],
    errors: str,
    left_out: list[str],
    standard_input: Path | None,
) -> Iterator[Document]:
    require(
        bool(name),
        "corpus: a text has a name.",
        "'', an empty one, as of a variable that is not set",
        "the path of a file, or . for the current folder",
    )
    if name == "-":
        yield Document("standard input", standard_input, errors)
    elif name == "shakespeare":
        yield Document(name, shakespeare(progress))
    elif name in SHIPPED:
        yield Document(name)
    elif _is_pattern(name):
        found = _matches(name)
        beside = {place: set(os.listdir(place)) for place in {p.parent for p in found}}
        of_runs = {p for p in found if _is_of_run(p, beside[p.parent])}
        left_out += [f"{p}: written by a training run" for p in sorted(of_runs)]
        require(
            len(found) > len(of_runs),
            "corpus: a pattern must fit the names of files.",
            f"{name!r}, which fits none",
            "the path of a folder",
        )
        yield from (Document(str(p), p, errors) for p in found if p not in of_runs)
    elif Path(name).is_dir():
        yield from _in_folder(Path(name), include, errors, left_out)
    else:
        if not Path(name).exists():
            near = closest(name, NAMES)
            hint = f"gpt train {near}" if near in NAMES else f"a path, or one of: {near}"
            require(
                False,
                "corpus: each CORPUS must be a file, a folder, a pattern, - or a known name.",
                f"{name!r}, which does not exist",
                hint,
            )
        require(
            Path(name).is_file(),
            "corpus: a text is read more than once, from a file.",
            f"{name}, which is a pipe or a device",
            "gpt train -, which keeps what it reads from standard input",
        )
        yield Document(name, Path(name), errors)


def _in_folder(
    folder: Path, include: Sequence[str], errors: str, left_out: list[str]
) -> Iterator[Document]:
    """Its text files, in the order of their names; what is left out is added to the list"""
    found = False
    for place, folders, files in os.walk(folder):
        hidden = [f for f in folders if f.startswith(".") or f == "__pycache__"]
        left_out += [f"{Path(place, f)}: a hidden folder" for f in sorted(hidden)]
        links = [f for f in folders if Path(place, f).is_symlink() and f not in hidden]
        left_out += [f"{Path(place, f)}: a link to a folder" for f in sorted(links)]
        folders[:] = sorted(set(folders) - set(hidden))
        beside = set(files)
        for file in sorted(files):
            path = Path(place, file)
            reason = _unwanted(path, include, errors, beside)
            if reason:
                left_out.append(f"{path}: {reason}")
            else:
                found = True
                yield Document(str(path), path, errors)
    require(
        found,
        "corpus: a folder must hold text files"
        + (f" that fit {' or '.join(include)}." if include else "."),
        f"{folder} without any",
        "the path of a text file" + (", or another --include" if include else ""),
    )


def _is_of_run(path: Path, beside: set[str]) -> bool:
    """Whether a training run has written a file; beside: the names of the files in its folder"""
    logged = "log.jsonl" in beside and bool({"samples.txt", "tokenizer.json"} & beside)
    return path.name in OF_RUNS and (logged or ".training.lock" in beside)


def _unwanted(path: Path, include: Sequence[str], errors: str, beside: set[str]) -> str:
    """Why a file of a folder is left out; empty where it is not"""
    if include and not any(path.match(pattern) for pattern in include):
        return "another name"
    if path.name.startswith("."):
        return "hidden"
    if _is_of_run(path, beside):
        return "written by a training run"
    try:
        if not path.is_file():
            return "no file"
        return what_is_wrong(path, errors)
    except OSError as error:
        return error.strerror or "unreadable"

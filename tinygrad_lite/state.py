"""Save and load named arrays with safetensors: no code in the file, none run when it is read.

Beside the strings of a file stand two checksums, SHA-256 of its arrays and of its strings. A file
that has them is checked when it is read; files of other programs have none. Files are read by the
safetensors library, which checks their form, and written here: the library gives the strings in
another order each time, and needs the whole file in memory once more.
"""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from tinygrad_lite.tensor import Tensor

UNFINISHED = ".unfinished"  # how the names of files end while they are written
OF_ARRAYS, OF_STRINGS = "sha256.arrays", "sha256.strings"  # names of the checksums


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> None:
    """Call write(temporary), sync the file and rename it to `path`: the old file or the new one
    exists at every moment, whatever happens in between."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            write(temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno is None:
            raise
        # Of the file that was meant, not of the temporary one
        raise OSError(error.errno, error.strerror, str(path)) from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def save_state(
    path: str | Path,
    state: Mapping[str, Tensor | np.ndarray],
    metadata: dict[str, str] | None = None,
) -> None:
    """Write named tensors, and strings beside them, to a safetensors file, atomically."""
    if not isinstance(state, Mapping):
        raise TypeError(
            "save_state: it is given a path, and a dictionary of named tensors.\n"
            f"  got {type(state).__name__} in place of the dictionary\n"
            "  try save_state(path, model.state_dict())"
        )
    _check_words([*state, *(metadata or {}), *(metadata or {}).values()])
    arrays = {}
    for name, value in state.items():
        array = np.asarray(value.data if isinstance(value, Tensor) else value, order="C")
        arrays[name] = array.astype(array.dtype.newbyteorder("="), copy=False)
    strings = {**(metadata or {}), OF_ARRAYS: _sum_of_arrays(arrays)}
    strings[OF_STRINGS] = _sum_of_strings(strings)
    write_atomically(path, lambda temporary: _write(temporary, arrays, strings))


def _check_words(words: Iterable[object]) -> None:
    """Before anything is written: names and strings are such as the format has"""
    for word in words:
        try:
            fits = isinstance(word, str) and word != "__metadata__" and word.encode() is not None
        except UnicodeEncodeError:
            fits = False
        if not fits:
            raise TypeError(
                "save_state: the names of arrays, and the strings beside them, are strings.\n"
                f"  got {word!r}\n  try str(...), and json.dumps(...) for what has parts"
            )


KINDS = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32",
         "int16": "I16", "int8": "I8", "uint64": "U64", "uint32": "U32", "uint16": "U16",
         "uint8": "U8", "bool": "BOOL"}  # fmt: skip


def _write(path: Path, arrays: Mapping[str, np.ndarray], strings: Mapping[str, str]) -> None:
    """The safetensors format: the header's length, the header as JSON, the bytes of the arrays"""
    header: dict[str, Any] = {"__metadata__": dict(sorted(strings.items()))}
    # Wide numbers first, so that each array begins at a multiple of its numbers' size
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    end = 0
    for name in order:
        array = arrays[name]
        if str(array.dtype) not in KINDS:
            raise TypeError(
                f"save_state: arrays have one of the dtypes {', '.join(KINDS)}.\n"
                f"  got {array.dtype} for {name!r}\n  try astype(np.float32)"
            )
        start, end = end, end + array.nbytes
        shape, kind = list(array.shape), KINDS[str(array.dtype)]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            file.write(arrays[name].reshape(-1).view(np.uint8).data)


def load_state(path: str | Path) -> dict[str, np.ndarray]:
    """The named arrays of a safetensors file; ValueError where they are not as they were saved"""
    with _complete(path):
        arrays, expected = load_file(path), _read_strings(path).get(OF_ARRAYS)
        if expected is not None and _sum_of_arrays(arrays) != expected:
            raise ValueError("its arrays are not those that were saved: their checksum differs")
        return arrays


def load_metadata(path: str | Path) -> dict[str, str]:
    """The strings beside the arrays of a safetensors file; ValueError where they are not as they
    were saved"""
    with _complete(path):
        strings = _read_strings(path)
        return {n: s for n, s in strings.items() if n not in (OF_ARRAYS, OF_STRINGS)}


def _read_strings(path: str | Path) -> dict[str, str]:
    with safe_open(path, "numpy") as file:
        strings = file.metadata() or {}
    if OF_STRINGS in strings and _sum_of_strings(strings) != strings[OF_STRINGS]:
        raise ValueError("its strings are not those that were saved: their checksum differs")
    return strings


def _sum_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of names, dtypes, shapes and numbers, in the order of the names"""
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        total.update(json.dumps([name, str(array.dtype), array.shape]).encode())
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def _sum_of_strings(strings: Mapping[str, str]) -> str:
    rest = {name: text for name, text in sorted(strings.items()) if name != OF_STRINGS}
    return hashlib.sha256(json.dumps(rest).encode()).hexdigest()


@contextlib.contextmanager
def _complete(path: str | Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            "load_state: the file must be a complete safetensors file.\n"
            f"  got {path}: {error}\n  try an earlier copy of it"
        ) from error

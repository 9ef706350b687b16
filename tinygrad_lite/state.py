"""Save and load named arrays with safetensors: no code in the file, none run when it is read."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from tinygrad_lite.tensor import Tensor


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> None:
    """Call write(temporary), sync the file and rename it to `path`: the old file or the new one
    exists at every moment, whatever happens in between."""
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
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
    arrays = {
        name: np.asarray(value.data if isinstance(value, Tensor) else value, order="C")
        for name, value in state.items()
    }
    write_atomically(path, lambda temporary: temporary.write_bytes(save(arrays, metadata)))


def load_state(path: str | Path) -> dict[str, np.ndarray]:
    """The named arrays of a safetensors file"""
    with _complete(path):
        return load_file(path)


def load_metadata(path: str | Path) -> dict[str, str]:
    """The strings beside the arrays of a safetensors file"""
    with _complete(path), safe_open(path, "numpy") as file:
        return file.metadata() or {}


@contextlib.contextmanager
def _complete(path: str | Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            "load_state: the file must be a complete safetensors file.\n"
            f"  got {path}: {error}\n  try an earlier copy of it"
        ) from error

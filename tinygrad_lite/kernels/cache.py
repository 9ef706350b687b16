"""Compiled kernels on disk: Numba's cache, in files that are sealed with a SHA-256.

A file that is damaged counts as missing, and so does one for other arguments, which two processes
that compile at the same time may leave under one name. One that cannot be written is done without:
then the kernel is compiled in memory. Numba itself would unpickle what it finds, and run it.
"""

import contextlib
import hashlib
import pickle
from collections.abc import Callable, Iterator
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile

from tinygrad_lite.kernels.cpu import has_amx

SEAL = hashlib.sha256().digest_size


class SealedFiles(IndexDataCacheFile):
    """The index of a kernel, and a data file for each kind of arguments"""

    def _load_index(self) -> dict[Any, str]:
        try:
            version, stamp, overloads = pickle.loads(self._unsealed(self._index_path))
        except OSError:
            return {}
        return overloads if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._seal(self._index_path, self._dump((self._version, self._source_stamp, overloads)))

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (key, data))

    def load(self, key: Any) -> Any:
        found = super().load(key)
        return found[1] if found is not None and found[0] == key else None

    def _load_data(self, name: str) -> Any:
        return pickle.loads(self._unsealed(self._data_path(name)))

    def _save_data(self, name: str, data: Any) -> None:
        self._seal(self._data_path(name), self._dump(data))

    def _seal(self, path: str, data: bytes) -> None:
        with self._open_for_write(path) as file:
            file.write(hashlib.sha256(data).digest() + data)

    def _unsealed(self, path: str) -> bytes:
        """What _seal has written; OSError where that is not there, or not whole"""
        with open(path, "rb") as file:
            seal, data = file.read(SEAL), file.read()
        if hashlib.sha256(data).digest() != seal:
            raise OSError(f"{path} is damaged")
        return data


class KernelCache(FunctionCache):
    """The cache of one kernel; `stamp`: what else it depends on than the file that it stands in"""

    def __init__(self, function: Callable, stamp: tuple):
        super().__init__(function)
        files: Any = self._cache_file
        name = f"{self._impl.filename_base}.sealed"  # Numba would stumble over such files
        self._cache_file: Any = SealedFiles(self._cache_path, name, (*files._source_stamp, *stamp))

    def _index_key(self, *of: Any) -> tuple:
        """Numba knows the CPU, and not whether this process may use all of it."""
        return (*super()._index_key(*of), has_amx())

    @contextlib.contextmanager
    def _guard_against_spurious_io_errors(self) -> Iterator[None]:
        with contextlib.suppress(OSError):
            yield

"""Compiled functions: with which flags Numba compiles them, and where they are kept on disk."""

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import event

# Only what cannot change a result but the sign of a zero. With freedom to reorder sums or to fuse a
# multiplication and an addition, LLVM uses it differently right after compiling and after loading
# from disk, and the first run of a program would not give the bits of later ones. Sums that must
# be fast are in rows.py. `nnan` and `ninf` would hide NaNs and break masks of -inf.
FASTMATH = {"nsz"}
CHANGED = f"Numba {numba.__version__} has changed in a way that the engine does not know"


def _stamp_of(folder: Path) -> tuple[float, int]:
    """Newest modification time and total size of the Python files in `folder`."""
    stats = [path.stat() for path in sorted(folder.glob("*.py"))]
    return max(s.st_mtime for s in stats), sum(s.st_size for s in stats)


_SHARED_STAMP = _stamp_of(Path(__file__).parent)


def inlined(function: Callable, fastmath: frozenset[str] | set[str] = FASTMATH) -> Any:
    """A device function: part of the kernels that call it, with the same arithmetic."""
    return numba.njit(
        function, nogil=True, fastmath=set(fastmath), error_model="numpy",
        no_cpython_wrapper=True, no_cfunc_wrapper=True,  # only compiled code calls it
        **_linked(),
    )  # fmt: skip


@functools.cache
def _linked() -> dict[str, Any]:
    try:
        from tinygrad_lite.kernels.linked import LinkedCompiler  # relies on private parts of Numba
    except (ImportError, AttributeError):
        _warn_once(f"{CHANGED}: kernels take longer to compile")
        return {}
    return {"pipeline_class": LinkedCompiler}


def dispatcher(entry: Callable) -> Any:
    """The entry as a Numba function, cached on disk"""
    compiled = numba.njit(entry, nogil=True, no_cfunc_wrapper=True)
    try:
        from tinygrad_lite.kernels.cache import KernelCache  # relies on private parts of Numba

        # Numba's disk cache watches only the file that holds the kernel. What is shared from this
        # folder is compiled into every kernel: a change here must make them all stale.
        compiled._cache = KernelCache(entry, _SHARED_STAMP)
    except RuntimeError as error:  # in no folder can be written
        _warn_once(f"kernels are compiled anew in each process: {error}; try NUMBA_CACHE_DIR")
    except (ImportError, AttributeError, TypeError):
        _warn_once(f"{CHANGED}: its disk cache is done without, and kernels are compiled anew")
    return compiled


def _warn_once(what: str) -> None:
    if what not in _said:
        _said.add(what)
        warnings.warn(f"tinygrad_lite: {what}", RuntimeWarning, stacklevel=2)


_said: set[str] = set()


class _CompileListener(event.Listener):
    def __init__(self, callback: Callable[[], None]):
        self.callback = callback

    def on_start(self, event: Any) -> None:
        self.callback()

    def on_end(self, event: Any) -> None:
        pass


def on_compile(callback: Callable[[], None]) -> None:
    """Call `callback()` whenever a kernel starts to be compiled (not when it comes from disk)."""
    event.register("numba:compile", _CompileListener(callback))

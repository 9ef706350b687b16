"""How functions are compiled that only kernels call.

Numba optimises each function together with all that it calls, and makes machine code of it, and
does both again for each function that calls it. Of a kernel's parts neither is wanted: they are
linked with the kernel, and optimised once, as parts of it. That takes two thirds of the time.

    inlined function -> its LLVM module -> linked into the kernel's -> optimised -> machine code
"""

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

# Parts of Numba that are relied on: without one of them the import fails, and functions.py goes on
_NEEDED = (
    JITCodeLibrary._optimize_final_module,
    JITCodeLibrary._finalize_final_module,
    JITCodeLibrary._finalize_dynamic_globals,
    JITCodeLibrary._verify_declare_only_symbols,
)


class LinkedLibrary(JITCodeLibrary):
    """A module for others to link with: no machine code, hence nothing that could be called"""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    @property
    def codegen(self) -> Any:
        return _WithoutEnvironment(self._codegen)


class _WithoutEnvironment:
    """What Numba wants to tell a function in memory is where Python's objects are that it uses:
    there is none in memory, and kernels use none."""

    def __init__(self, codegen: Any):
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, name: str, environment: Any) -> None:
        pass


class LinkedCompiler(Compiler):
    """`numba.njit(pipeline_class=LinkedCompiler)`"""

    def __init__(self, typing: Any, target: Any, library: Any, *rest: Any):
        super().__init__(typing, target, library or LinkedLibrary(target.codegen(), "part"), *rest)

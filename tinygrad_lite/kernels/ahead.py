"""Compile ahead, in two processes: each takes about half of what is missing in the disk cache.

`compile_ahead(function)` runs the function without its kernels, only to see which it calls with
which types of arguments. A helper process then compiles some of them while this one compiles the
others; both write to Numba's disk cache, from which each takes what the other has compiled.
"""

import contextlib
import gc
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import types

from tinygrad_lite.kernels.compile import Kernel
from tinygrad_lite.kernels.tables import Table
from tinygrad_lite.kernels.watch import Watcher, watched_by

Task = tuple[Kernel, list[str]]

# The helper imports the package from where this process has it. Python would look for modules in
# the current folder first: a numbers.py there would be run in place of the one that Numba needs.
HELPER = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("tinygrad_lite", sys.argv[1])
sys.modules["tinygrad_lite"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
from tinygrad_lite.kernels.ahead import compile_given
compile_given()
"""


def compile_ahead(function: Callable[[], object]) -> None:
    """Compile the kernels that `function()` would call. Its kernels are not run, everything else in
    it is: give it a model that can be thrown away."""
    if numba.config.DISABLE_JIT:
        return
    missing = [task for task in planned(function) if not _is_cached(*task)]
    if not missing:
        return
    theirs, ours = _halves(missing)
    helper = subprocess.Popen(
        [sys.executable, "-P", "-c", HELPER, str(Path(__file__).parents[1] / "__init__.py")],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert helper.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it could not start
            json.dump([[k.__module__, k.__name__, kinds] for k, kinds in theirs], helper.stdin)
            helper.stdin.close()
        for kernel, kinds in ours:
            compile_for(kernel, kinds)
        helper.wait()
    finally:
        helper.kill()  # what it has not compiled, this process compiles when it is called
        helper.wait()


def count_missing(function: Callable[[], object]) -> tuple[int, int]:
    """(kernels that `function()` would compile, all that it would call); none is run"""
    if numba.config.DISABLE_JIT:
        return 0, 0
    needed = planned(function)
    return sum(not _is_cached(*task) for task in needed), len(needed)


class _Planner(Watcher):
    """Notes the kernels, and with which kinds of arguments, instead of running them"""

    def __init__(self) -> None:
        self.found: set[tuple[Kernel, tuple[str, ...]]] = set()

    def launch(self, function: Callable, arguments: tuple) -> None:
        kernel = getattr(function, "__self__", None)
        if isinstance(kernel, Kernel):
            self.found.add((kernel, tuple(_kind(a) for a in arguments)))
        else:
            function(*arguments)


def planned(function: Callable[[], object]) -> list[Task]:
    """The kernels that function() would call, each with the kinds of its arguments"""
    planner = _Planner()
    with watched_by(planner), np.errstate(all="ignore"):
        function()
    return [(kernel, list(kinds)) for kernel, kinds in planner.found]


def _kind(argument: Any) -> str:
    """float32 3: an array with three axes; int64: a number"""
    if isinstance(argument, Table):
        return "int64 2"
    if isinstance(argument, np.ndarray):
        return f"{argument.dtype} {argument.ndim}"
    return str(numba.typeof(argument))


def _type_of(kind: str) -> Any:
    name, _, axes = kind.partition(" ")
    number = getattr(types, {"bool": "boolean"}.get(name, name))
    return types.Array(number, int(axes), "C") if axes else number


def compile_for(kernel: Kernel, kinds: list[str]) -> None:
    gc.disable()  # the compiler's many objects live until it is done: looking at them costs 7 %
    try:
        kernel.prepare().compile(tuple(_type_of(kind) for kind in kinds))
    finally:
        gc.enable()


def _is_cached(kernel: Kernel, kinds: list[str]) -> bool:
    """Whether Numba's index on disk has the kernel for these arguments"""
    entry = kernel.prepare()
    cache = entry._cache
    if not hasattr(cache, "_cache_file"):  # there is none
        return False
    signature = tuple(_type_of(kind) for kind in kinds)
    key = cache._index_key(signature, entry.targetctx.codegen())
    return key in cache._cache_file._load_index()


def _halves(tasks: list[Task]) -> tuple[list[Task], list[Task]]:
    """Two lists that take about the same time: the longest first, each to the shorter list."""
    halves: tuple[list[Task], list[Task]] = ([], [])
    times = [0, 0]

    def time_of(task: Task) -> tuple[int, str]:
        return len(task[0].function.__code__.co_code), task[0].__name__

    for task in sorted(tasks, key=time_of, reverse=True):
        which = times.index(min(times))
        halves[which].append(task)
        times[which] += time_of(task)[0]
    return halves


def compile_given() -> None:
    """What the helper does: compile the kernels that standard input names."""
    for module, name, kinds in json.load(sys.stdin):
        with contextlib.suppress(ImportError, AttributeError):  # not in this package: left over
            compile_for(getattr(importlib.import_module(module), name), kinds)

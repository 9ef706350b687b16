"""No kernel touches memory beyond its operands; see guarded.py.

Each test runs in a process of its own, because the mistake that it looks for ends the process.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numba
import pytest

if os.name != "posix" or numba.config.DISABLE_JIT:
    pytest.skip("pages are protected as POSIX does, and Python checks", allow_module_level=True)

from guarded import MISUSE

GUARDED = Path(__file__).parent / "guarded.py"
PLACES = ("end", "begin")


# Arguments that are believed although they do not fit: a line goes with its mistake.
def run(where: str, *parts: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(GUARDED), where, *parts], capture_output=True, text=True, timeout=300
    )


def report(result: subprocess.CompletedProcess) -> str:
    """What was being computed, and how it ended"""
    last = result.stdout.splitlines()[-1:] or ["nothing printed"]
    return f"{last[0]}: exit status {result.returncode}\n{result.stderr[-2000:]}"


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize(
    "part", ["rows", "products", "layers", "int8", "heads", "whole_rows", "optimizers"]
)
def test_operands_are_not_overrun(part, where):
    result = run(where, part)
    assert result.returncode == 0, report(result)
    assert result.stdout.endswith(" cases\n")


@pytest.mark.parametrize(("where", "part"), [("end", "writes_after"), ("begin", "reads_before")])
def test_planted_mistakes_end_the_process(where, part):
    result = run(where, part)
    assert result.returncode in (-signal.SIGSEGV, -signal.SIGBUS), report(result)
    assert result.stdout.splitlines()[-1] == part


def test_what_does_not_fit_is_refused():
    result = run("end", *MISUSE)
    assert result.returncode == 0, report(result)

"""Every code block of the README, and of those of the packages, runs: Python blocks print what they
claim, commands succeed.

Commands of a file run one after the other as they are written, with `python3 -m venv` and `pip`
doing nothing (the tests are installed already), `pytest` only collecting, and `gpt train` with a
tiny model for a few steps.
"""

import itertools
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "tinygrad_lite/README.md", "gpt/README.md")
SHORT = "--steps 2 --sample-tokens 8"
TINY = f"{SHORT} --n-layer 1 --n-head 2 --n-embd 16 --batch-size 2"

SHIMS = {
    "pip": "exit 0",
    "python3": 'if [ "$1 $2" = "-m venv" ]; then exit 0; fi; exec "$PYTHON" "$@"',
    "python": 'exec "$PYTHON" "$@"',
    "pytest": 'exec "$PYTHON" -m pytest --collect-only -q "$ROOT/tests" "$@"',
    # Of a command for several machines, what each of them does
    "mpirun": 'while [ "$1" != gpt ]; do shift; done; exec "$@"',
    "gpt": f'case "$*" in *--resume*|*--minutes*) ;; train*--from*) set -- "$@" {SHORT};; '
    f'train*) set -- "$@" {TINY};; esac; exec "$PYTHON" -m gpt "$@"',
}


def run(command, folder, **environment):
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def blocks(name):
    """The language and the text of each"""
    text = (ROOT / name).read_text("utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S)


@pytest.mark.parametrize(("name", "least"), [("README.md", 1), ("tinygrad_lite/README.md", 3)])
def test_python_blocks_print_what_follows_them(name, least, tmp_path):
    found = 0
    for (language, code), (next_language, output) in itertools.pairwise(blocks(name)):
        if language == "python":
            assert next_language == "text"
            path = tmp_path / "example.py"
            path.write_text(code)
            done = run([sys.executable, str(path)], tmp_path)
            assert done.stderr == ""
            assert done.stdout == output
            found += 1
    assert found == sum(language == "python" for language, _ in blocks(name))
    assert found >= least


@pytest.mark.parametrize(
    ("name", "least"), [("README.md", 12), ("tinygrad_lite/README.md", 1), ("gpt/README.md", 20)]
)
def test_commands_succeed(name, least, tmp_path):
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for shim, body in SHIMS.items():
        path = folder / shim
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    offline = {name: "http://127.0.0.1:1" for name in ("HTTPS_PROXY", "https_proxy")}
    lines = [
        line for language, code in blocks(name) if language == "sh" for line in code.splitlines()
    ]
    assert len(lines) >= least
    for line in lines:
        if "GPT_DATA_DIR" not in os.environ:  # the text that ships with gpt stands for the other
            line = line.replace("gpt train shakespeare", "gpt train sample")
        path = f"{folder}:{os.environ['PATH']}"
        done = run(["bash", "-c", line], tmp_path, PATH=path, ROOT=str(ROOT), **offline)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr


def test_the_map_names_what_is_there():
    readme = (ROOT / "README.md").read_text("utf-8")
    for name in re.findall(r"^ *([\w/.]+\.py|\w+/)(?:  |, )", readme, re.M):
        matches = list(ROOT.glob(name.rstrip("/"))) + list(ROOT.glob(f"*/{name.rstrip('/')}"))
        assert matches, f"{name} is in the README's map, but not in the project"


@pytest.mark.parametrize("name", READMES)
def test_links_lead_to_files(name):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / name).read_text("utf-8")):
        if not (ROOT / name).parent.joinpath(target).exists():
            pytest.fail(f"{name} links to {target}, which does not exist")

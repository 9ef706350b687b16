"""The tour: its code is copied from the source, its numbers are printed by its commands.

`python -m tests.tour` fills the blocks of gpt/TOUR.md anew; the tests compare them with what is
there. A block follows a line that says where it comes from:

    <!-- code: FILE "a part of the first line" .. "a part of the last" -->
    <!-- run: COMMAND | tail LINES -->
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
TOUR = ROOT / "gpt" / "TOUR.md"
BLOCK = re.compile(r"^<!-- (code|run): (.*?) -->\n```(\w+)\n(.*?)^```$", re.M | re.S)


def copied(source: str) -> str:
    """Lines of a file, without what they are indented by"""
    path, first, last = re.fullmatch(r'(\S+) "(.*)" \.\. "(.*)"', source).groups()
    lines = (ROOT / path).read_text("utf-8").splitlines()
    start = _only(lines, first, path)
    end = start + _only(lines[start:], last, path, several=True)
    return textwrap.dedent("\n".join(lines[start : end + 1])) + "\n"


def _only(lines: list[str], part: str, path: str, several: bool = False) -> int:
    found = [i for i, line in enumerate(lines) if part in line]
    if not found or (len(found) > 1 and not several):
        raise ValueError(f"tour: {part!r} stands in {len(found)} lines of {path}, not in one")
    return found[0]


def printed(command: str, folder: Path) -> str:
    command, _, rest = command.partition(" | tail ")
    words = shlex.split(command)
    assert words[0] == "gpt"
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
    )  # fmt: skip
    lines = [line.rstrip() for line in done.stdout.strip("\n").splitlines()]
    return "\n".join(lines[-int(rest) :] if rest else lines) + "\n"


def filled(text: str, folder: Path) -> str:
    """The tour with every block as it should be; commands run in `folder`, one after the other"""

    def block(match: re.Match) -> str:
        kind, source, language, _ = match.groups()
        inside = copied(source) if kind == "code" else printed(source, folder)
        return f"<!-- {kind}: {source} -->\n```{language}\n{inside}```"

    return BLOCK.sub(block, text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        TOUR.write_text(filled(TOUR.read_text("utf-8"), Path(folder)), "utf-8")
        printed("gpt explain runs/hello hell --figures figures", Path(folder))
        for name in ("layer_1.png", "next_token_probability.png"):
            (ROOT / "gpt" / "tour" / name).write_bytes(Path(folder, "figures", name).read_bytes())

"""The worked models: the same losses recorded and not, and what they reach in a few seconds."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "tinygrad_lite" / "examples"
NAMES = sorted(p.stem for p in EXAMPLES.glob("*.py") if p.stem not in ("__init__", "command"))
OF_DIGITS = ("mlp", "cnn", "vae")
FEW = {"pole": 200, "gan": 6}


def example(name):
    if name in OF_DIGITS:
        pytest.importorskip("sklearn", reason="the digits ship inside scikit-learn")
    return importlib.import_module(f"tinygrad_lite.examples.{name}")


def test_there_are_eight_of_less_than_120_lines():
    assert len(NAMES) == 8
    for name in NAMES:
        assert len((EXAMPLES / f"{name}.py").read_text("utf-8").splitlines()) < 120


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_step_gives_the_same_numbers(name):
    one = example(name)
    plain, fast = (one.train(steps=FEW.get(name, 12), jit=jit) for jit in (False, True))
    assert np.isfinite(plain["losses"]).all()
    np.testing.assert_array_equal(plain["losses"], fast["losses"])


# What is reached after fewer steps than the default: name, steps, number, and how good it is
REACHED = [
    ("mlp", 600, lambda r: r["accuracy"] >= 0.96),
    ("cnn", 150, lambda r: r["accuracy"] >= 0.95),
    ("lstm", 60, lambda r: r["loss"] < 3.5),
    ("vae", 300, lambda r: r["loss"] < 16),
    ("gan", 150, lambda r: r["near"] > 0.02),
    ("pinn", 400, lambda r: r["error"] < 1e-2),
    ("diffusion", 600, lambda r: r["distance"] < 0.25),
    ("pole", 4000, lambda r: r["upright"] > 60),
]


@pytest.mark.parametrize(("name", "steps", "good"), REACHED, ids=[n for n, *_ in REACHED])
def test_they_learn(name, steps, good):
    result = example(name).train(steps=steps)
    assert good(result), {k: v for k, v in result.items() if isinstance(v, float)}


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tinygrad_lite.examples.pinn", *arguments],
        capture_output=True, text=True, check=False, cwd=EXAMPLES.parent.parent,
    )  # fmt: skip


def test_the_command_says_what_is_wrong_before_it_trains(tmp_path):
    mine = tmp_path / "mine.png"
    mine.write_text("mine")
    for arguments in (
        ["--steps", "0"],
        ["--picture", str(mine)],
        ["--picture", str(tmp_path / "no" / "a.png")],
        ["--picture", str(tmp_path / "a.txt")],
    ):
        done = command(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert not done.stdout
    assert mine.read_text() == "mine"


def test_the_command_draws_a_picture(tmp_path):
    picture = tmp_path / "heat.png"
    done = command("--steps", "20", "--picture", str(picture))
    assert done.returncode == 0, done.stderr
    assert '"error":' in done.stdout
    assert picture.read_bytes()[:4] == b"\x89PNG"

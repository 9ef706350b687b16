"""The benchmarks' own machinery: comparing before timing, rows, the picture."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import timing, tokens


def factory(value, key="x"):
    """A contender that computes `value`"""
    return (lambda: time.sleep(0.001)), {key: np.asarray(value)}


def test_contenders_that_disagree_are_not_timed():
    contenders = {"ours": (factory, (1.0,)), "other": (factory, (1.01,))}
    with pytest.raises(RuntimeError, match=r"got x of other .* apart from that of ours"):
        timing.race("step", "tiny", contenders, 1, tolerance=1e-3)
    rows = timing.race("step", "tiny", contenders, 1, tolerance=0.1, flops=1e6)
    assert [row.contender for row in rows] == ["ours", "other"]
    assert all(row.gflops > 0 and row.peak_mb > 1 and row.min_ms <= row.median_ms for row in rows)


def test_bfloat16_may_differ_by_its_rounding():
    contenders = {"ours float32": (factory, (1.0,)), "ours bfloat16": (factory, (1.01,))}
    timing.race("step", "tiny", contenders, 1, tolerance=1e-3)


def test_a_digest_sees_each_of_few_numbers_and_the_norm_of_many():
    x = np.ones(1_000_000, np.float32)
    y = x.copy()
    y[12345] = 50
    assert timing.digest(x)[-1] == pytest.approx(1000)
    assert abs(timing.digest(y)[-1] - timing.digest(x)[-1]) > 1
    assert len(timing.digest(np.ones((2, 3)))) == 7


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "benchmarks", *arguments], capture_output=True,
                          text=True, check=False, cwd=Path(__file__).parent.parent)  # fmt: skip


def test_a_run_writes_rows_and_a_picture(tmp_path):
    path = tmp_path / "rows.json"
    done = run("step", "--config", "hello", "--peers", "nobody", "--json", str(path))
    assert done.returncode == 0, done.stderr
    assert "nobody is not installed, or unknown here: not raced" in done.stdout
    data = json.loads(path.read_text())
    assert {"cpu", "threads", "numba", "peak_gflops", "bandwidth_gb_s"} <= set(data["machine"])
    row = data["rows"][0]
    assert (row["benchmark"], row["config"], row["contender"]) == ("step", "hello", "ours float32")
    assert 0 < row["min_ms"] <= row["median_ms"]
    assert row["first_s"] > 0
    assert row["peak_mb"] > 0
    assert run("chart", "--json", str(path)).returncode == 0
    assert (tmp_path / "rows.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("arguments", [("step", "--config", "helo"), ("chart",)])
def test_mistakes(arguments):
    done = run(*arguments)
    assert done.returncode != 0
    assert "\n  got " in done.stderr
    assert "Traceback" not in done.stderr


def test_texts_become_tokens_beside_the_library(monkeypatch):
    monkeypatch.setattr(tokens, "CONFIGS", {"1 MB bytes": 1, "1 MB characters": 1})
    monkeypatch.setattr(tokens, "RUNS", 1)
    ours, library = tokens.run("1 MB bytes", [])
    assert (ours.contender, library.contender) == ("ours", "tokenizers")
    assert [row.contender for row in tokens.run("1 MB characters", [])] == ["ours"]
    assert 0 < ours.min_ms <= ours.median_ms
    assert ours.peak_mb > 10

"""The benchmarks' own machinery: comparing before timing, rows, the picture."""

import collections
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import conv, kernels, models, ngrams, timing, tokens


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


@pytest.mark.parametrize("config", kernels.SHAPES)
def test_our_side_of_the_kernels_runs(config):
    """Recorded, and again"""
    call, results = kernels.ours(config)
    call()
    assert all(np.isfinite(x).all() for x in results.values())


@pytest.mark.parametrize("config", conv.CONFIGS)
def test_our_side_of_the_convolutions_runs(config):
    call, results = conv.ours(config)
    call()
    assert [x.shape for x in results.values()] == [x.shape for x in conv._inputs(config)]


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


def kneser_ney(training, vocab, order):
    """p(token, context) by the formula in benchmarks/ngrams.py, from dictionaries"""
    grams = [tuple(training[i : i + order]) for i in range(len(training) - order + 1)]
    # Whole contexts count each time they occur, shorter ones once for each token before them
    longer = [
        tuple(training[i : i + n + 1]) for n in range(1, order) for i in range(len(training) - n)
    ]
    models = {
        order: grams,
        **{n: [g[1:] for g in set(longer) if len(g) == n + 1] for n in range(1, order)},
    }

    def p(token, context):
        n = len(context) + 1
        counts = collections.Counter(models[n])
        once, twice = (sum(c == k for c in counts.values()) for k in (1, 2))
        discount = once / (once + 2 * twice) if once else 0.5
        shorter = p(token, context[1:]) if context else 1 / vocab
        after = {g: c for g, c in counts.items() if g[:-1] == context}
        if not after:
            return shorter
        own = max(after.get((*context, token), 0) - discount, 0)
        return (own + discount * len(after) * shorter) / sum(after.values())

    return p


@pytest.mark.parametrize("order", [1, 2, 3])
def test_counts_are_smoothed_as_the_formula_says(order):
    rng = np.random.default_rng(order)
    training, validation = rng.choice(5, (2, 60), p=[0.5, 0.3, 0.1, 0.1, 0])
    validation[7] = 4  # never seen
    p = kneser_ney(training.tolist(), 5, order)
    assert sum(p(token, (1, 0)[: order - 1]) for token in range(5)) == pytest.approx(1)
    both = [*training.tolist(), *validation.tolist()]
    places = range(len(training) + 1, len(both))
    expected = -np.mean([np.log(p(both[i], tuple(both[i - order + 1 : i]))) for i in places])
    assert ngrams.kneser_ney_loss(training, validation, 5, order) == pytest.approx(expected)


def test_a_sweep_keeps_what_was_measured_before(tmp_path):
    text, path = tmp_path / "text.txt", tmp_path / "rows.json"
    text.write_text("".join(f"{i * i} is the square of {i}.\n" for i in range(300)))
    for config in ("chosen", "2x64 context 128 dropout 0"):
        done = run("sweep", "--text", str(text), "--minutes", "0.05", "--config", config,
                   "--json", str(path))  # fmt: skip
        assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text())
    assert [row["what"] for row in rows] == ["chosen", "2x64 context 128 dropout 0"]
    assert all(row["seconds"] > 1 and 0 < row["nats"] < 5 for row in rows)
    assert all({"cpu", "commit", "peak_gflops"} <= set(row["machine"]) for row in rows)
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    unfinished = '[{"text": "a", "minutes": 1, "what": "chosen"}]'
    for other in ("{", "3", "{}", '""', "[3]", unfinished, '{"rows": []}'):
        path.write_text(other)
        refused = run("sweep", "--text", str(text), "--minutes", "0.05", "--json", str(path))
        assert "that of another sweep" in refused.stderr
        assert path.read_text() == other
    refused = run("sweep", "--text", str(text), "--json", str(tmp_path / "none" / "rows.json"))
    assert "that of another sweep" in refused.stderr


@pytest.mark.parametrize("config", models.CONFIGS)
def test_steps_of_the_worked_models_are_the_same_recorded_and_not(config):
    (_, recorded), (_, not_recorded) = (models.ours(config, way) for way in (True, False))
    for name, values in recorded.items():
        np.testing.assert_array_equal(values, not_recorded[name])
    assert recorded["losses"][-1] != recorded["losses"][0]

"""A run's history: its log, what is kept of each evaluation, the figure and the page of it."""

import base64
import json
import re

import numpy as np
import pytest

import gpt
import tinygrad_lite as tg
from gpt.cli import run
from gpt.inside.forward import record_pass
from gpt.inside.history import read_history, smoothed, sparkline, thinned
from gpt.inside.probes import read_probes
from gpt.mark import EARLIER, MARK
from gpt.text.counts import gzip_loss, ngram_losses
from gpt.training.run import Run

NASTY = "</script><script>alert(1)</script> ' \" & the quick brown fox jumps over it.\n" * 40
TINY = ["--n-layer", "2", "--n-head", "2", "--n-embd", "16", "--block-size", "16",
        "--batch-size", "4", "--steps", "20", "--eval-interval", "5",
        "--sample-tokens", "20"]  # fmt: skip


@pytest.fixture
def trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(NASTY)
    assert run(["train", "text.txt", "--out", "a", *TINY]) == 0
    return Run.open("a")


def test_what_is_kept_of_each_evaluation(capsys, trained):
    header, probes = read_probes(trained.probes)
    assert [p["step"] for p in probes] == [5, 10, 15, 20]
    model, tokenizer = gpt.load("a")
    cut = int(len(NASTY) * 0.9)
    V = tokenizer.vocab_size
    training, validation = tokenizer.encode(NASTY[:cut]), tokenizer.encode(NASTY[cut - 1 :])
    counts = ngram_losses(training, validation, V)
    assert header["levels"] == pytest.approx(
        {
            "a uniform guess": np.log(V),
            "how often each token occurs": counts[0],
            "what followed the one before": counts[1],
            "what followed the two before": counts[2],
            "gzip -9": gzip_loss(NASTY[cut:], len(validation) - 1),
        }
    )
    last = probes[-1]
    with tg.precision("auto"):  # as the run computed
        forward = record_pass(model, validation[:12])  # the last weights are the best
    shares = np.frombuffer(base64.b64decode(last["attention"]["data"]), np.uint8)
    shares = shares.reshape(last["attention"]["shape"]) / 255
    np.testing.assert_allclose(shares[1], forward["layer_2.weights"], atol=0.5 / 255 + 1e-3)
    assert last["next"][0][1] == pytest.approx(forward["probabilities"][-1].max(), abs=2e-3)
    assert all(len(json.dumps(p)) < 8000 for p in probes)
    out = capsys.readouterr().out
    assert re.search(r"^loss \d\.\d\d [▁▂▃▄▅▆▇█]{20} \d\.\d\d$", out, re.M)


def test_probes_go_back_with_the_log(trained):
    before = trained.probes.read_text()
    with trained.probes.open("a") as file:
        file.write('{"step": 25, "val_loss": 1.0}\n{"step": 26, "val')
    assert trained.rewind(20) == 0
    assert trained.probes.read_text() == before
    assert run(["train", "--resume", "a", "--steps", "30"]) == 0
    assert [p["step"] for p in read_probes(trained.probes)[1]] == [5, 10, 15, 20, 25, 30]
    assert read_history(trained.log).step[-1] == 30


def test_the_report_holds_the_run(trained, capsys):
    page = trained.report.read_text()
    assert page.count("<script") == 2
    for sign in ("http://", "https://", "src=", "@import", "url("):
        assert sign not in page.replace("http://www.w3.org/2000/svg", "")
    data = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.S)[1])
    history = read_history(trained.log)
    assert data["history"]["best"][2] == min(e[2] for e in history.evaluations)
    assert data["tables"]["model"]["n_layer"] == 2
    trained.probes.unlink()  # a run of before there were any
    assert run(["report", "a", "--out", "other.html"]) == 0
    assert "other.html" in capsys.readouterr().out
    assert run(["report", "nowhere"]) == 2
    trained.log.write_text("")
    assert run(["report", "a"]) == 2
    assert "a log must hold at least one step" in capsys.readouterr().err


def test_probes_without_their_header_are_not_shown(trained):
    lines = trained.probes.read_text().splitlines()[1:]
    trained.probes.write_text("\n".join(lines) + "\n")
    assert run(["report", "a"]) == 0
    page = trained.report.read_text()
    assert (
        json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.S)[1])["probes"]
        == []
    )
    assert run(["train", "--resume", "a", "--steps", "30"]) == 0  # which knows the header again
    header, probes = read_probes(trained.probes)
    assert header["layers"] == [1, 2]
    assert [p["step"] for p in probes] == [5, 10, 15, 20, 25, 30]


def test_a_page_that_is_not_the_runs_stays(trained, capsys):
    trained.report.write_text("mine")
    capsys.readouterr()
    assert run(["train", "--resume", "a", "--steps", "24"]) == 0
    captured = capsys.readouterr()
    assert "there is no report: a file that this command has not written" in captured.err
    assert "report.html" not in captured.out
    assert trained.report.read_text() == "mine"
    trained.report.write_text(f'<!doctype html>\n<meta content="{EARLIER}">')  # without a mark
    assert run(["report", "a"]) == 0
    assert MARK in trained.report.read_text()


def test_a_run_whose_log_is_lost_can_be_resumed(trained, capsys):
    trained.log.unlink()
    assert run(["train", "--resume", "a"]) == 0  # nothing is left to do
    assert "there is no report" in capsys.readouterr().err
    assert run(["train", "--resume", "a", "--steps", "24"]) == 0
    assert read_history(trained.log).step.tolist() == [21, 22, 23, 24]


def test_the_report_speaks_of_the_steps_that_were_asked_for(trained, capsys):
    assert run(["train", "--resume", "a", "--steps", "24", "--lr", "1e-4"]) == 0
    page = trained.report.read_text()
    data = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.S)[1])
    assert (data["header"]["steps"], data["tables"]["training"]["lr"]) == (24, 1e-4)
    capsys.readouterr()
    assert run(["info", "a"]) == 0
    assert "24 of 24 steps" in capsys.readouterr().out
    assert run(["train", "--resume", "a", "--steps", "5"]) == 0  # it has done more already
    assert trained.read_setup().train.steps == 24


def test_the_loss_is_drawn_as_its_name_says(trained, tmp_path, capsys):
    for name, beginning in (("x.png", b"\x89PNG"), ("x.svg", b"<?xml"), ("x.SVG", b"<?xml")):
        assert run(["plot", "a", "--out", name]) == 0
        assert (tmp_path / name).read_bytes().startswith(beginning)
    before = (tmp_path / "x.svg").read_text()
    assert run(["plot", "a", "--out", "x.svg", "--x", "steps"]) == 0
    assert (tmp_path / "x.svg").read_text() != before
    assert run(["plot", "a", "--out", "x.pdf"]) == 2
    assert "try x.png" in capsys.readouterr().err


@pytest.mark.parametrize("window", [1, 2, 5, 50])
def test_the_smoothed_curve_does_not_lag(window):
    values = np.arange(40.0)
    inside = slice(window, 40 - window)
    np.testing.assert_allclose(smoothed(values, window)[inside], values[inside], atol=0.51)
    assert len(smoothed(values, window)) == 40
    np.testing.assert_allclose(smoothed(np.full(40, 3.0), window), 3)
    assert smoothed(values[:1], window).tolist() == [0.0]


def test_sparks_and_points():
    assert sparkline(np.array([0.0, 1.0]), 10) == "▁█"
    assert sparkline(np.zeros(3), 2) == "▁▁"
    assert len(sparkline(np.arange(1000.0), 40)) == 40
    assert thinned(3, 10).tolist() == [0, 1, 2]
    assert thinned(1000, 3).tolist() == [0, 499, 999]


@pytest.mark.parametrize(
    "command",
    [
        ["plot", "a", "--out"],
        ["report", "a", "--out"],
        ["ablate", "a", "--tokens", "64", "--out"],
        ["explain", "a", "the", "--html"],
        ["explain", "a", "the", "--json"],
    ],
)
def test_what_it_has_not_written_is_never_replaced(trained, tmp_path, command, capsys):
    ends = {"plot": "png", "report": "html", "ablate": "png"}
    end = ends.get(command[0], command[-1].removeprefix("--"))
    like = {"png": b"\x89PNG\r\n\x1a\nmine", "html": b"<!doctype html><p>mine",
            "json": b'{"generator": "mine"}'}[end]  # fmt: skip
    for name in (f"mine.{end}", f"like.{end}", f"link.{end}", f"folder.{end}"):
        path = tmp_path / name
        if name.startswith("mine"):
            path.write_text("mine")
        elif name.startswith("like"):
            path.write_bytes(like)
        elif name.startswith("link"):
            path.symlink_to(tmp_path / "text.txt")
        else:
            path.mkdir()
        assert run([*command, name]) == 2
        assert "a file " in capsys.readouterr().err
    assert (tmp_path / f"mine.{end}").read_text() == "mine"
    assert (tmp_path / f"like.{end}").read_bytes() == like
    assert (tmp_path / "text.txt").read_text() == NASTY
    for _ in range(2):  # its own it may replace
        assert run([*command, f"new.{end}"]) == 0
    assert run([*command, f"nowhere/new.{end}"]) == 2
    assert "try mkdir -p nowhere" in capsys.readouterr().err


def test_damaged_lines_are_left_out(trained):
    whole = read_history(trained.log)
    lines = trained.log.read_bytes().splitlines()
    nasty = [b"5", b"{}", b"null", b"[" * 5000, b"\xff\xfe", b'{"step": "x"}', b'{"step": NaN}',
             b'{"step": 3, "loss": "x"}', lines[0][:20]]  # fmt: skip
    trained.log.write_bytes(b"\n".join([*nasty, *lines, *nasty]) + b"\n")
    trained.probes.write_bytes(b"\n".join(nasty) + b"\n" + trained.probes.read_bytes())
    again = read_history(trained.log)
    np.testing.assert_array_equal(again.loss, whole.loss)
    assert again.evaluations == whole.evaluations
    assert trained.told()["steps"] == 20
    for command in ("report", "plot", "info"):
        assert run([command, "a"]) == 0
    assert run(["train", "--resume", "a", "--steps", "22"]) == 0
    assert read_history(trained.log).step[-1] == 22

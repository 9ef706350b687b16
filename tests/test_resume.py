"""What a run goes on with, what it refuses, and what it tells."""

import json
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import gpt.training.loop
import tinygrad_lite as tg
from gpt.cli import run
from gpt.training.run import Run
from gpt.training.saving import Saver
from tests.damage import TEXT, TINY, last_bits, told

STEPS = ["--steps", "8", "--eval-interval", "4"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


def test_best_weights_that_are_gone_are_told_and_kept_anew(home, capsys):
    assert run(["train", "text.txt", "--out", "a", *TINY, *STEPS]) == 0
    for more in ([], ["--steps", "12"]):
        Path("a/model.safetensors").unlink()
        assert run(["train", "--resume", "a", *more]) == 0
        assert "the best weights, after step 8, are gone from a" in capsys.readouterr().err
        assert run(["eval", "a"]) == 0


def test_older_states_are_kept_where_they_are_asked_for(home, capsys):
    asked = ["--steps", "12", "--save-every", "2", "--keep", "3"]
    assert run(["train", "text.txt", "--out", "a", *TINY, *asked]) == 0
    assert [p.name for p in Run(Path("a")).older()] == ["step-10.safetensors", "step-8.safetensors"]
    shutil.copytree("a", "b")
    newest = Path("b/last/checkpoint.safetensors")
    newest.write_bytes(newest.read_bytes()[:-1])
    assert run(["train", "--resume", "b"]) == 2
    assert "try rm b/last/checkpoint.safetensors: an earlier one" in capsys.readouterr().err
    newest.unlink()
    assert run(["train", "--resume", "b"]) == 0
    assert last_bits(Path("a")) == last_bits(Path("b"))
    assert run(["train", "text.txt", "--out", "b", "--force", *TINY, *STEPS]) == 0
    assert not list(Path("b/last").glob("step-*"))


def test_saves_are_at_most_an_interval_apart(home, monkeypatch):
    saves, does = [], Run.save_last

    def noted(self, state):
        saves.append(state.step)
        does(self, state)

    monkeypatch.setattr(Run, "save_last", noted)
    assert run(["train", "text.txt", "--out", "a", *TINY, "--steps", "10", "--save-every", "4",
                "--eval-interval", "10"]) == 0  # fmt: skip
    assert saves == [0, 4, 8, 10]
    saves.clear()
    clock = iter(np.arange(0.0, 1e6, 2.0))  # each look at the clock comes two seconds later
    fake = SimpleNamespace(monotonic=lambda: float(next(clock)))
    monkeypatch.setattr("gpt.training.saving.time", fake)
    started = Saver.started  # the first save is measured by the real clock: as if it took no time
    monkeypatch.setattr(Saver, "started", lambda self, n, took: started(self, n, took if n else 0))
    assert run(["train", "text.txt", "--out", "b", *TINY, "--steps", "200",
                "--eval-interval", "200"]) == 0  # fmt: skip
    # At first after LEAST seconds; then a save took 2 seconds, so 200 lie between
    assert saves == [0, saves[1], saves[1] + 100, 200]
    assert saves[1] <= 4


def test_a_run_of_before_there_were_formats_is_read_and_goes_on(home):
    assert run(["train", "text.txt", "--out", "a", *TINY, *STEPS]) == 0
    shutil.copytree("a", "b")
    setup = json.loads(Path("b/config.json").read_text())
    train = {n: v for n, v in setup["train"].items()
             if n not in ("split", "patience", "save_every", "keep")}  # fmt: skip
    old = {"model": setup["model"], "train": train, "corpus": setup["corpus"]["names"]}
    Path("b/config.json").write_text(json.dumps(old, indent=2))
    for name in ("model.safetensors", "last/checkpoint.safetensors"):
        path = Path("b", name)
        strings = {n: s for n, s in tg.load_metadata(path).items() if n not in ("run", "format")}
        from safetensors.numpy import save_file

        save_file(tg.load_state(path), path, strings)
    assert told(["eval", "a"])[1].splitlines()[2:] == told(["eval", "b"])[1].splitlines()[2:]
    for name in "ab":
        assert run(["train", "--resume", name, "--steps", "12"]) == 0
    assert last_bits(Path("a")) == last_bits(Path("b"))


CONFLICTS = {
    "--n-layer 6 (it has 1)": ["--n-layer", "6"],
    "--preset": ["--preset", "baby"],
    "--out": ["--out", "elsewhere"],
    "--name": ["--name", "other"],
    "--force": ["--force"],
    "--tokenizer": ["--tokenizer", "words"],
    "--seed 5 (it has 1337)": ["--seed", "5"],
    "--optimizer muon (it has adamw)": ["--optimizer", "muon"],
    "--validation 0.2 (it has 0.1)": ["--validation", "0.2"],
}


@pytest.mark.parametrize("said", CONFLICTS)
def test_options_that_a_resumed_run_cannot_take_are_named(home, said, capsys):
    assert run(["train", "text.txt", "--out", "a", "--preset", "baby", *TINY, *STEPS]) == 0
    before = last_bits(Path("a"))
    assert run(["train", "--resume", "a", *CONFLICTS[said]]) == 2
    error = capsys.readouterr().err
    assert "a resumed run keeps its model" in error
    assert said in error
    assert last_bits(Path("a")) == before
    assert run(["train", "--resume", "a", "--n-layer", "1", "--steps", "9"]) == 0  # as it is


def test_a_text_that_has_changed_is_refused_unless_told_otherwise(home, capsys):
    assert run(["train", "text.txt", "--out", "a", *TINY, *STEPS]) == 0
    Path("text.txt").write_text(TEXT.replace("lazy", "lady", 1))
    assert run(["train", "--resume", "a", "--steps", "9"]) == 2
    assert "text.txt, which has changed since" in capsys.readouterr().err
    assert run(["train", "--resume", "a", "--steps", "9", "--allow-changed-corpus"]) == 0
    assert run(["train", "--resume", "a", "--steps", "10"]) == 0  # it is the run's text now
    Path("text.txt").write_text(TEXT)
    capsys.readouterr()
    assert run(["eval", "a"]) == 0
    assert "has changed since" in capsys.readouterr().err


def test_the_latest_run_goes_on_by_default(home, capsys):
    assert run(["train", "--resume"]) == 2
    assert "there must be a run to go on with" in capsys.readouterr().err
    for name in "ab":
        assert run(["train", "text.txt", "--out", f"runs/{name}", *TINY, *STEPS]) == 0
    os.utime("runs/a/last/checkpoint.safetensors", (4e9, 4e9))
    assert run(["train", "--resume", "--steps", "9"]) == 0
    assert len(Path("runs/a/log.jsonl").read_text().splitlines()) == 9 + 3


def test_best_weights_are_compared_by_the_same_measure(home, capsys):
    asked = ["train", "text.txt", "--out", "a", *TINY, "--steps", "60", "--eval-interval", "10",
             "--eval-tokens", "16", "--patience", "0"]  # fmt: skip
    assert run(asked) == 0
    more = ["--steps", "120", "--eval-tokens", "20000", "--eval-interval", "20"]
    assert run(["train", "--resume", "a", *more]) == 0
    log = [json.loads(line) for line in Path("a/log.jsonl").read_text().splitlines()]
    later = {r["step"]: r["val_loss"] for r in log if "val_loss" in r and r["step"] > 60}
    capsys.readouterr()
    assert run(["eval", "a", "--json"]) == 0
    loss = json.loads(capsys.readouterr().out)["val_loss"]
    assert loss <= min(later.values()) + 1e-6


def test_better_weights_that_were_saved_after_the_state_are_kept(home, monkeypatch, capsys):
    """A kill between the best weights and the state, then a resume with other settings"""
    saves = Run.save_last
    monkeypatch.setattr(Run, "save_last", lambda s, state: state.step <= 20 and saves(s, state))
    asked = ["train", "text.txt", "--out", "a", *TINY, "--steps", "60", "--eval-interval", "20",
             "--lr", "1e-2"]  # fmt: skip
    assert run(asked) == 0
    monkeypatch.undo()
    monkeypatch.chdir(home)
    step, loss = Run.open("a").kept_best()
    assert step == 60
    capsys.readouterr()
    assert run(["train", "--resume", "a", "--lr", "1e-9", "--steps", "30"]) == 0
    assert Run.open("a").kept_best() == (60, loss)
    assert "after step 60" in capsys.readouterr().out


def test_a_run_by_the_clock_keeps_better_weights_that_were_saved_after_the_state(home, monkeypatch):
    """What is done again is not the same: the clock decides how much"""
    saves = Run.save_last
    monkeypatch.setattr(Run, "save_last", lambda s, state: state.step <= 1 and saves(s, state))
    assert run(["train", "text.txt", "--out", "a", *TINY, "--minutes", "0.05"]) == 0
    monkeypatch.undo()
    monkeypatch.chdir(home)
    monkeypatch.setattr("gpt.training.run.Run.kept_best", lambda _: (10**6, 0.0))
    saved = []
    monkeypatch.setattr(Run, "save_best", lambda s, state, loss: saved.append(loss))
    assert run(["train", "--resume", "a"]) == 0
    assert not saved


def test_samples_go_back_with_the_log_also_before_the_first_evaluation(home):
    asked = ["train", "text.txt", "--out", "a", *TINY, *STEPS, "--save-every", "3", "--keep", "9"]
    assert run(asked) == 0
    text = Path("a/samples.txt").read_text()
    for name in ("checkpoint", "step-6"):
        Path(f"a/last/{name}.safetensors").unlink()
    assert run(["train", "--resume", "a", "--sample-tokens", "8"]) == 0  # from step 3
    assert Path("a/samples.txt").read_text() == text


def test_a_text_that_was_moved_is_named_and_taken(home, capsys):
    (home / "d[1]").mkdir()
    Path("text.txt").rename("d[1]/text.txt")
    os.chdir("d[1]")
    assert run(["train", "*.txt", "--out", "../a", *TINY, *STEPS]) == 0
    os.chdir("..")
    assert run(["train", "--resume", "a", "--steps", "9"]) == 0
    (home / "d[1]").rename("e")
    assert run(["train", "--resume", "a", "--steps", "10"]) == 2
    error = capsys.readouterr().err
    assert "gpt train CORPUS --resume a, if it is elsewhere" in error
    assert run(["train", "e/text.txt", "--resume", "a", "--steps", "10"]) == 0
    assert run(["train", "--resume", "a", "--steps", "11"]) == 0
    Path("other.txt").write_text("another text\n" * 200)
    assert run(["train", "other.txt", "--resume", "a", "--steps", "12"]) == 2


def test_a_run_that_was_stopped_before_its_first_evaluation_says_so(home, monkeypatch, capsys):
    does = gpt.training.loop.train_step

    def stops(state, training):
        if state.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return does(state, training)

    monkeypatch.setattr(gpt.training.loop, "train_step", stops)
    asked = ["train", "text.txt", "--out", "a b", *TINY, "--steps", "9", "--eval-interval", "9"]
    assert run(asked) == 130
    monkeypatch.setattr(gpt.training.loop, "train_step", does)
    capsys.readouterr()
    assert run(["generate", "a b"]) == 2
    assert "try gpt train --resume a b" in capsys.readouterr().err
    assert run(["train", "--resume", "a b"]) == 0
    out = capsys.readouterr().out
    assert "a b goes on after step 3" in out
    assert "next: gpt generate 'a b'" in out
    assert run(["train", "--resume", "a b", "--steps", "5"]) == 0
    assert "--steps 5 is not more" in capsys.readouterr().out


def test_new_characters_of_a_changed_text_are_named(home, capsys):
    assert run(["train", "text.txt", "--out", "a", *TINY, *STEPS]) == 0
    Path("text.txt").write_text(TEXT + "é")
    assert run(["train", "--resume", "a", "--steps", "9"]) == 2
    assert "a new run: the model lacks characters" in capsys.readouterr().err
    assert run(["train", "text.txt", "--from", "a", "--out", "b", *STEPS]) == 2
    assert "got 'é' in text.txt" in capsys.readouterr().err


@pytest.mark.parametrize("levels", ["{}", "5", '{"a uniform guess": "x"}'])
def test_a_damaged_header_of_probes_is_not_relied_on(home, levels, capsys):
    assert run(["train", "text.txt", "--out", "a", *TINY, *STEPS]) == 0
    path = Path("a/probes.jsonl")
    first, _, rest = path.read_text().partition("\n")
    header = json.loads(first) | {"levels": json.loads(levels)}
    path.write_text(json.dumps(header) + "\n" + rest)
    capsys.readouterr()
    assert run(["train", "--resume", "a", "--steps", "12"]) == 0
    assert "bits per character; better than" in capsys.readouterr().out

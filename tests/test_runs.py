"""gpt runs, compare, verify-resume and doctor; what is said before, during and after a training."""

import csv
import dataclasses
import importlib
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import gpt.training.verify
from gpt.cli import run
from gpt.cli.console import Pace
from gpt.config import GPTConfig, TrainConfig
from gpt.training.loop import StepRecord
from gpt.training.measure import predicted_seconds
from gpt.training.signs import Signs
from gpt.training.state import EvalRecord, TrainState
from tests.damage import TEXT, TINY

STEPS = ["--steps", "8", "--eval-interval", "4"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT)
    return tmp_path


@pytest.fixture
def two(home, capsys):
    for name, rate in (("a", "1e-3"), ("b", "5e-3")):
        assert run(["train", "text.txt", "--name", name, *TINY, *STEPS, "--lr", rate]) == 0
    capsys.readouterr()
    return home


def test_runs_are_listed(two, capsys):
    assert run(["runs"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^runs/b +text\.txt +8/8 +\d+ s +3\.\d{4} +\d\d-\d\d", out, re.M)
    Path("runs/a/config.json").write_text('{"model": 1, "train": 2, "corpus": 3}')
    assert run(["runs", "--json"]) == 0
    found = {row["run"]: row for row in json.loads(capsys.readouterr().out)}
    assert found["runs/b"]["best_step"] == found["runs/b"]["steps"] == 8
    assert "config.json" in found["runs/a"]["damaged"]
    assert run(["runs"]) == 0
    assert "damaged" in capsys.readouterr().out
    (two / "empty").mkdir()
    assert run(["runs", "empty"]) == 0
    assert "no run is in empty" in capsys.readouterr().out
    assert run(["runs", "nowhere"]) == 2


def test_runs_are_compared(two, capsys):
    assert run(["compare", "runs/a", "runs/b", "--csv", "x.csv", "--out", "x.svg"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^lr +0\.001 +0\.005$", out, re.M)
    assert "n_layer" not in out
    assert Path("x.svg").read_text().startswith("<?xml")
    with open("x.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    log = [json.loads(line) for line in Path("runs/a/log.jsonl").read_text().splitlines()]
    losses = {record["step"]: record["loss"] for record in log if "loss" in record}
    for row in rows[:8]:
        assert float(row["loss"]) == pytest.approx(losses[int(row["step"])], rel=1e-5)
    assert [row["step"] for row in rows if row["val_loss"]] == ["4", "8", "4", "8"]
    assert run(["compare", "runs/a", "--json", "--x", "steps"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["best_step"] == 8
    Path("x.csv").write_text("mine")
    for command in (["runs/a", "--csv", "x.csv"], ["runs/a", "--out", "text.txt"],
                    ["runs/a", "--out", "x.pdf"], ["runs/c"],
                    ["runs/a", "--tensorboard", "text.txt"]):  # fmt: skip
        assert run(["compare", *command]) == 2
        assert "\n  try " in capsys.readouterr().err
    assert Path("x.csv").read_text() == "mine"


def test_event_files_for_tensorboard(two, capsys):
    pytest.importorskip("tensorboardX")
    assert run(["compare", "runs/a", "runs/b", "--tensorboard", "events"]) == 0
    assert len(list(Path("events").rglob("events.out.tfevents*"))) == 2


def test_without_tensorboardx_it_is_named(two, monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert run(["compare", "runs/a", "--tensorboard", "events"]) == 2
    assert "pip install tensorboardX" in capsys.readouterr().err


VERIFY = ["verify-resume", "sample", "--preset", "mini", "--steps", "12", "--stops", "3"]


def test_a_user_can_see_that_stopped_runs_go_on(home, capsys, monkeypatch):
    assert run(VERIFY) == 0
    out = capsys.readouterr().out
    assert out.count("the same bits") == 4
    assert "DIFFERENT" not in out
    does = gpt.training.verify.TrainState.progress

    def forgets(self):  # a random stream is not saved
        data = json.loads(does(self))
        data["batches"] = json.loads(does(gpt.training.verify.TrainState(
            self.model.config, self.config)))["batches"]  # fmt: skip
        return json.dumps(data)

    monkeypatch.setattr(gpt.training.verify.TrainState, "progress", forgets)
    with pytest.raises(SystemExit) as end:
        run(VERIFY)
    assert end.value.code == 1
    assert "DIFFERENT" in capsys.readouterr().out
    monkeypatch.undo()
    assert not list(home.glob("runs"))
    assert run([*VERIFY, "--stops", "0"]) == 2


def test_a_product_without_room_is_a_finding(monkeypatch):
    def no_room(*_):
        raise MemoryError

    module = importlib.import_module("tinygrad_lite.examine")  # the name is also a function's
    monkeypatch.setattr(module, "matmul", no_room)
    finding = module._products()
    assert not finding.good
    assert finding.found == "no room for 768 x 768"


def test_the_machine_is_examined(home, capsys, monkeypatch):
    assert run(["doctor", "--seconds", "0.1", "--json"]) in (0, 1)
    found = {f["name"]: f for f in json.loads(capsys.readouterr().out)}
    assert {"versions", "threads", "processor", "kernels", "gradients", "memory", "disk", "cache",
            "ready"} <= set(found)  # fmt: skip
    assert found["gradients"]["good"]
    monkeypatch.setattr("gpt.cli.doctor.ROOM_MB", 1e12)
    with pytest.raises(SystemExit) as end:
        run(["doctor", "--seconds", "0.1"])
    assert end.value.code == 1
    out = capsys.readouterr().out
    assert "BAD   disk" in out
    assert "      try to make room" in out
    assert "to mend" in out


CONFIG = TrainConfig(steps=1000, lr=3e-3)


def step(number, loss):
    return StepRecord(number, loss, 1e-3, 123.0, 1.0, 1.0)


def test_a_loss_that_diverges_is_told_once():
    signs = Signs(np.log(65), CONFIG)
    assert [signs.step(step(i, 4.2)) for i in range(1, 60)] == [None] * 59
    told = [signs.step(step(i, 9.0)) for i in range(60, 160)]
    (said,) = (t for t in told if t)
    assert "far above that of a uniform guess, 4.17" in said
    assert "a norm of 123" in said
    assert "try --lr 0.001" in said


def test_learning_by_heart_is_told_once_with_the_best():
    signs = Signs(np.log(65), CONFIG)
    told = []
    for i, loss in enumerate((3.0, 2.5, 2.6, 2.8, 3.0)):
        for j in range(10):
            signs.step(step(10 * i + j, 3.0 - 0.5 * i))
        told.append(signs.evaluation(EvalRecord(10 * i + 9, loss, False)))
    assert [bool(t) for t in told] == [False, False, True, False, False]
    assert "the best weights, after step 19, are kept" in told[2]


def test_patience_is_an_option(home, capsys):
    Path("noise.txt").write_text("".join(np.random.default_rng(0).choice(list("abcdefgh"), 900)))
    learn = ["train", "noise.txt", *TINY, "--lr", "1e-2", "--steps", "1200",
             "--eval-interval", "20", "--eval-tokens", "32", "--dropout", "0"]  # fmt: skip
    ends = []
    for patience in ("1", "3"):
        assert run([*learn, "--patience", patience, "--out", patience]) == 0
        out = capsys.readouterr().out
        ends.append(int(re.search(rf"stopped after step (\d+): .* risen {patience} times", out)[1]))
    assert ends[0] < ends[1] < 1200
    assert dataclasses.asdict(TrainConfig(patience=0))["patience"] == 0


def test_a_vocabulary_that_is_too_large_is_told(home, capsys):
    words = " ".join(f"word{i}" for i in range(600))
    Path("words.txt").write_text(words)
    assert run(["train", "words.txt", "--tokenizer", "words", *TINY, *STEPS]) == 0
    error = capsys.readouterr().err
    assert "is large for" in error
    assert "--tokenizer characters" in error


def test_losses_have_a_meaning(home, capsys):
    assert run(["train", "text.txt", *TINY, *STEPS]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^  \d\.\d{3} bits per character; (better|worse) than", out, re.M)


def test_another_form_of_unicode_is_named(home, capsys):
    Path("cafe.txt").write_text("un café, deux cafés\n" * 100)
    assert run(["train", "cafe.txt", "--out", "a", *TINY, *STEPS]) == 0
    capsys.readouterr()
    assert run(["generate", "a", "--prompt", "cafe\u0301"]) == 2
    assert "the same text in Unicode's form NFC: 'café'" in capsys.readouterr().err


def test_what_is_predicted_has_evaluations_in_it():
    model = GPTConfig(29, n_layer=1, n_head=1, n_embd=8, block_size=10)
    config = TrainConfig(steps=100, batch_size=10, eval_interval=25, eval_tokens=500)
    state = TrainState(model, config)
    state.step = 50
    # 50 steps of 0.3 s, a step is 100 tokens; then 2 times 500 and once all 2000, at a third
    assert predicted_seconds(0.3, state, model, (10_000, 2000)) == pytest.approx(15 + 3)


def test_the_pace_is_that_of_the_last_seconds(monkeypatch):
    times = iter([0.0, *np.arange(1.0, 101.0), *np.arange(100.1, 110.0, 0.1)])
    fake = SimpleNamespace(monotonic=lambda: float(next(times)))
    monkeypatch.setattr("gpt.cli.console.time", fake)
    pace = Pace()
    for _ in range(100):
        pace.step()
    assert pace.seconds == pytest.approx(1.0)
    for _ in range(99):
        pace.step()
    assert 0.1 < pace.seconds < 0.3  # of the last 20 seconds half had short steps

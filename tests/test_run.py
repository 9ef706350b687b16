"""Where a run is made, what it must never touch, and how it is stopped."""

import io
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import gpt.training.loop
import tinygrad_lite as tg
from gpt.cli import run
from gpt.text.finding import base_name
from gpt.training import folder
from gpt.training.places import default_folder
from gpt.training.run import Run

TEXT = "the quick brown fox jumps over the lazy dog.\n" * 60
TINY = ["--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--block-size", "16",
        "--batch-size", "4", "--steps", "6", "--eval-interval", "3",
        "--sample-tokens", "8"]  # fmt: skip


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The current folder: home/work/text.txt, and the user's own files around it"""
    folder = tmp_path / "home"
    (folder / "work").mkdir(parents=True)
    (folder / "work" / "text.txt").write_text(TEXT)
    for name in ("config.json", "log.jsonl"):
        (folder / name).write_text("mine")
        (folder / "work" / name).write_text("mine")
    monkeypatch.chdir(folder / "work")
    return folder


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("path", ["..", ".", "../work", "../work/.", "x/..", "./text.txt/"])
def test_a_default_folder_lies_directly_in_runs(home, path):
    assert default_folder(base_name(path)).resolve().parent == Path.cwd() / "runs"


def test_a_corpus_that_is_a_folder_above_makes_a_run_in_runs(home):
    before = contents(home)
    assert run(["train", "..", *TINY]) == 0
    made = contents(home)
    assert {path: made[path] for path in before} == before
    assert {p.relative_to(home).parts[:3] for p in made.keys() - before.keys()} == {
        ("work", "runs", "home")
    }


@pytest.mark.parametrize("name", ["..", ".", "../../X", "/abs", "a/b", "a/", "a\0b"])
def test_a_name_is_that_of_a_folder(home, name, capsys):
    before = contents(home)
    assert run(["train", "text.txt", "--name", name, *TINY]) == 2
    assert "must be the name of a folder in runs/.\n  got " in capsys.readouterr().err
    assert contents(home) == before


@pytest.mark.parametrize("out", ["runs/..", "new/../..", "."])
def test_a_folder_is_what_its_path_leads_to(home, out, capsys):
    before = contents(home)
    assert run(["train", "sample", "--out", out, *TINY]) == 2
    assert "must not hold anything" in capsys.readouterr().err
    assert contents(home) == before
    assert not Path("runs").exists()
    (home / "empty").mkdir()
    made = Run.create("new/../../empty")
    assert made.folder == Path(os.path.realpath(home)) / "empty"
    assert not list(made.folder.iterdir())


@pytest.mark.parametrize("out", ["text.txt/run", "closed/new/run"])
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_measured(
    home, out, monkeypatch, capsys
):
    Path("closed").mkdir()
    access, closed = os.access, os.path.realpath("closed")
    monkeypatch.setattr(os, "access", lambda p, mode: str(p) != closed and access(p, mode))
    monkeypatch.setattr("gpt.cli.planning.measure", None)
    before = contents(home)
    for command in (["train", "text.txt", "--minutes", "1"], ["train", "text.txt", *TINY]):
        assert run([*command, "--out", out]) == 2
        assert "where folders can be made" in capsys.readouterr().err
    assert contents(home) == before


def test_standard_input_has_a_name(home, monkeypatch):
    class Stdin:
        buffer = io.BytesIO(TEXT.encode())

    monkeypatch.setattr("sys.stdin", Stdin)
    assert run(["train", "-", *TINY]) == 0
    assert [p.name for p in Path("runs").iterdir()] == ["stdin"]


def test_what_a_run_is_made_from_is_never_replaced(home, capsys):
    assert run(["train", "text.txt", "--preset", "baby", "--out", "a", *TINY]) == 0
    assert run(["export", "a", "--out", "new/../../outer"]) == 0
    (home / "outer" / "a").mkdir()
    assert run(["export", "a", "--out", "new/../../outer"]) == 2
    (home / "outer" / "a").rmdir()
    Path("link").symlink_to("a")
    Path("a/play.txt").write_text(TEXT)
    before = contents(home)
    capsys.readouterr()
    for command in (
        ["import", "../outer", "--out", "../outer"],
        ["train", "text.txt", "--from", "a", "--out", "a"],
        ["train", "text.txt", "--from", "link", "--out", "a"],
        ["train", "text.txt", "--from", "a", "--out", "link"],
        ["train", "a/play.txt", "--out", "a"],
        ["train", "text.txt", "--tokenizer", "../outer", "--out", "../outer", *TINY],
    ):
        assert run([*command, "--force"]) == 2
        assert "must not replace what it is made from" in capsys.readouterr().err
        assert contents(home) == before


@pytest.fixture
def trained(home, capsys):
    assert run(["train", "text.txt", "--out", "a", *TINY]) == 0
    capsys.readouterr()
    return Path("a")


def test_force_removes_what_a_run_and_a_plot_have_written(trained):
    assert run(["plot", "a"]) == 0
    (trained / ".log.jsonl.0123abcd.unfinished").write_text("left by a power cut")
    (trained / "last" / ".checkpoint.safetensors.0123abcd.unfinished").write_text(
        "left by a power cut"
    )
    assert run(["train", "text.txt", "--out", "a", "--force", *TINY, "--steps", "1"]) == 0
    assert not [p for p in trained.rglob("*") if "0123abcd" in p.name or p.name == "loss.png"]


def keep_notes(folder):
    (folder / "notes.md").write_text("mine")


def keep_notes_in_last(folder):
    (folder / "last" / "notes.md").write_text("mine")


def keep_hidden_notes(folder):
    (folder / ".log.jsonl.backup-of-may").write_text("mine")


def make_folder_of_samples(folder):
    (folder / "samples.txt").unlink()
    (folder / "samples.txt").mkdir()
    (folder / "samples.txt" / "best.txt").write_text("mine")


def link_samples(folder):
    (folder / "samples.txt").unlink()
    (folder / "samples.txt").symlink_to("../../config.json")


def link_last(folder):
    (folder / "last").rename("../last")
    (folder / "last").symlink_to("../../last")


FOREIGN = {
    "notes.md": keep_notes,
    "last/notes.md": keep_notes_in_last,
    ".log.jsonl.backup-of-may": keep_hidden_notes,
    "samples.txt": make_folder_of_samples,
    "samples.txt ": link_samples,
    "last": link_last,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_force_refuses_what_no_run_has_written(home, trained, name, capsys):
    FOREIGN[name](trained)
    before = contents(home)
    assert run(["train", "text.txt", "--out", "a", "--force", *TINY]) == 2
    assert f"never overwritten.\n  got a with {name.strip()}\n" in capsys.readouterr().err
    assert contents(home) == before


@pytest.mark.parametrize("link", [link_samples, link_last])
def test_a_resumed_run_does_not_write_through_links(home, trained, link, capsys):
    link(trained)
    before = contents(home)
    assert run(["train", "--resume", "a", "--steps", "9"]) == 2
    assert "a link to somewhere else" in capsys.readouterr().err
    assert contents(home) == before


@pytest.mark.parametrize("text", ["{}", "[]", "3", '{"model_type": "gpt2"}', "mine"])
def test_force_knows_a_run_by_its_config(home, text):
    Path("b").mkdir()
    for name in ("config.json", "model.safetensors"):
        Path("b", name).write_text(text)
    with pytest.raises(ValueError, match="never overwritten") as error:
        Run.create("b", force=True)
    assert "--force" not in str(error.value)
    assert Path("b/model.safetensors").read_text() == text


@pytest.fixture
def send(monkeypatch):
    """send(number, step, times): the process gets the signal while it does that step of a run"""
    does = gpt.training.loop.train_step

    def at(number, step, times=1):
        def and_send(state, training):
            for _ in range(times if state.step == step - 1 else 0):
                os.kill(os.getpid(), number)
            return does(state, training)

        monkeypatch.setattr(gpt.training.loop, "train_step", and_send)

    yield at
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)


def saved(folder):
    """The bits of the best and of the last weights, and what else a run goes on from"""
    states = [Run(Path(folder)).weights, Run(Path(folder)).checkpoint]
    bits = [{n: a.tobytes() for n, a in tg.load_state(path).items()} for path in states]
    strings = [tg.load_metadata(path) for path in states]
    return bits, [{n: s for n, s in of.items() if n != "run"} for of in strings]


STOPS = [(signal.SIGINT, 2), (signal.SIGTERM, 3), (signal.SIGHUP, 5)]
DROPOUT = [*TINY, "--dropout", "0.1"]


@pytest.mark.parametrize(("number", "step"), STOPS)
def test_a_signal_stops_a_run_after_the_step_and_it_goes_on(home, number, step, send, capsys):
    assert run(["train", "text.txt", "--out", "whole", *DROPOUT]) == 0
    send(number, step)
    assert run(["train", "text.txt", "--out", "a part", *DROPOUT]) == 128 + number
    error = capsys.readouterr().err.splitlines()
    assert f"stopped after step {step}, which is saved in a part" in error
    assert len(Path("a part/log.jsonl").read_text().splitlines()) == step + step // 3
    assert error[-2:] == ["  gpt train --resume 'a part' --sample-tokens=8", "  goes on"]
    assert run(shlex.split(error[-2])[1:]) == 0
    assert saved("whole") == saved("a part")
    assert Path("whole/samples.txt").read_text() == Path("a part/samples.txt").read_text()


def test_a_resumed_run_that_is_stopped_goes_on_with_its_options(home, send, capsys):
    assert run(["train", "text.txt", "--out", "a", *DROPOUT]) == 0
    shutil.copytree("a", "b")
    more = ["--steps", "9", "--lr", "1e-4"]
    assert run(["train", "--resume", "a", *more]) == 0
    send(signal.SIGTERM, 8)
    assert run(["train", "--resume", "b", *more]) == 143
    command = capsys.readouterr().err.splitlines()[-2]
    assert command == "  gpt train --resume b"
    assert run(shlex.split(command)[1:]) == 0
    assert saved("a") == saved("b")


def test_a_run_that_is_stopped_in_its_last_step_is_whole(home, send, capsys):
    send(signal.SIGINT, 6)
    assert run(["train", "text.txt", "--out", "a", *TINY]) == 130
    assert "stopped after the last step; everything is in a\n" in capsys.readouterr().err
    assert run(["eval", "a"]) == 0


def test_a_second_signal_stops_at_once(home, send, capsys):
    send(signal.SIGTERM, 2, times=2)
    assert run(["train", "text.txt", "--out", "a", *TINY]) == 143
    error = capsys.readouterr().err.splitlines()
    assert error[-2:] == ["stopping after this step; once more stops at once", "interrupted"]
    send(0, 0)
    assert run(["train", "text.txt", "--out", "a", *TINY]) == 2
    assert "--force to replace that run" in capsys.readouterr().err
    assert run(["train", "--resume", "a"]) == 0  # from its beginning
    assert run(["train", "text.txt", "--out", "b", *TINY]) == 0
    assert saved("a") == saved("b")


def test_a_signal_before_the_first_step_stops_at_once(home, monkeypatch, capsys):
    monkeypatch.setattr("gpt.cli.train.measure", lambda *a: os.kill(os.getpid(), signal.SIGTERM))
    assert run(["train", "text.txt", "--out", "a", *TINY]) == 143
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"
    monkeypatch.undo()
    assert not (home / "work" / "a").exists()


def test_a_stopped_run_on_standard_input_goes_on(home, monkeypatch, send, capsys):
    class Stdin:
        buffer = io.BytesIO(TEXT.encode())

    monkeypatch.setattr("sys.stdin", Stdin)
    send(signal.SIGINT, 4)
    assert run(["train", "-", *TINY]) == 130
    send(0, 0)
    assert run(shlex.split(capsys.readouterr().err.splitlines()[-2])[1:]) == 0
    Path("same.txt").write_text(TEXT)
    assert run(["train", "same.txt", "--out", "same", *TINY]) == 0
    assert saved("runs/stdin") == saved("same")


def test_other_commands_are_only_interrupted(trained, monkeypatch, capsys):
    def interrupt(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        yield [0]

    monkeypatch.setattr("gpt.cli.generate.generate_with_logits", interrupt)
    assert run(["generate", "a"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"


def test_a_process_is_stopped(home):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-m", "gpt", "train", "text.txt", "--out", "a", *TINY]
    with subprocess.Popen(
        [*command, "--steps", "100000", "--eval-interval", "100000"], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        for line in process.stdout:
            if line.startswith("step 1/"):
                break
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "gpt train --resume a" in error
    assert Path("a/last/checkpoint.safetensors").is_file()


def test_a_run_that_learns_by_heart_says_where_its_best_weights_are(home, capsys):
    letters = random.Random(0).choices("abcdefghij", k=900)
    Path("noise.txt").write_text("".join(letters))
    learn = ["train", "noise.txt", "--out", "a", *TINY, "--lr", "1e-2"]
    assert run([*learn, "--steps", "3000", "--eval-interval", "20", "--eval-tokens", "32"]) == 0
    out = capsys.readouterr().out
    found = re.search(r"^stopped after step (\d+): .* risen 3 times .* step (\d+)", out, re.M)
    last, best = map(int, found.groups())
    assert best + 60 <= last < 3000
    loss = re.search(rf"^best validation loss ([\d.]+) after step {best}:", out, re.M)[1]
    assert run(["eval", "a", "--json"]) == 0
    assert f"{json.loads(capsys.readouterr().out)['val_loss']:.4f}" == loss
    assert run(["train", "--resume", "a"]) == 0
    again = capsys.readouterr().out
    assert found[0] in again
    assert f"nothing is left to do after step {last}; --steps 6000 goes on\n" in again
    assert run(["train", "--resume", "a", "--steps", "9"]) == 0
    told = "--steps 9 is not more; the run was to have 3,000: --steps 3000 goes on\n"
    assert told in capsys.readouterr().out
    assert "measured on this machine" not in again
    assert f"best validation loss {loss} " in again
    assert "step 1/" not in again
    assert run(["train", "--resume", "a", "--steps", str(last + 2)]) == 0  # asked for, so done
    assert f"step {last + 2}/{last + 2}" in capsys.readouterr().out


def test_weights_that_are_not_numbers_are_refused(home, capsys):
    assert run(["train", "text.txt", "--out", "broken", *TINY]) == 0
    weights = tg.load_state("broken/model.safetensors")
    name = next(iter(weights))
    broken = weights[name].copy()
    broken.flat[0] = float("nan")
    strings = tg.load_metadata("broken/model.safetensors")
    tg.save_state("broken/model.safetensors", {**weights, name: broken}, strings)
    capsys.readouterr()
    for arguments in (["explain", "broken", "the"], ["eval", "broken", "--json"],
                      ["generate", "broken"], ["ablate", "broken"]):  # fmt: skip
        assert run(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert f"{name} holds NaN or infinity" in captured.err


def test_a_limit_that_is_infinite_is_zero(home, capsys):
    assert run(["train", "text.txt", *TINY, "--grad-clip", "inf"]) == 2
    assert "grad_clip=0" in capsys.readouterr().err


def test_what_a_corpus_leaves_out_is_what_runs_write():
    from gpt.text.finding import OF_RUNS

    assert set(OF_RUNS) <= set(folder.FILES)
    assert {n for n in folder.FILES if n.endswith((".json", ".jsonl", ".txt", ".html"))} == set(
        OF_RUNS
    )
    assert folder.LOCK == ".training.lock"

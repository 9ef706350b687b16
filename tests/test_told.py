"""What the command line writes and says is so."""

import io
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import gpt
from gpt.cli import console, run
from gpt.cli import train as train_module
from gpt.config import GPTConfig, TrainConfig
from gpt.training import measure as measuring
from gpt.training import room
from tests.damage import TEXT, TINY

ROOT = Path(__file__).parent.parent
STEPS = ["--steps", "4", "--eval-interval", "2", "--sample-tokens", "0"]


@pytest.fixture
def home(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


def piped(monkeypatch, text):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))


@pytest.mark.parametrize("live", [False, True])
def test_text_is_written_as_it_is(live, monkeypatch, capsys):
    text = "all:\n\tcc\x0b\x0c -c\r\n\x07\x08[bold]é"
    out = io.StringIO()
    colours = {"force_terminal": True, "color_system": "standard"} if live else {}
    monkeypatch.setattr(console, "console", console._Console(file=out, **colours))
    console.write(text, "cyan")
    assert text in out.getvalue()
    assert (out.getvalue() == text) is not live


def test_tabs_of_a_makefile_are_written(home, capsys):
    (home / "m.txt").write_text("all:\n\tcc -c a.c\n" * 200)
    assert run(["train", "m.txt", "--out", "m", *TINY, "--steps", "60", "--lr", "1e-2"]) == 0
    capsys.readouterr()
    write = ["generate", "m", "--prompt", "all:\n\t", "--tokens", "60"]
    assert run([*write, "--json"]) == 0
    text = json.loads(capsys.readouterr().out)["samples"][0]["text"]
    assert "\t" in text
    assert run(write) == 0
    assert capsys.readouterr().out == f"all:\n\t{text}\n"
    assert run([*write, "-n", "2"]) == 0
    assert text.strip("\n") in capsys.readouterr().out


@pytest.mark.parametrize(("step", "by_heart"), [(20, False), (300, True)])
def test_a_run_that_ends_early_says_why(step, by_heart, capsys):
    state = SimpleNamespace(
        seconds=3.0, step=step, counted_from=0, config=TrainConfig(minutes=0.2, batch_size=8)
    )
    plan = SimpleNamespace(
        tokens=SimpleNamespace(training=range(1000)),
        setup=SimpleNamespace(model=GPTConfig(vocab_size=10, block_size=128)),
    )
    train_module._say_how_far(state, plan)
    said = capsys.readouterr()
    assert ("teach them by heart" in said.out) is by_heart
    assert ("hardly a beginning" in said.err) is not by_heart


def test_a_time_that_is_too_short_is_told(home, capsys):
    assert run(["train", "text.txt", "--out", "a", *TINY, "--minutes", "0.001"]) == 0
    out = capsys.readouterr().out
    assert "too short for two steps and the last evaluation" in out
    assert "at most" not in out


@pytest.mark.parametrize(("seconds", "steps"), [(0.3, 2), (0.05, 4)])
def test_long_steps_are_measured_less_often(seconds, steps, monkeypatch):
    done = []
    monkeypatch.setattr(measuring, "compile_ahead", lambda call: None)
    monkeypatch.setattr(measuring, "train_step", lambda *_: (done.append(1), time.sleep(seconds)))
    model = GPTConfig(vocab_size=5, n_layer=1, n_head=1, n_embd=8, block_size=8)
    taken, _ = measuring.measure(model, TrainConfig(steps=1), range(100), enough=0.2)
    assert len(done) == steps
    assert taken == pytest.approx(seconds, rel=0.3)


def test_standard_input_is_read_again_where_it_is_named(home, monkeypatch, capsys):
    other = TEXT[::-1]
    piped(monkeypatch, TEXT)
    assert run(["train", "-", "--out", "a", *TINY, *STEPS]) == 0
    resume = ["train", "-", "--resume", "a", "--steps", "8"]
    piped(monkeypatch, other)
    assert run(resume) == 2
    assert "which has changed since" in capsys.readouterr().err
    piped(monkeypatch, other)
    assert run([*resume, "--allow-changed-corpus"]) == 0
    assert Path("a/corpus.txt").read_text() == other
    assert run(["train", "--resume", "a", "--steps", "10"]) == 0
    assert run(["train", "text.txt", "--out", "b", *TINY, *STEPS]) == 0
    piped(monkeypatch, TEXT)
    assert run(["train", "-", "--resume", "b", "--steps", "6"]) == 0
    assert run(["train", "--resume", "b", "--steps", "8"]) == 0


def test_parts_of_files_that_the_system_gives_back_are_free(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "GROUP", tmp_path)
    for name, text in (("memory.max", "3000000"), ("memory.current", "2900000"),
                       ("memory.stat", "anon 100000\ninactive_file 2500000\n")):  # fmt: skip
        (tmp_path / name).write_text(text)
    assert room.available_mb() == pytest.approx(2.6)
    (tmp_path / "memory.stat").write_text("anon 2900000\n")
    assert room.available_mb() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["text.txt", "--validation-file", "{here}/text.txt"], True),
        (["{here}", "--include", "*.txt", "--validation-file", "text.txt"], True),
        (["sample", "--validation-file", "sample"], True),
        (["text.txt", "{here}/text.txt", "--split", "files"], True),
        (["text.txt", "--validation-file", "sample"], False),
        (["text.txt", "sample", "--split", "files"], False),
    ],
)
def test_training_on_the_validation_text_is_told(home, texts, told, capsys):
    texts = [text.format(here=home) for text in texts]
    assert run(["train", *texts, "--out", "a", *TINY, *STEPS]) == 0
    assert ("a text is for training and for validation" in capsys.readouterr().err) is told


def test_runs_on_other_texts_of_one_name_differ(home, capsys):
    for name, text in (("a", TEXT), ("b", TEXT[::-1])):
        Path(name).mkdir()
        Path(name, "input.txt").write_text(text)
        assert run(["train", f"{name}/input.txt", "--out", f"r{name}", *TINY, *STEPS]) == 0
    capsys.readouterr()
    assert run(["compare", "ra", "rb", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["differences"]) == ["SHA-256 of the text"]


def test_a_vocabulary_that_is_asked_for_is_told_of(home, capsys):
    assert run(["info", "gpt2", "--vocab-size", "1000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 124_439_808 - 49_257 * 768
    assert run(["train", "text.txt", "--out", "a", *TINY, *STEPS]) == 0
    assert run(["info", "a", "--vocab-size", "9"]) == 2


@pytest.mark.parametrize("kind", ["characters", "words", "bytes"])
def test_a_runs_tokenizer_is_one_for_another(home, kind, capsys):
    train = ["train", "text.txt", *TINY, *STEPS, "--tokenizer"]
    assert run([*train, kind, "--out", "a"]) == 0
    for number, path in enumerate(("a", "a/tokenizer.json")):
        assert run([*train, path, "--out", f"b{number}"]) == 0
        same = Path(f"b{number}/tokenizer.json").read_text()
        assert same == Path("a/tokenizer.json").read_text()
    capsys.readouterr()
    assert run(["tokenize", "a/tokenizer.json", "the fox", "--json"]) == 0
    ids = json.loads(capsys.readouterr().out)["ids"]
    assert ids == gpt.load("a")[1].encode("the fox").tolist()


@pytest.mark.parametrize(
    "command", [["train", "-"], ["generate", "a", "--prompt-file", "-"], ["chat", "a"]]
)
def test_a_standard_input_that_is_closed_is_empty(home, command):
    assert run(["train", "text.txt", "--out", "a", *TINY, *STEPS]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "gpt", *command], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, preexec_fn=lambda: os.close(0),
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.returncode == (0 if command[0] == "chat" else 2)


def test_a_loss_of_zero_is_a_loss(home, capsys):
    Path("one.txt").write_text("a" * 2000)
    assert run(["train", "one.txt", "--out", "a", *TINY, *STEPS]) == 0
    assert run(["train", "--resume", "a", "--steps", "8"]) == 0
    assert "has lost" not in capsys.readouterr().err


def test_words_that_a_model_has_not_seen_are_told(home, capsys):
    words = ["--tokenizer", "words", "--out", "a", *TINY, *STEPS]
    assert run(["train", "text.txt", *words]) == 0
    for text, told in (("the fox", False), ("the xyzzy plugh", True)):
        capsys.readouterr()
        assert run(["generate", "a", "--prompt", text, "--tokens", "3"]) == 0
        assert (
            "67% of the prompt are words that the model has no" in capsys.readouterr().err
        ) is told
    Path("other.txt").write_text("entirely different words\n" * 50)
    assert run(["eval", "a", "other.txt"]) == 0
    assert "of the text are words that the model has no token for" in capsys.readouterr().err


def test_characters_that_are_not_known_stay_unknown_where_they_are_exported(home, capsys):
    tokenizers = pytest.importorskip("tokenizers")
    assert run(["train", "text.txt", "--preset", "baby", "--out", "a", *TINY, *STEPS]) == 0
    assert run(["export", "a", "--out", "there"]) == 0
    theirs = tokenizers.Tokenizer.from_file("there/tokenizer.json")
    assert theirs.encode("the").ids == gpt.load("a")[1].encode("the").tolist()
    with pytest.raises(Exception, match=r"(?i)unk"):
        theirs.encode("é")


@pytest.mark.parametrize("options", [["--validation", "0"], ["--validation-file", "empty"]])
def test_what_a_text_is_too_short_for_is_told(home, options, capsys):
    Path("short").write_text("abc")
    Path("empty").write_text("")
    text = "short" if "0" in options else "text.txt"
    assert run(["train", text, "--out", "a", *TINY, *options]) == 2
    error = capsys.readouterr().err
    assert "a token to predict" in error
    assert "a tenth" not in error


def test_chat_needs_no_line_ends_in_the_text(home, monkeypatch, capsys):
    Path("dna").write_text("ACGT" * 500)
    assert run(["train", "dna", "--out", "a", *TINY, *STEPS]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("\nACG\n"))
    capsys.readouterr()
    assert run(["chat", "a", "--tokens", "4"]) == 0
    assert "encode" not in capsys.readouterr().err


def test_texts_that_are_written_in_turns_leave_a_model_as_it_was():
    model = gpt.GPT(GPTConfig(vocab_size=9, n_layer=1, n_head=1, n_embd=8, block_size=16,
                              dropout=0.5))  # fmt: skip
    alone = list(gpt.generate(model, [1, 2], 9))
    model.train()
    first, second = gpt.generate(model, [1, 2], 3), gpt.generate(model, [1, 2], 9)
    pairs = list(itertools.zip_longest(first, second))
    assert model.training
    assert [b for _, b in pairs] == alone
    next(gpt.generate(model, [1, 2], 3))
    assert model.training


def test_a_prompt_that_is_no_text_is_named(home, capsys):
    assert run(["train", "text.txt", "--out", "a", *TINY, *STEPS]) == 0
    Path("latin").write_bytes(b"caf\xe9")
    assert run(["generate", "a", "--prompt-file", "latin"]) == 2
    assert "got latin: " in capsys.readouterr().err

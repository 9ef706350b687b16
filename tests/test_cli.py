"""The command line as a user meets it: training, writing, measuring, and mistakes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpt.cli import run
from gpt.cli.grammar import parse
from gpt.text import corpus

TEXT = "the quick brown fox jumps over the lazy dog.\n" * 60
TINY = [
    "--n-layer",
    "1",
    "--n-head",
    "2",
    "--n-embd",
    "16",
    "--block-size",
    "16",
    "--batch-size",
    "4",
    "--steps",
    "6",
    "--eval-interval",
    "3",
    "--sample-tokens",
    "20",
]


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)


@pytest.fixture
def trained(capsys):
    assert run(["train", "text.txt", "--out", "runs/a", *TINY]) == 0
    return capsys.readouterr().out


def test_train_shows_a_card_lines_samples_and_what_is_next(trained, tmp_path):
    for text in (
        "parameters",
        "measured on this machine",
        "ln 29 = 3.367",
        "step 6/6",
        "after step 3: validation loss",
        "bits per character",
        "next: gpt generate",
    ):
        assert text in trained
    names = {p.name for p in (tmp_path / "runs" / "a").iterdir()}
    assert names == {
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "last",
        "log.jsonl",
        "samples.txt",
        "probes.jsonl",
        "report.html",
    }
    assert "\x1b" not in trained


def test_eval_prints_one_json_object(trained, capsys):
    assert run(["eval", "runs/a", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["val_tokens"] == len(TEXT) // 10
    assert result["bits_per_char"] == pytest.approx(result["val_loss"] / 0.6931472)
    assert result["parameters"] > 1000
    assert 0 < result["train_loss"] < result["uniform_loss"]
    logged = json.loads((corpus.Path("runs/a/log.jsonl")).read_text().splitlines()[-1])
    assert result["val_loss"] == pytest.approx(logged["val_loss"], abs=1e-6)
    assert run(["eval", "runs/a", "text.txt"]) == 0
    out = capsys.readouterr().out
    for text in ("a uniform guess, ln V", "what followed the one before", "bits per byte"):
        assert text in out


def test_generate_is_repeatable_and_says_when_a_prompt_is_too_long(trained, capsys):
    command = ["generate", "runs/a", "--tokens", "30", "--prompt", "the quick brown fox jumps"]
    outputs = []
    for _ in range(2):
        assert run(command) == 0
        captured = capsys.readouterr()
        outputs.append(captured.out)
        assert "the prompt has 25 tokens: the model sees its last 16" in captured.err
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith("the quick brown fox jumps")
    assert len(outputs[0]) == 25 + 30 + 1


def test_plot_draws_a_picture(trained, tmp_path, capsys):
    for arguments, name in (([], "runs/a/loss.png"), (["--out", "x.png"], "x.png")):
        assert run(["plot", "runs/a", *arguments]) == 0
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    (tmp_path / "runs" / "a" / "log.jsonl").write_text("")
    assert run(["plot", "runs/a"]) == 2
    assert "plot: a log must hold" in capsys.readouterr().err


def test_resume_goes_on(trained, capsys):
    assert run(["train", "--resume", "runs/a", "--steps", "9"]) == 0
    assert "step 9/9" in capsys.readouterr().out
    log = corpus.Path("runs/a/log.jsonl").read_text()
    steps = [json.loads(line)["step"] for line in log.splitlines()]
    assert steps == [1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9]


def test_standard_input(monkeypatch, capsys):
    class Stdin:
        class buffer:
            read = staticmethod(TEXT.encode)

    monkeypatch.setattr("sys.stdin", Stdin)
    assert run(["train", "-", "--name", "piped", *TINY]) == 0
    assert run(["eval", "runs/piped"]) == 2
    assert "is not kept" in capsys.readouterr().err


def test_without_network_the_default_is_the_sample(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("GPT_DATA_DIR", raising=False)
    monkeypatch.setattr(corpus, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(corpus, "download", lambda *a: (_ for _ in ()).throw(OSError("offline")))
    assert run(["train", *TINY]) == 0
    captured = capsys.readouterr()
    assert "gpt train shakespeare says why" in captured.err
    assert "corpus    sample" in captured.out


MISTAKES = {
    "got argument COMMAND: invalid choice: 'trian'.*try train": ["trian"],
    "the unknown argument --pressset.*try --preset": ["train", "--pressset", "baby"],
    "invalid int value: 'many'": ["train", "--steps", "many"],
    "there are presets named.*try baby": ["train", "--preset", "babi"],
    "which does not exist": ["train", "nothing.txt"],
    "which does not exist.*gpt train sample": ["train", "sampel"],
    "n_embd=100, n_head=6.*n_embd=96 or n_embd=102": [
        *["train", "text.txt", "--n-embd", "100", "--n-head", "6"]
    ],
    "n_layer must be positive": ["train", "text.txt", "--n-layer", "0"],
    "batch_size must be positive": ["train", "text.txt", "--batch-size", "-3"],
    "steps must be positive": ["train", "text.txt", "--steps", "0"],
    "lr must be positive": ["train", "text.txt", "--lr", "nan"],
    "longer than a block.*--block-size": ["train", "text.txt", "--block-size", "5000"],
    "there must be text": ["train", "empty.txt"],
    "encoded as UTF-8": ["train", "binary.bin"],
    "must not be binary": ["train", "zero.txt"],
    "must hold .txt files": ["train", "folder"],
    "sample-tokens must not": ["train", "text.txt", "--sample-tokens", "-1"],
    "number of threads must lie": ["train", "text.txt", "--threads", "0"],
    "RUN must be the folder": ["generate", "runs/none"],
    "a resumed run keeps its corpus": ["train", "text.txt", "--resume", "runs/none"],
    "temperature must be": ["generate", "runs/none", "--temperature", "-1"],
    "top_k must be": ["generate", "runs/none", "--top-k", "0"],
    "seed must not be negative": ["train", "text.txt", "--seed", "-1"],
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_explained_and_exit_2(message, capsys, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "binary.bin").write_bytes(b"\x80\x81\xff")
    (tmp_path / "zero.txt").write_bytes(b"text\0text")
    (tmp_path / "folder").mkdir()
    assert run(MISTAKES[message]) == 2
    error = capsys.readouterr().err
    assert "\n  got " in error
    assert "\n  try " in error
    assert "Traceback" not in error
    import re

    assert re.search(message, error, re.DOTALL)
    assert not (tmp_path / "runs").exists()


def test_mistakes_with_a_run_lose_nothing(trained, capsys, tmp_path):
    before = {p: p.read_bytes() for p in (tmp_path / "runs").rglob("*") if p.is_file()}
    for command in (
        ["generate", "runs/a", "--prompt", "a€"],
        ["generate", "runs/a", "--prompt", ""],
        ["eval", "runs/a", "nothing.txt"],
        ["train", "text.txt", "--out", "runs/a", *TINY],
        ["generate", "runs/b"],
    ):
        assert run(command) == 2
        assert "\n  try " in capsys.readouterr().err
    assert {p: p.read_bytes() for p in (tmp_path / "runs").rglob("*") if p.is_file()} == before


def test_a_non_finite_loss_stops_with_status_1_and_keeps_the_checkpoint(trained, capsys, tmp_path):
    saved = tmp_path / "runs" / "a" / "last" / "checkpoint.safetensors"
    before = saved.read_bytes()
    explode = ["--lr", "1e30", "--muon-lr", "1e30", "--grad-clip", "0", "--eval-interval", "99"]
    assert run(["train", "--resume", "runs/a", "--steps", "40", *explode]) == 1
    error = capsys.readouterr().err
    assert "the loss must be finite" in error
    assert "the first tensor that is not finite" in error
    assert saved.read_bytes() == before


@pytest.mark.parametrize("command", ["train", "generate", "eval", "plot"])
def test_help_has_groups_defaults_and_examples(command, capsys):
    with pytest.raises(SystemExit) as stop:
        parse([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert command == "eval" or "default" in text


def test_every_option_of_the_configurations_is_there():
    args = parse(["train", "--n-embd", "64", "--no-bias", "--muon-lr", "0.1", "--qk-norm"])
    assert (args.n_embd, args.bias, args.muon_lr, args.qk_norm, args.lr) == (
        *(64, False, 0.1, True, None),
    )


def test_as_a_process(tmp_path):
    here = str(Path(__file__).parent.parent)
    environment = {**os.environ, "COLUMNS": "100", "PYTHONPATH": here}
    for arguments, status in ((["train", "text.txt", *TINY], 0), (["eval", "runs/none"], 2)):
        done = subprocess.run(
            [sys.executable, "-m", "gpt", *arguments],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == status
        assert "Traceback" not in done.stderr

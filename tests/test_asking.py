"""gpt ask and gpt chat: loops of questions in the terminal."""

import io
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gpt
from gpt.cli import run
from gpt.cli.common import writing_precision

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mini"
    short = ["--steps", "60", "--eval-interval", "30", "--sample-tokens", "0"]
    assert run(["train", "--preset", "mini", "--out", str(folder), *short]) == 0
    return str(folder)


def asked(monkeypatch, capsys, command, text):
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert run(command) == 0
    return capsys.readouterr()


def test_ask_shows_the_way_to_the_next_token(mini, monkeypatch, capsys):
    out = asked(monkeypatch, capsys, ["ask", mini], "the river\nquit\nnot read\n").out
    headings = ["Ask a prompt (or 'quit'): ", "TOKENIZATION", "EMBEDDINGS", "LAYER 1 of 2",
                "ATTENTION WEIGHTS", "LAYER OUTPUT", "LAYER 2 of 2", "OUTPUT HEAD", "Predicted",
                "Predicted next token: "]  # fmt: skip
    places = [out.index(heading) for heading in headings]
    assert places == sorted(places)
    assert out.count("Ask a prompt") == 2
    table = out[out.index("OUTPUT HEAD") :].splitlines()[2:12]
    tokenizer = gpt.load(mini)[1]
    ids = [int(line.split()[-2]) for line in table]
    assert tokenizer.pieces(ids[:1])[0] == out.split("Predicted next token: ")[1].splitlines()[0]


def test_enter_alone_goes_on_writing(mini, monkeypatch, capsys):
    command = ["ask", mini, "--tokens", "5", "--temperature", "0"]
    out = asked(monkeypatch, capsys, command, "\nthe river\n\n").out
    model, tokenizer = gpt.load(mini)
    prompt = tokenizer.encode("the river")
    greedy = gpt.generate(model, prompt, 5, gpt.Sampling(temperature=0))
    assert tokenizer.decode([*prompt, *greedy]) in out


def test_a_mistake_ends_the_answer_only(mini, monkeypatch, capsys):
    captured = asked(monkeypatch, capsys, ["ask", mini], " \nthe river\n")
    assert "at least one token" in captured.err or "a list of at least 1 token" in captured.err
    assert "Predicted next token" in captured.out
    long = " ".join(["the river"] * 20)
    out = asked(monkeypatch, capsys, ["ask", mini], long).out
    assert "the prompt has 40 tokens: the model sees its last 8" in out
    seen = " ".join(["the river"] * 4)
    assert f"The text {seen!r} is cut into 8 tokens" in out


def test_chat_goes_on_with_the_whole_text(mini, monkeypatch, capsys):
    command = ["chat", mini, "--tokens", "4", "--temperature", "0"]
    out = asked(monkeypatch, capsys, command, "the river\nthe smith\n/Quit\nnot read\n").out
    model, tokenizer = gpt.load(mini)
    config = gpt.Run.open(mini).read_setup().train
    told = [*tokenizer.encode("the river\n")]
    answers = []
    for line in ("", "the smith\n"):
        told += [*tokenizer.encode(line)]
        with writing_precision(model, config.precision):
            written = list(gpt.generate(model, told, 4, gpt.Sampling(temperature=0)))
        answers.append(tokenizer.decode([*told, *written])[len(tokenizer.decode(told)) :])
        told += written
    for answer in answers:
        assert answer.strip() in out
    assert out.count("> ") == 3


@pytest.mark.parametrize("command", ["ask", "chat"])
def test_the_end_of_input_and_control_c_leave_cleanly(mini, command):
    here, there = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gpt", command, mini], stdin=there, stdout=there, stderr=there,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}, start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(there, 0x540E, 0),
    )  # fmt: skip
    try:
        seen = b""
        while not seen.endswith((b"'quit'): ", b"> ")):
            seen += os.read(here, 1000)
        time.sleep(0.2)
        os.write(here, b"\x03")
        assert process.wait(20) == 0
    finally:
        process.kill()
        os.close(here)
        os.close(there)


@pytest.mark.parametrize("command", ["ask", "chat"])
def test_mistakes(mini, command, capsys):
    assert run([command, "nowhere"]) == 2
    assert "must be the folder of a training run" in capsys.readouterr().err
    assert run([command, mini, "--layers", "1"]) == 2
    capsys.readouterr()
    for option, value, says in (
        ("--temperature", "-1", "temperature must"),
        ("--seed", "-1", "the seed must not be negative"),
        ("--tokens", "-1", "--tokens must not be negative"),
    ):
        assert run([command, mini, option, value]) == 2  # before any question
        captured = capsys.readouterr()
        assert says in captured.err
        assert captured.out == ""

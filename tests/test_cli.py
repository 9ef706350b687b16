"""The command line as a user meets it: training, writing, measuring, and mistakes."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gpt.cli import COMMANDS, grammar, parser, run
from gpt.cli.console import TrainingLine
from gpt.cli.evaluate import _conclusion
from gpt.cli.grammar import parse
from gpt.text import named

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
    assert names - {".training.lock"} == {
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
    logged = json.loads((Path("runs/a/log.jsonl")).read_text().splitlines()[-1])
    assert result["val_loss"] == pytest.approx(logged["val_loss"], abs=1e-6)
    assert run(["eval", "runs/a", "text.txt"]) == 0
    out = capsys.readouterr().out
    for text in ("a uniform guess", "what followed the one before", "bits per byte"):
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
    log = Path("runs/a/log.jsonl").read_text()
    steps = [json.loads(line)["step"] for line in log.splitlines()]
    assert steps == [1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9]


def test_standard_input(monkeypatch, capsys):
    class Stdin:
        buffer = io.BytesIO(TEXT.encode())

    monkeypatch.setattr("sys.stdin", Stdin)
    assert run(["train", "-", "--name", "piped", *TINY]) == 0
    assert run(["eval", "runs/piped"]) == 0
    assert run(["train", "--resume", "runs/piped", "--steps", "8"]) == 0
    capsys.readouterr()
    Path("runs/piped/corpus.txt").unlink()
    assert run(["eval", "runs/piped"]) == 2
    assert "is not kept" in capsys.readouterr().err


def test_without_network_the_default_is_the_sample(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("GPT_DATA_DIR", raising=False)
    monkeypatch.setattr(named, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(named, "download", lambda *a: (_ for _ in ()).throw(OSError("offline")))
    assert run(["train", *TINY]) == 0
    captured = capsys.readouterr()
    assert "gpt train shakespeare says why" in captured.err
    assert re.search(r"corpus +sample: ", captured.out)


MISTAKES = {
    "got argument COMMAND: invalid choice: 'trian'.*try train": ["trian"],
    "the unknown argument --pressset.*try --preset": ["train", "--pressset", "baby"],
    "the unknown argument --colour.*try gpt train --help": ["train", "--colour", "red"],
    "invalid int value: 'abc'.*try gpt generate --help": ["generate", "run", "--tokens", "abc"],
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
    "must hold text files": ["train", "folder"],
    "sample-tokens must not": ["train", "text.txt", "--sample-tokens", "-1"],
    "number of threads must lie": ["train", "text.txt", "--threads", "0"],
    "RUN must be the folder": ["generate", "runs/none"],
    "a resumed run keeps its weights": ["train", "--from", "x", "--resume", "runs/none"],
    "temperature must be": ["generate", "runs/none", "--temperature", "-1"],
    "top_k must be": ["generate", "runs/none", "--top-k", "0"],
    "seed must be finite and not negative": ["train", "text.txt", "--seed", "-1"],
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


def parsers():
    """Each command's parser, by name"""
    found = {}
    original = parser.command

    def noted(commands, name, about, examples):
        found[name] = original(commands, name, about, examples)
        return found[name]

    with pytest.MonkeyPatch.context() as patch:
        for module in (grammar.training, grammar.writing, grammar.measuring, grammar.models):
            patch.setattr(module, "command", noted)
        parse(["info", "hello"])
    return found


def test_every_option_of_every_command_has_a_sentence():
    found = parsers()
    assert set(found) == set(COMMANDS)
    for name, one in found.items():
        assert "examples:" in one.epilog
        for action in one._actions:
            where = f"{name} {action.option_strings or action.dest}"
            assert len((action.help or "").split("(default")[0].split()) >= 2, where


def test_help_shows_the_defaults_of_the_chosen_preset(capsys):
    of_preset = {"shakespeare": "3300", "baby": "2000", "hello": "200", "nope": "3300"}
    for name, steps in of_preset.items():
        arguments = [f"--preset={name}"] if name == "hello" else ["--preset", name]
        with pytest.raises(SystemExit):
            run(["train", *arguments, "--help"])
        out = " ".join(capsys.readouterr().out.split())
        assert f"updates of the weights (default: {steps})" in out
        assert "--activation gelu|gelu_tanh|relu|silu|relu_squared" in out


def test_version_and_completion(capsys):
    for option in ("--version", "-V"):
        with pytest.raises(SystemExit):
            run([option])
        out = capsys.readouterr().out
        assert re.match(r"gpt \d+\.\d+\.\d+ with numpy \d.* numba \d", out)
    for words, usage in ((["help"], "usage: gpt [-h]"), (["help", "plot"], "usage: gpt plot")):
        with pytest.raises(SystemExit):
            run(words)
        assert capsys.readouterr().out.startswith(usage)
    with pytest.raises(SystemExit):
        run(["--completion", "bash"])
    out = capsys.readouterr().out
    assert "--n-layer" in out
    assert "explain" in out


def test_no_color_leaves_no_escapes(tmp_path):
    here = str(Path(__file__).parent.parent)
    base = {**os.environ, "PYTHONPATH": here, "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    base.pop("NO_COLOR", None)
    for extra, escapes in (({}, True), ({"NO_COLOR": "1"}, False)):
        done = subprocess.run(
            [sys.executable, "-m", "gpt", "train", "text.txt", *TINY, "--force"],
            capture_output=True, text=True, env=base | extra, cwd=tmp_path, check=True,
        )  # fmt: skip
        assert ("\x1b" in done.stdout) is escapes
        assert "\x1b" not in done.stderr or escapes


def test_a_live_line_fits_80_columns():
    from rich.console import Console

    from gpt.training.loop import StepRecord

    console = Console(width=80, record=True, force_terminal=True, file=io.StringIO())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpt.cli.console.console", console)
        patch.setattr("gpt.cli.console.is_live", lambda: True)
        with TrainingLine(20_000, 0) as line:
            line.val_loss = 1.5902
            line.step(StepRecord(12_345, 1.4489, 1e-3, 0.5, 20.0, 150_589.0), 20_000)
            shown = console.render_lines(line.progress.get_renderable(), console.options)
    text = "".join(segment.text for segment in shown[0]).rstrip()
    assert len(shown) == 1
    assert "loss 1.4489 | val 1.5902 | 150,589 tokens/s" in text
    assert len(text) <= 80


def test_windows_of_long_blocks_stay_readable(capsys):
    assert run(["train", "text.txt", *TINY, "--verbose"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("window"))
    assert "'the quic' …" in lines[start + 1]


def test_who_stops_reading_stops_the_command(trained):
    command = [sys.executable, "-m", "gpt", "explain", "runs/a", "the fox"]
    root = str(Path(__file__).parent.parent)
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": root}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_who_names_no_run_is_shown_those_that_are_there(trained, capsys):
    for name, says in (
        ("runs", "which has no config.json\n  try runs/a"),
        ("runs/b", "which is no folder\n  try runs/a"),
        ("runs/a/log.jsonl", "which is no folder"),
        ("hf", "in the format of Hugging Face\n  try gpt import hf first"),
    ):
        Path("hf").mkdir(exist_ok=True)
        Path("hf/config.json").write_text('{"model_type": "gpt2"}')
        assert run(["explain", name, "the"]) == 2
        assert says in capsys.readouterr().err


def test_files_that_the_system_refuses(trained, capsys):
    assert run(["generate", "runs/a", "--prompt-file", "nowhere.txt"]) == 2
    error = capsys.readouterr().err
    assert "got nowhere.txt: No such file or directory\n  try another path" in error
    assert run(["generate", "runs/a", "--prompt", "the", "--prompt-file", "text.txt"]) == 2
    assert "there is one prompt" in capsys.readouterr().err


def test_words_of_the_card(capsys):
    assert run(["train", "--preset", "hello", "--out", "h", "--steps", "4"]) == 0
    out = capsys.readouterr().out
    assert "parameters: 1 layer, 2 heads, 16 wide" in out
    assert "4 steps of 7 x 4 tokens, 10.2 passes over the text" in out  # 4 * 7 * 4 / 11
    assert run(["eval", "h"]) == 0
    assert "characters of the text that it was trained on" in capsys.readouterr().out


def test_eval_concludes(trained, capsys):
    assert run(["eval", "runs/a"]) == 0
    assert re.search(
        r"^(worse|better) than (guessing|counting|gzip)", capsys.readouterr().out, re.M
    )
    other = "the lazy dog jumps over the quick brown fox.\n" * 10
    Path("other.txt").write_text(other)
    assert run(["eval", "runs/a", "other.txt", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["val_tokens"] == len(other) - 1  # all of it
    assert run(["eval", "runs/a", "other.txt"]) == 0
    assert "more steps, or a higher --lr, may help" in capsys.readouterr().out  # the text is alike
    compared = {"a uniform guess": 3.4, "how often each token occurs": 2.5, "gzip -9": 9.0}
    assert _conclusion(3.0, 2.0, compared, True) == (
        "better than guessing, worse than counting tokens: this text is unlike the one it was"
        " trained on"
    )
    assert "unlike" not in _conclusion(3.0, 2.9, compared, True)
    assert "unlike" not in _conclusion(3.0, 2.0, compared, False)
    assert _conclusion(2.0, 1.0, compared, False) == (
        "better than counting tokens; it knows its training text 1.00 nats better"
    )
    assert _conclusion(3.5, None, compared, False).startswith("worse than guessing: more steps")
    nothing = dict.fromkeys(compared, -0.0)  # a text of one character, again and again
    assert _conclusion(0.0, 0.0, nothing, False) == "as good as guessing"
    assert run(["ablate", "runs/a", "other.txt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == len(other) - 1
    assert result["bigram_loss"] < result["unigram_loss"] < result["uniform_loss"]
    Path("text.txt").unlink()  # what the run was trained on
    assert run(["eval", "runs/a", "other.txt"]) == 0
    out = capsys.readouterr().out
    assert "how often each token occurs" not in out
    assert re.search("than (guessing|gzip)", out)


def test_info_of_a_run_tells_of_its_training(trained, capsys):
    assert run(["info", "runs/a"]) == 0
    out = capsys.readouterr().out
    assert re.search(
        r"corpus +/.*text.txt\n  trained +6 of 6 steps\n  best loss +\d\.\d{4} in val", out
    )
    assert run(["info", "runs/a", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best_step"] in (3, 6)


def test_help_is_there_at_once():
    """It waits for neither NumPy nor the engine"""
    code = "import sys; from gpt.cli import run\ntry: run(['--help'])\nexcept SystemExit: pass\n"
    code += "print(sorted(sys.modules.keys() & {'numpy', 'numba', 'matplotlib', 'tokenizers'}))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"

"""Where a run is made, and what it must never touch."""

import os
from pathlib import Path

import pytest

from gpt.cli import run
from gpt.corpus import base_name
from gpt.run import Run, default_folder

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
    assert made.checkpoint.parent.is_dir()


def test_standard_input_has_a_name(home, monkeypatch):
    class Stdin:
        class buffer:
            read = staticmethod(TEXT.encode)

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
    (trained / ".log.jsonl.ab_12xyz").write_text("left by a power cut")
    (trained / "last" / ".checkpoint.safetensors.ab_12xyz").write_text("left by a power cut")
    assert Run.create(trained, force=True).folder == trained
    assert not [p for p in trained.rglob("*") if p.is_file()]


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

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

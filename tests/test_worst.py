"""The worst that happens to a run: kills, full disks, damaged and hostile files, no memory, clocks
that jump, two at once. Always the right bits, or a clear message.

KILLS=200 DAMAGES=4000 pytest tests/test_worst.py tries more; python -m tests.kills --minutes 30
is a soak.
"""

import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import gpt.training.loop
import tinygrad_lite as tg
from gpt.cli import run
from gpt.training.run import Run
from tests import damage, kills
from tests.damage import TEXT, TINY, last_bits

ROOT = Path(__file__).parent.parent


STEPS = ["--steps", "8", "--eval-interval", "4"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """(a run, another one, what commands give on the first, a folder to work in)"""
    folder = tmp_path_factory.mktemp("runs")
    whole, other = damage.make(folder / "a"), damage.make(folder / "b", seed=7)
    return whole, other, damage.expected(whole, folder), folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


def test_killed_runs_end_with_the_same_bits(tmp_path):
    count = int(os.environ.get("KILLS", "6"))
    killed = number = 0
    while killed < count:
        number += 1
        folder = tmp_path / str(number)
        asked = kills.undisturbed(folder, 400, seed=number)
        rng = random.Random(number)
        more, _ = kills.kill_and_resume(folder, asked, "killed", count - killed, rng, 0.5)
        killed += more
        assert kills.same(folder, "killed")


def test_damaged_files_are_noticed(runs):
    whole, other, right, folder = runs
    wrong = []
    for seed in range(int(os.environ.get("DAMAGES", "250"))):
        *what, said = damage.trial(whole, other, right, folder, seed)
        if said:
            wrong.append((seed, *what, said))
    assert not wrong


@pytest.mark.parametrize("name", damage.FILES)
@pytest.mark.parametrize("kind", ["delete", "swap", "empty", "nested"])
def test_each_file_deleted_swapped_emptied(runs, name, kind):
    whole, other, right, folder = runs
    for command in damage.COMMANDS:
        place = damage.copied(whole, folder / f"{kind}-{command}")
        damage.damage(place, name, kind, other, random.Random(0))
        said = damage.verdict(command, damage.outcome(command, place), right[command])
        shutil.rmtree(place)
        assert not said, command


def test_every_bit_of_the_weights_counts(runs):
    """Flips all over the file: each is noticed by whoever reads it"""
    whole, _, right, folder = runs
    place = damage.copied(whole, folder / "bits")
    path = place / "run" / "model.safetensors"
    data = path.read_bytes()
    rng = random.Random(0)
    for at in [*range(0, 1500, 37), *rng.sample(range(len(data)), 60)]:
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :])
        assert not damage.verdict("eval", damage.outcome("eval", place), right["eval"]), at
    shutil.rmtree(place)


def test_settings_are_not_edited_behind_the_weights_back(runs):
    whole, _, _, folder = runs
    place = damage.copied(whole, folder / "edited")
    path = place / "run" / "config.json"
    setup = json.loads(path.read_text())
    for name, value in (("n_head", 1), ("dropout", 0.5)):
        path.write_text(json.dumps({**setup, "model": {**setup["model"], name: value}}))
        status, _, error = damage.outcome("eval", place)
        assert status == 2
        assert "its checksum differs; other settings are given to" in error
    for version, message in ((2, "newest that is known"), (True, ""), ("1", "newest that is")):
        path.write_text(json.dumps({**setup, "format": version}))
        status, _, error = damage.outcome("eval", place)
        assert status == 2
        assert message in error
    shutil.rmtree(place)


def limited(arguments, folder, **limits):
    """The command in a process with limits of the resource module, by name"""

    def apply():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))

    return subprocess.run(
        [sys.executable, "-P", "-m", "gpt", *arguments], cwd=folder, preexec_fn=apply,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        capture_output=True, text=True, errors="replace", timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("bytes_of_a_file", [100, 900, 2000, 20_000, 30_000])
def test_a_full_disk_loses_nothing(home, bytes_of_a_file):
    """Files may grow so far: the log, the weights or the checkpoint meet the end"""
    assert limited(["train", "text.txt", "--out", "a", *TINY, *STEPS], home).returncode == 0
    asked = ["train", "text.txt", "--out", "b", *TINY, *STEPS, "--save-every", "1"]
    done = limited(asked, home, RLIMIT_FSIZE=bytes_of_a_file)
    assert "Traceback" not in done.stderr
    if done.returncode == 0:
        pytest.skip("there was room enough")
    assert done.returncode == 2
    assert "\n  got " in done.stderr
    assert "File too large" in done.stderr
    assert not list(Path(home).rglob(".*.unfinished"))
    if Path("b/config.json").exists():
        assert "gpt train --resume b" in done.stderr
        assert limited(["train", "--resume", "b", "--sample-tokens", "8"], home).returncode == 0
    else:
        assert limited(asked, home).returncode == 0  # nothing is in the way
    assert last_bits(home / "a") == last_bits(home / "b")
    weights = [tg.load_state(home / name / "model.safetensors") for name in "ab"]
    assert all((weights[0][n] == weights[1][n]).all() for n in weights[0])


def test_a_folder_that_cannot_be_written_is_named(home, capsys):
    (home / "file").write_text("mine")
    for out in ("file/run", "/proc/nowhere/run"):
        assert run(["train", "text.txt", "--out", out, *TINY, *STEPS]) == 2
        assert "\n  try " in capsys.readouterr().err
    assert (home / "file").read_text() == "mine"


@pytest.mark.parametrize("megabytes", [350, 450, 550, 4000])
def test_without_memory_there_is_a_message(home, megabytes):
    done = limited(["train", "text.txt", "--out", "a", "--steps", "20", "--threads", "1"], home,
                   RLIMIT_AS=megabytes * 1_000_000)  # fmt: skip
    expected = {350: (2,), 4000: (0,)}.get(megabytes, (0, 2))  # which of them is the machine's
    assert done.returncode in expected, done.stderr[-1500:]
    if done.returncode == 2:
        assert "Traceback" not in done.stderr
        assert "\n  try " in done.stderr


TOO_LARGE = [
    ["--batch-size", "200000000"],
    ["--d-ff", "2147483648"],
    ["--n-embd", "8000000", "--n-head", "1"],
    ["--n-layer", "1000000000"],
    ["--block-size", "9" * 4000],
    ["--batch-size", "9" * 4000],
    ["--seed", "9" * 4000],
    ["--steps", str(1 << 70)],
    ["--tokenizer", "bytes", "--vocab-size", "2147483648"],
    ["--tokenizer", "bytes", "--vocab-size", "9" * 4000],
    ["--batch-size", "16000000", "--n-embd", "4096"],
]


@pytest.mark.parametrize("options", TOO_LARGE, ids=lambda o: " ".join(o)[:40])
def test_what_cannot_fit_is_refused_before_it_is_tried(home, options, capsys):
    start = time.monotonic()
    assert run(["train", "text.txt", *options]) == 2
    error = capsys.readouterr().err
    assert "\n  got " in error
    assert len(error) < 1000
    assert time.monotonic() - start < 10
    assert not Path("runs").exists()


def test_a_clock_that_jumps_changes_nothing(home, monkeypatch):
    assert run(["train", "text.txt", "--out", "a", *TINY, *STEPS]) == 0
    clock, jump = time.time, random.Random(0)
    monkeypatch.setattr(time, "time", lambda: clock() + jump.uniform(-1e9, 1e9))
    assert run(["train", "text.txt", "--out", "b", *TINY, *STEPS]) == 0
    monkeypatch.undo()
    assert last_bits(home / "a") == last_bits(home / "b")
    os.utime(home / "b" / "last" / "checkpoint.safetensors", (0, 4e9))
    assert run(["runs", "."]) == 0


def test_two_trainings_do_not_share_a_folder(home, monkeypatch, capsys):
    does, began, goes_on = gpt.training.loop.train_step, threading.Event(), threading.Event()

    def waits(state, training):
        began.set()
        assert goes_on.wait(60)
        return does(state, training)

    monkeypatch.setattr(gpt.training.loop, "train_step", waits)
    first = threading.Thread(target=lambda: run(["train", "text.txt", "--out", "a", *TINY, *STEPS]))
    monkeypatch.setattr("gpt.cli.train.measure", lambda *a: (1.0, 1.0))
    first.start()
    assert began.wait(60)
    for command in (["train", "--resume", "a"],
                    ["train", "text.txt", "--out", "a", "--force", *TINY, *STEPS]):  # fmt: skip
        assert limited(command, home).returncode == 2
        assert "where another is at work" in limited(command, home).stderr
    goes_on.set()
    first.join()
    assert len(Path("a/log.jsonl").read_text().splitlines()) == 8 + 2
    assert run(["train", "--resume", "a", "--steps", "9"]) == 0  # the lock that is left is no lock


def test_a_lock_goes_with_its_process(home):
    asked = ["train", "text.txt", "--out", "a", *TINY, "--steps", "100000", "--save-every", "1"]
    process = kills.gpt(*asked, folder=home)
    saved = home / "a" / "log.jsonl"
    while not (saved.exists() and saved.stat().st_size):
        assert process.poll() is None
        time.sleep(0.05)
    assert "where another is at work" in limited(["train", "--resume", "a"], home).stderr
    process.kill()
    process.communicate()
    done = limited(["train", "--resume", "a", "--steps", "3"], home)
    assert done.returncode == 0, done.stderr


def test_a_process_that_nobody_reads_is_saved(home):
    asked = [sys.executable, "-P", "-m", "gpt", "train", "text.txt", "--out", "a", *TINY,
             "--steps", "100000"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(asked, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:  # fmt: skip
        while not process.stdout.readline().startswith("step 1/"):
            assert process.poll() is None
        process.stdout.close()
        error = process.stderr.read()
    assert process.returncode == 128 + signal.SIGPIPE, error
    assert "gpt train --resume a" in error
    assert limited(["eval", "a"], home).returncode in (0, 2)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding_of_the_terminal_will_do(home, encoding, monkeypatch):
    name = os.fsdecode(b"na\xefve-\xff.txt")
    Path(name).write_text(TEXT + "é你🙂" * 30)
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    done = limited(["train", name, "--out", "a", *TINY, *STEPS], home)
    assert done.returncode == 0, done.stderr
    assert limited(["generate", "a", "--tokens", "9"], home).returncode == 0
    assert limited(["train", "--resume", "a", "--steps", "10"], home).returncode == 0


def test_closed_standard_output(home):
    command = f"{sys.executable} -P -m gpt train text.txt --out a {' '.join(TINY + STEPS)} >&- 2>&-"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(["sh", "-c", command], env=environment, check=False).returncode == 0
    assert Path("a/model.safetensors").is_file()


def test_a_run_whose_setup_was_deleted_while_it_trains_is_whole(home, monkeypatch):
    does = gpt.training.loop.train_step

    def deletes(state, training):
        if state.step == 5:
            Path("a/config.json").unlink()
        return does(state, training)

    monkeypatch.setattr(gpt.training.loop, "train_step", deletes)
    assert run(["train", "text.txt", "--out", "a", *TINY, *STEPS]) == 0
    assert run(["eval", "a"]) == 0


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 2), ("", 2)])
def test_force_asks_on_a_terminal(home, monkeypatch, capsys, answer, status):
    asked = ["train", "text.txt", "--out", "a", *TINY, *STEPS]
    assert run(asked) == 0
    before = last_bits(Path("a"))

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert run([*asked, "--seed", "3", "--force"]) == status
    assert "replace the run in a (8 steps)? [y/N]" in capsys.readouterr().err
    assert (last_bits(Path("a")) == before) == (status == 2)


def test_all_windows_are_for_short_texts(home, capsys):
    Path("long.txt").write_text(TEXT * 30)
    assert run(["train", "long.txt", "--preset", "hello", "--steps", "2"]) == 2
    assert "try --batches random" in capsys.readouterr().err


def test_a_run_that_was_made_meanwhile_is_not_replaced(home, capsys, monkeypatch):
    """Two runs of one name, of which one takes longer to begin"""
    asked = ["train", "text.txt", "--out", "a", *TINY, *STEPS]

    def meanwhile(*arguments):
        monkeypatch.setattr("gpt.cli.train.measure", lambda *a: (1.0, 1.0))
        assert run([*asked, "--seed", "3"]) == 0
        return 1.0, 1.0

    monkeypatch.setattr("gpt.cli.train.measure", meanwhile)
    assert run(asked) == 2
    assert "a run is not overwritten unasked" in capsys.readouterr().err
    assert Run.open("a").read_setup().train.seed == 3


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_is_moved_while_it_is_trained(home, monkeypatch, capsys, replaced):
    does = gpt.training.loop.train_step

    def moves(state, training):
        if state.step == 5:
            monkeypatch.setattr(gpt.training.loop, "train_step", does)
            Path("a").rename("b")
            if replaced:
                assert run(["train", "text.txt", "--out", "a", *TINY, *STEPS, "--seed", "3"]) == 0
        return does(state, training)

    monkeypatch.setattr(gpt.training.loop, "train_step", moves)
    asked = ["train", "text.txt", "--out", "a", *TINY, *STEPS, "--save-every", "1"]
    assert run(asked) == 2
    assert "a, which was moved, removed or replaced" in capsys.readouterr().err
    assert Path("a").exists() == replaced
    if replaced:
        assert run(["eval", "a"]) == 0
        assert len(Path("a/log.jsonl").read_text().splitlines()) == 8 + 2
    monkeypatch.undo()
    monkeypatch.chdir(home)
    assert run(["train", "--resume", "b"]) == 0


def test_a_trained_run_without_its_setup_is_not_replaced(home, capsys):
    asked = ["train", "text.txt", "--out", "a", *TINY, *STEPS]
    assert run(asked) == 0
    Path("a/config.json").unlink()
    assert run(asked) == 2
    assert "a run is not overwritten unasked" in capsys.readouterr().err
    assert Path("a/model.safetensors").exists()
    assert run([*asked, "--force"]) == 0


def test_a_run_that_was_not_completely_made_is_in_nobodys_way(home, monkeypatch):
    def dies(*arguments):
        raise SystemExit(9)  # a kill leaves even more

    monkeypatch.setattr("gpt.training.setup.Setup.write", dies)
    monkeypatch.setattr("gpt.training.run.remove", lambda folder: None)
    with pytest.raises(SystemExit):
        run(["train", "text.txt", "--out", "a", *TINY, *STEPS])
    (home / "a" / ".being-made").touch()
    assert (home / "a" / "last" / "checkpoint.safetensors").exists()
    monkeypatch.undo()
    monkeypatch.chdir(home)
    assert run(["train", "text.txt", "--out", "a", *TINY, *STEPS]) == 0


def test_hidden_files_of_the_user_stay(home):
    assert run(["train", "text.txt", "--out", "a", *TINY, *STEPS]) == 0
    names = (".config.json.original", ".log.jsonl.20261125", ".model.safetensors.mybackup")
    for name in names:
        Path("a", name).write_text("precious")
    assert run(["train", "--resume", "a", "--steps", "10"]) == 0
    assert all(Path("a", name).read_text() == "precious" for name in names)


def test_files_have_the_permissions_that_the_user_wants(home):
    before = os.umask(0o077)
    try:
        assert run(["train", "text.txt", "--out", "a", *TINY, *STEPS]) == 0
    finally:
        os.umask(before)
    assert {oct(p.stat().st_mode & 0o777) for p in Path("a").rglob("*") if p.is_file()} == {"0o600"}


@pytest.mark.parametrize("ms", ["1e400", "NaN", "1" + "0" * 400, '"x"', "-Infinity"])
def test_odd_lines_of_a_log_are_left_out(home, ms, capsys):
    assert run(["train", "text.txt", "--out", "runs/a", *TINY, *STEPS]) == 0
    with Path("runs/a/log.jsonl").open("a") as file:
        file.write(f'{{"step": 5, "loss": 1, "lr": 1, "grad_norm": 1, "ms": {ms}, '
                   '"tokens_per_second": 1}\n')  # fmt: skip
    for command in (["runs"], ["compare", "runs/a"], ["plot", "runs/a"], ["report", "runs/a"],
                    ["train", "--resume", "runs/a", "--steps", "9"]):  # fmt: skip
        assert run(command) == 0, command


def test_pipes_are_refused_with_what_to_do(home, capsys):
    os.mkfifo("pipe")
    assert run(["train", "pipe", *TINY, *STEPS]) == 2
    assert "which is a pipe or a device" in capsys.readouterr().err


def test_what_runs_have_written_is_no_text(home, capsys):
    assert run(["train", "**/*.txt", "--out", "runs/a", *TINY, *STEPS]) == 0
    assert run(["train", "--resume", "runs/a", "--steps", "9"]) == 0
    assert run(["train", ".", "--include", "*.txt", "--out", "runs/b", *TINY, *STEPS]) == 0
    (home / "runs" / "b" / "log.jsonl").unlink()  # killed before the first step
    assert run(["train", "--resume", "runs/b", "--steps", "9"]) == 0
    assert run(["train", "**/*.txt", "--out", "c", *TINY, *STEPS]) == 0
    assert "written by a training run" in capsys.readouterr().err


def test_given_validation_texts_are_held_out_whatever_the_share(home, capsys):
    Path("v.txt").write_text(TEXT[:300])
    asked = ["train", "text.txt", "--validation-file", "v.txt", *TINY, *STEPS]
    assert run([*asked, "--validation", "0", "--out", "a"]) == 0
    assert Run.open("a").read_setup().train.validation == 0.1
    assert run(["train", "--resume", "a", "--steps", "9"]) == 0
    capsys.readouterr()
    assert run(["eval", "a"]) == 0
    assert "characters of validation text" in capsys.readouterr().out


def test_runs_and_comparisons_tell_the_same_best(home, capsys):
    Path("text.txt").write_text(TEXT * 3)
    asked = ["train", "text.txt", "--out", "runs/a", *TINY, *STEPS, "--eval-tokens", "40"]
    assert run(asked) == 0
    capsys.readouterr()
    assert run(["runs", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)[0]
    assert run(["compare", "runs/a", "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)["runs"][0]
    assert (listed["best_loss"], listed["best_step"]) == pytest.approx(
        (compared["best_val_loss"], compared["best_step"])
    )


def test_a_learning_rate_that_is_far_too_high_is_not_divided_by_three():
    from gpt.training.state import lower

    assert lower(3e-3) == pytest.approx(1e-3)
    assert lower(1000.0) == 1e-3


def test_patterns_give_no_odd_names_and_folders_take_what_is_replaced(home, capsys):
    (home / "d").mkdir()
    (home / "d" / "x.txt").write_text(TEXT)
    (home / "d" / "latin.txt").write_bytes("é".encode("latin-1") * 40)
    assert run(["train", "d/*.txt", "--errors", "replace", *TINY, *STEPS]) == 0
    assert [p.name for p in Path("runs").iterdir()] == ["txt"]
    capsys.readouterr()
    assert run(["train", "d", "--out", "a", *TINY, *STEPS]) == 0
    assert "latin.txt: not UTF-8 (--errors replace takes it)" in capsys.readouterr().err
    assert run(["train", "d", "--errors", "replace", "--out", "b", *TINY, *STEPS]) == 0
    assert "\ufffd" in Path("b/tokenizer.json").read_text()
    assert run(["eval", "b", "d/latin.txt", "--errors", "replace"]) == 0

"""The commands under mpirun, and their forecast: runs of two and four ranks. Skipped where there is
no mpirun."""

import itertools
import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gpt.cli import run
from gpt.cli.plan import counts
from gpt.training.cluster import Network, exchange_seconds
from gpt.training.log import read_records
from gpt.training.run import Run
from gpt.training.state import TrainState
from tests.mpi import MODEL, ROOT, SMALL, alone, ended, found_by, gpt, mpirun, needs_mpi, start


def losses(folder):
    records = list(read_records(folder / "log.jsonl"))
    return (
        np.array([r["loss"] for r in records if r.get("loss")]),
        np.array([r["val_loss"] for r in records if r.get("val_loss")]),
    )


def trained(folder):
    """The state that a run has saved"""
    run = Run.open(folder)
    setup = run.read_setup()
    state = TrainState(setup.model, setup.train)
    run.load_last(state)
    return state


@needs_mpi
@pytest.mark.parametrize(("preset", "steps"), [("baby", 200), ("shakespeare", 50)])
def test_the_same_model_whatever_the_number_of_ranks(tmp_path, preset, steps):
    """Fewer steps with Muon: what is rounded differently grows fast in a model as small as this"""
    command = [*SMALL, "--preset", preset, "--dropout", "0.2", "--steps", f"{steps}",
               "--eval-interval", f"{steps // 2}"]  # fmt: skip
    alone(*command, "--out", "1", cwd=tmp_path)
    expected = losses(tmp_path / "1")
    for count, name in ((2, "2"), (4, "4"), (2, "again")):
        said, _ = gpt(count, *command, "--out", name, cwd=tmp_path)
        assert said.count("best validation loss") == 1  # the first rank speaks
        for got, one in zip(losses(tmp_path / name), expected, strict=True):
            assert len(got) == len(one) > 0
            np.testing.assert_allclose(got, one, rtol=1e-5)
    arrays, again = (trained(tmp_path / name).arrays() for name in ("2", "again"))
    assert {n: a.tobytes() for n, a in arrays.items()} == {n: a.tobytes() for n, a in again.items()}
    assert arrays.keys() == trained(tmp_path / "1").arrays().keys()


@needs_mpi
def test_a_run_goes_on_with_another_number_of_ranks(tmp_path):
    def both(first, second, name):
        for count, options in (
            (first, [*SMALL, "--dropout", "0.1", "--optimizer", "muon", "--steps", "20",
                     "--eval-interval", "10", "--out", name]),
            (second, ["train", "--resume", name, "--steps", "40", "--sample-tokens", "5"]),
        ):  # fmt: skip
            if count == 1:
                alone(*options, cwd=tmp_path)
            else:
                gpt(count, *options, cwd=tmp_path)
        return losses(tmp_path / name)

    expected = both(1, 1, "alone")
    for first, second in ((1, 2), (2, 4), (4, 1)):
        for got, one in zip(both(first, second, f"{first}-{second}"), expected, strict=True):
            np.testing.assert_allclose(got, one, rtol=1e-5)


@needs_mpi
def test_gradients_may_travel_in_bfloat16(tmp_path):
    command = [*SMALL, "--steps", "60", "--eval-interval", "30"]
    alone(*command, "--out", "1", cwd=tmp_path)
    gpt(2, *command, "--reduce", "bfloat16", "--out", "2", cwd=tmp_path)
    got, expected = losses(tmp_path / "2")[1], losses(tmp_path / "1")[1]
    assert 0 < np.abs(got / expected - 1).max() < 3e-3


@needs_mpi
def test_a_run_by_the_clock_takes_the_steps_that_the_first_rank_says(tmp_path):
    own = [word for word in SMALL if word not in MODEL]  # so that the time chooses the model
    for name in ("timed", "again"):
        said, _ = gpt(2, *own, "--minutes", "0.15", "--out", name, cwd=tmp_path)
        state = trained(tmp_path / name)
        assert state.step == state.config.steps == len(losses(tmp_path / name)[0]) > 20
        assert "\x1b" not in said  # mpirun gives a terminal, and this is none


@needs_mpi
def test_a_killed_rank_ends_the_job_and_leaves_the_last_checkpoint(tmp_path):
    job = start(2, sys.executable, "-m", "gpt", *SMALL, "--steps", "100000", "--save-every", "5",
                "--out", "run", cwd=tmp_path)  # fmt: skip
    wait_for_steps(tmp_path / "run", 20)
    number = rank_process(tmp_path, 1)
    began = time.monotonic()
    os.kill(number, signal.SIGKILL)
    out, err = ended(job, status=1)
    assert time.monotonic() - began < 15
    assert re.search(rf"rank 1\b|\b{number}\b", out + err), err  # who it was
    state = trained(tmp_path / "run")
    assert state.step >= 5
    steps = state.step + 5
    alone("train", "--resume", "run", "--steps", str(steps), "--sample-tokens", "5", cwd=tmp_path)
    assert trained(tmp_path / "run").step == steps


@needs_mpi
@pytest.mark.parametrize("to", [0, 1])
def test_a_signal_to_one_rank_stops_all_after_the_same_step(tmp_path, to):
    job = start(2, sys.executable, "-m", "gpt", *SMALL, "--steps", "100000", "--out", "run",
                cwd=tmp_path)  # fmt: skip
    wait_for_steps(tmp_path / "run", 20)
    os.kill(rank_process(tmp_path, to), signal.SIGINT)
    out, err = ended(job, status=1)
    state = trained(tmp_path / "run")
    assert f"stopped after step {state.step}" in out + err
    assert state.step == len(losses(tmp_path / "run")[0])


@needs_mpi
@pytest.mark.parametrize("to", [0, 1])
def test_a_second_signal_to_one_rank_ends_all_at_once(tmp_path, to):
    job = start(2, sys.executable, "-m", "gpt", *SMALL, "--batch-size", "500", "--steps", "100000",
                "--out", "run", cwd=tmp_path)  # fmt: skip
    wait_for_steps(tmp_path / "run", 2)
    began, number = time.monotonic(), rank_process(tmp_path, to)
    for _ in range(2):
        os.kill(number, signal.SIGINT)
        time.sleep(0.02)
    ended(job, status=1)
    assert time.monotonic() - began < 15
    assert trained(tmp_path / "run").step <= len(losses(tmp_path / "run")[0])


def wait_for_steps(folder, count):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if (folder / "log.jsonl").exists() and len(losses(folder)[0]) >= count:
            return
        time.sleep(0.1)
    raise AssertionError("the run has not begun")


def rank_process(folder, rank):
    """The process of a rank of the job in a folder, found by what MPI has told it"""
    for entry in Path("/proc").iterdir():
        try:
            told = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes()
            here = (entry / "cwd").resolve() == folder.resolve()
        except OSError:
            continue
        number = f"={rank}".encode()
        ours = b"OMPI_COMM_WORLD_RANK" + number in told or b"PMI_RANK" + number in told
        if entry.name.isdecimal() and here and ours and b"-m\0gpt\0train" in command:
            return int(entry.name)
    raise AssertionError("no such rank")


def for_rank_1(folder, line):
    """A program that runs `line` of shell in rank 1 before gpt"""
    script = folder / "rank.sh"
    script.write_text(
        f'if [ "${{OMPI_COMM_WORLD_RANK:-$PMI_RANK}}" = 1 ]; then {line}; fi\n'
        f'exec {sys.executable} -m gpt "$@"\n'
    )
    return ["bash", str(script)]


@needs_mpi
def test_a_corpus_that_one_machine_lacks_is_named_by_its_rank(tmp_path):
    (tmp_path / "text.txt").write_text("a text of some length " * 100)
    (tmp_path / "other").mkdir()
    program = for_rank_1(tmp_path, f"cd {tmp_path / 'other'}")
    _, err = mpirun(2, *program, "train", "text.txt", *MODEL, "--steps", "2", "--out", "run",
                    cwd=tmp_path, status=1)  # fmt: skip
    assert re.search(r"rank 1 on .*'text.txt', which does not exist.*each machine", err, re.S)
    assert not (tmp_path / "run").exists()


@needs_mpi
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("export PYTHONPATH={patch}:$PYTHONPATH", r"numpy 0\.0 on rank 1"),
        ("export PYTHONPATH={copy}", r"the same programs.*code \w+ on rank 1"),
        ("cd there", r"the same run.*text \w+ on rank 1"),
    ],
)  # fmt: skip
def test_other_versions_and_other_texts_are_refused(tmp_path, line, words):
    patch, copy = tmp_path / "patch", tmp_path / "copy"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(
        "import importlib.metadata as m\nv = m.version\n"
        "m.version = lambda n: '0.0' if n == 'numpy' else v(n)\n"
    )
    for package in ("gpt", "tinygrad_lite"):
        shutil.copytree(ROOT / package, copy / package,
                        ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    with (copy / "gpt" / "errors.py").open("a") as file:
        file.write("\n# another version\n")
    (tmp_path / "text.txt").write_text("a text of some length " * 100)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "text.txt").write_text("b text of some length " * 100)
    program = for_rank_1(tmp_path, line.format(patch=patch, copy=copy))
    _, err = mpirun(2, *program, "train", "text.txt", *MODEL, "--steps", "2", "--out", "run",
                    cwd=tmp_path, status=1)  # fmt: skip
    assert re.search(words, err, re.S), err
    assert not (tmp_path / "run").exists()


@needs_mpi
def test_evaluation_and_samples_are_divided_with_the_same_results(tmp_path):
    alone(*SMALL, "--steps", "20", "--out", "run", cwd=tmp_path)
    one = json.loads(alone("eval", "run", "--json", cwd=tmp_path))
    few = ["generate", "run", "-n", "3", "--tokens", "12", "--json"]
    written = json.loads(alone(*few, cwd=tmp_path))
    for count in (2, 4):
        got = json.loads(gpt(count, "eval", "run", "--json", cwd=tmp_path)[0])
        assert got.keys() == one.keys()
        assert got["val_loss"] == pytest.approx(one["val_loss"], rel=1e-6)
        assert got["train_loss"] == pytest.approx(one["train_loss"], rel=1e-6)
        samples = json.loads(gpt(count, *few, cwd=tmp_path)[0])["samples"]
        assert [(s["seed"], s["text"]) for s in samples] == [
            (s["seed"], s["text"]) for s in written["samples"]
        ]


@needs_mpi
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["info", "gpt2"], "ranks share the work of train, eval, generate"),
        (["train", "--bogus"], "the unknown argument --bogus"),
        (["train", "nosuch.txt"], "'nosuch.txt', which does not exist"),
        (["train", "-"], "only the first has a standard input"),
    ],
)
def test_a_mistake_is_told_once(tmp_path, words, said):
    _, err = gpt(2, *words, cwd=tmp_path, status=1)
    assert err.count(said) == 1


@needs_mpi
def test_a_mistake_is_told_by_a_first_rank_that_is_the_last_to_find_it(tmp_path):
    """mpirun ends all ranks with the first that fails: none may do so before the word is said."""
    mistake = f"{sys.executable} -m gpt train --bogus"
    late = ["sh", "-c", f"sleep 1.5; exec {mistake}"]
    _, err = mpirun(1, *late, ":", "-n", "1", *mistake.split(), cwd=tmp_path, status=2)
    assert err.count("the unknown argument --bogus") == 1


@needs_mpi
def test_the_forecast_is_what_a_slow_link_takes():
    """Within 15 %, of one rank and of two, over links of 200 and 1,000 Mbit that are made slow by
    sleeping; once of three times, since others use the machine too"""
    apart = []
    for _ in range(3):
        found = found_by(2, "slow_link")[0].values()
        ratios = [
            t / s for speed in found for t, s in zip(speed["took"], speed["said"], strict=True)
        ]
        apart.append(max(abs(ratio - 1) for ratio in ratios))
        if apart[-1] < 0.15:
            return
    raise AssertionError(f"the forecasts are wrong by {apart}")


def test_what_travels_is_counted_exactly():
    """Two ranks, three parameters, nothing hidden: a link that is busy for what it carries"""
    network = Network(1000.0, 0.5)
    waits, sent = exchange_seconds([100, 50, 50], [100, 50, 50], 2, network, "float32", 0.0)
    assert sent == 4 * 100 + 4 * 100  # gradients that the other owns, and its own parameters
    assert waits == pytest.approx(0.4 + 0.4 + 6 * 0.5)
    assert exchange_seconds([100], [100], 1, network, "float32", 0.0) == (0.0, 0.0)
    less, half = exchange_seconds([100, 50, 50], [100, 50, 50], 2, network, "bfloat16", 0.0)
    assert (less, half) == (pytest.approx(0.2 + 0.4 + 6 * 0.5), 600)
    hidden, _ = exchange_seconds([100, 50, 50], [100, 50, 50], 2, network, "float32", 10.0)
    assert hidden == pytest.approx(0.4 + 0.4 + 6 * 0.5)  # the first parameter is complete last
    one_owns_most, _ = exchange_seconds([900, 1, 1], [900, 1, 1], 4, network, "float32", 0.0)
    assert one_owns_most == pytest.approx(2 * 3 * 3.6 + 10 * 0.5)  # from three, to three


@pytest.mark.parametrize(
    ("words", "bandwidth"),
    [("10Gbit", 1.25e9), ("100Mbit", 12.5e6), ("2.5Gbit/s", 312.5e6), ("800kbps", 1e5)],
)
def test_networks_are_read(words, bandwidth):
    assert Network.parse(words, 50.0) == Network(bandwidth, 5e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--network", "fast"], "a bandwidth in bits a second"),
        (["--network", "0Gbit"], "a bandwidth in bits a second"),
        (["--network", "1.2.3Gbit"], "a bandwidth in bits a second"),
        (["--latency", "-1"], "latency is given in microseconds"),
        (["--latency", "nan"], "latency is given in microseconds"),
        (["--nodes", "0"], "there are 1 to 1024 nodes"),
        (["--batch-size", "0"], "batch_size"),
    ],
)
def test_plans_that_make_no_sense_are_refused(capsys, options, words):
    assert run(["plan", "hello", *options]) == 2
    assert words in capsys.readouterr().err


def test_a_plan_goes_up_to_the_nodes_that_were_asked_for(capsys):
    assert counts(1) == [1]
    assert counts(3) == [1, 2, 3]
    assert counts(8) == [1, 2, 3, 4, 8]
    assert counts(20) == [1, 2, 3, 4, 8, 16, 20]
    assert run(["plan", "hello", "--nodes", "5", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["nodes"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["windows"] for row in rows] == [7, 4, 3, 2, 2]
    assert rows[0]["waiting"] == 0
    assert all(a["sent_mb"] < b["sent_mb"] for a, b in itertools.pairwise(rows))
    assert run(["plan", "hello", "--nodes", "2"]) == 0
    assert "nodes" in capsys.readouterr().out

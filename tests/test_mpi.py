"""Training over MPI: real mpirun, two and four processes. Skipped where there is no mpirun."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
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
from tests import ranks
from tinygrad_lite import distributed

ROOT = Path(__file__).parent.parent
MPIRUN = shutil.which("mpirun", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
needs_mpi = pytest.mark.skipif(MPIRUN is None, reason="there is no mpirun here")
MODEL = ["--n-layer", "2", "--n-head", "2", "--n-embd", "48", "--block-size", "24"]
SMALL = ["train", "sample", *MODEL, "--batch-size", "7", "--precision", "float32", "--lr", "1e-3",
         "--sample-tokens", "5", "--tokenizer", "characters"]  # fmt: skip


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
        "PYTHONPATH": str(ROOT),
        # Open MPI: as root, as in containers, and on fewer cores than ranks
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        **more,
    }


def start(count, *words, cwd=ROOT, **more):
    return subprocess.Popen(
        [MPIRUN, "-n", str(count), *words], cwd=cwd, env=environment(**more), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(job, status=0):
    out, err = job.communicate(timeout=240)
    assert (job.returncode == 0) == (status == 0), (job.returncode, out, err)
    return out, err


def mpirun(count, *words, status=0, **options):
    return ended(start(count, *words, **options), status)


def found_by(count, name):
    out, _ = mpirun(count, sys.executable, "-m", "tests.ranks", name)
    (line,) = [line for line in out.splitlines() if line.startswith("FOUND ")]
    return json.loads(line[6:])


def gpt(count, *words, cwd, **options):
    return mpirun(count, sys.executable, "-m", "gpt", *words, cwd=cwd, **options)


def alone(*words, cwd):
    return subprocess.run(
        [sys.executable, "-m", "gpt", *words], cwd=cwd, env=environment(), text=True,
        capture_output=True, check=True,
    ).stdout  # fmt: skip


# --- the library --------------------------------------------------------------------------------


@needs_mpi
@pytest.mark.parametrize("count", [2, 4])
def test_ranks_learn_what_one_process_learns(count):
    each = found_by(count, "learning")
    assert len(each) == count
    assert sum(found["jit"]["owned"] for found in each) == 8
    for name, how in ranks.WAYS.items():
        assert len({found[name]["bits"] for found in each}) == 1, name  # on all ranks
        expected = np.array(ranks.learn(**how)["losses"])
        losses = np.array(each[0][name]["losses"])
        np.testing.assert_allclose(losses, expected, rtol=2e-3 if name == "bfloat16" else 1e-5)
    first = each[0]
    assert first["jit"]["bits"] == first["eager"]["bits"] == first["again"]["bits"]
    again = found_by(count, "learning")
    assert again[0]["jit"]["bits"] == first["jit"]["bits"]


@needs_mpi
@pytest.mark.parametrize("count", [2, 4])
def test_messages_say_what_they_should(count):
    each = found_by(count, "messages")
    for rank, found in enumerate(each):
        assert all(found[f"{n} floats"] for n in (0, 1, 7, 3000, 100_003))
        assert found["integers"]
        assert found["number"]
        assert found["matrix"] == [4, 3]
        assert found["broadcast"] == [[r, 5] for r in range(count)]
        assert found["largest"] == 0
        assert found["first"] == [0, 0.5, "r0", [0], 2**60 + 1, True]
        assert found["told"] == ["ä" * r for r in range(count)]
        mean = (count - 1) / 2
        assert found["recorded"] == [[2 * count * (n + mean)] * 2 for n in (1, 2, 3)]
        assert found["alone"] == [1, [3.0]]
        assert found["threads"] == max(1, len(os.sched_getaffinity(0)) // count)
        for n in (0, 1, 7, 3000, 100_003):
            assert found[f"{n} bits"] == each[0][f"{n} bits"], rank


@needs_mpi
@pytest.mark.parametrize("count", [2, 4])
def test_parameters_of_every_layout_and_size_travel(count):
    mean = (count + 1) / 2  # of the ranks' gradients
    for found in found_by(count, "strided"):
        assert found["sums"] == [size * (1 - mean) for size in found["sizes"]]


@needs_mpi
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("other_values", "all ranks have the same parameters.*other values"),
        ("other_shapes", "all ranks have the same parameters"),
        ("other_calls", "the same functions in the same order"),
        ("no_gradient", "gives each of the parameters a gradient.*rank 1"),
        ("gradients_already", "gradients are those of one backward pass"),
        ("one_leaves", "rank 1, which has ended while rank 0 waits"),
        ("no_gather", "gets the parameters of the others"),
        ("clipped_alone", "each rank has those of its own"),
        ("one_fails", "rank 1 on .* ends the job.*something of this rank's own"),
    ],
)
def test_what_goes_wrong_ends_all_ranks_with_words(name, words):
    began = time.monotonic()
    _, err = mpirun(2, sys.executable, "-m", "tests.ranks", name, status=1)
    assert re.search(words, err, re.S), err
    assert time.monotonic() - began < 30


@needs_mpi
def test_processes_that_ask_for_no_ranks_have_nothing_to_do_with_each_other():
    assert found_by(2, "strangers") == [2.0]


def test_one_process_of_mpirun_needs_no_mpi4py(tmp_path):
    (tmp_path / "mpi4py.py").write_text("raise ImportError('no MPI library')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "from tinygrad_lite import distributed; assert distributed.size() == 1"
    assert in_a_job_of_two(code, PMI_SIZE="1") == ""


@needs_mpi
def test_gradients_are_clipped_by_the_norm_of_all():
    norm = np.sqrt(4 * (2**2 + 4**2))  # of 2p for parameters of four times 0, 1 and 2
    each = found_by(2, "clipping")
    for found in each:
        assert found["norm"] == found["clipped"] == pytest.approx(norm)
        assert found["factor"] == pytest.approx(1 / norm)
    largest = sorted(x for found in each for x in found["largest"])
    assert largest == pytest.approx([0, 2 / norm, 4 / norm])


@needs_mpi
def test_a_rank_that_dies_ends_the_job():
    began = time.monotonic()
    out, err = mpirun(2, sys.executable, "-m", "tests.ranks", "one_dies", status=1)
    assert re.search(r"signal 9|EXIT CODE: 9", out + err), out + err
    assert time.monotonic() - began < 30


def test_one_process_is_all_ranks():
    assert (distributed.rank(), distributed.size()) == (0, 1)
    assert distributed.part(5) == (slice(0, 5), 1.0)
    assert distributed.all_reduce([1.0, 2.0]).tolist() == [1.0, 2.0]
    assert distributed.broadcast([1, 2]).tolist() == [1, 2]
    assert (distributed.from_first("a"), distributed.largest(3), distributed.told("b")) == (
        "a", 3, ["b"],
    )  # fmt: skip
    with distributed.in_turns():
        pass


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: distributed.part(0), ValueError, "a batch has rows"),
        (lambda: distributed.all_reduce([True]), TypeError, "numbers are summed"),
        (lambda: distributed.broadcast([1.0], 1), ValueError, "root is the number of a rank"),
        (lambda: distributed.all_reduce(ranks.parameters()[0]), RuntimeError, "no gradients"),
        (lambda: distributed.Shares([], "int8"), ValueError, "float32 or bfloat16"),
        (lambda: distributed.Shares(ranks.parameters(1) * 2), ValueError, "stands once"),
    ],
)
def test_mistakes_are_told(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_costs_are_shared_out_evenly_and_the_same_everywhere():
    from tinygrad_lite.distributed.shares import owners

    costs = np.random.default_rng(0).integers(1, 100, 50).tolist()
    for count in (1, 2, 3, 7):
        found = owners(costs, count)
        load = [sum(c for c, o in zip(costs, found, strict=True) if o == r) for r in range(count)]
        assert max(load) - min(load) <= max(costs) // 4
    assert owners([1, 1], 4) == [0, 1]


def in_a_job_of_two(code, **more):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True,
        env=environment(**{"PMI_SIZE": "2", "PMI_RANK": "0", "PMI_FD": "", **more}),
    ).stderr  # fmt: skip


def test_without_mpi4py_it_says_what_to_install(tmp_path):
    (tmp_path / "mpi4py.py").write_text("raise ImportError('no MPI library')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "from tinygrad_lite import distributed; distributed.rank()"
    assert re.search(r"need mpi4py.*no MPI library.*pip install", in_a_job_of_two(code), re.S)


def test_an_mpi_that_sees_other_processes_than_mpirun_started_is_refused(tmp_path):
    """Each of them would be the first of one, and train alone"""
    (tmp_path / "mpi4py.py").write_text(
        "class MPI:\n"
        "    class COMM_WORLD:\n        rank, size = 0, 1\n"
        "        @classmethod\n        def Dup(cls): return cls\n"
        "    @staticmethod\n    def Get_library_version(): return 'Another MPI'\n"
    )
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "from tinygrad_lite import distributed; distributed.size()"
    assert re.search(r"2 processes started, of which Another sees 1", in_a_job_of_two(code))


# --- the command line ---------------------------------------------------------------------------


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


# --- what a network will do ---------------------------------------------------------------------


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

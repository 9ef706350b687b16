"""What ranks tell each other over MPI: real mpirun, two and four processes. Skipped where there is
no mpirun."""

import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from tests import ranks
from tests.mpi import ROOT, environment, found_by, mpirun, needs_mpi
from tinygrad_lite import distributed


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

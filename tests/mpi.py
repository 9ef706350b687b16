"""mpirun with some ranks, for the tests: what it prints, and how it ends."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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

"""Kill a training run again and again, resume it each time, and compare it with one left alone.

python -m tests.kills 200           as many kills, at random moments, saves among them
python -m tests.kills --minutes 30  a soak: kills every few seconds, damaged files, and figures
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests import damage
from tests.damage import TEXT, last_bits

ROOT = Path(__file__).parent.parent
SETTINGS = ["--n-layer", "2", "--n-head", "2", "--n-embd", "64", "--block-size", "32",
            "--batch-size", "8", "--dropout", "0.1", "--optimizer", "muon", "--save-every", "1",
            "--eval-interval", "40", "--sample-tokens", "8", "--threads", "1"]  # fmt: skip


def gpt(*arguments: str, folder: Path) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "gpt", *arguments], cwd=folder, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def finish(process: subprocess.Popen) -> str:
    """What a command complained of, after it has ended with status 0"""
    _, error = process.communicate(timeout=600)
    assert process.returncode == 0, error[-2000:]
    return error


def undisturbed(folder: Path, steps: int, seed: int = 1) -> list[str]:
    """Train without a stop in folder/whole; the arguments of such a run but its folder"""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_text(TEXT)
    asked = ["train", "text.txt", *SETTINGS, "--steps", str(steps), "--seed", str(seed)]
    finish(gpt(*asked, "--out", "whole", folder=folder))
    return asked


def kill_and_resume(
    folder: Path, asked: list[str], out: str, kills: int, rng: random.Random, longest: float
) -> tuple[int, int]:
    """Train in folder/out, killed after random times of `longest` seconds at most, until it is done
    or was killed so often; returns how often it was killed, and how often in the midst of a save"""
    killed = in_save = 0
    run = folder / out
    while True:
        begun = (run / "config.json").exists()
        command = ["train", "--resume", out, "--threads", "2", "--sample-tokens", "8"]
        process = gpt(*command if begun else [*asked, "--out", out], folder=folder)
        if killed == kills:
            finish(process)
            return killed, in_save
        saved, before = run / "last" / "checkpoint.safetensors", time.monotonic()
        stamp = saved.stat().st_mtime_ns if saved.exists() else 0
        # Most kills come after the first save: the time before it is that of starting Python
        while rng.random() < 0.999 and process.poll() is None and time.monotonic() - before < 60:
            if saved.exists() and saved.stat().st_mtime_ns != stamp:
                break
            time.sleep(0.01)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0, longest))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            killed += 1
            in_save += any(run.rglob(".*.unfinished"))
        else:
            assert process.returncode == 0, process.communicate()[1][-2000:]
            return killed, in_save


def same(folder: Path, out: str) -> bool:
    """Whether two runs have the same weights, states, best weights, logs and samples"""
    import tinygrad_lite as tg
    from gpt.training.log import read_records
    from gpt.training.verify import _unclocked

    whole, other = folder / "whole", folder / out
    best = [tg.load_state(run / "model.safetensors") for run in (whole, other)]
    logs = [[_unclocked(r) for r in read_records(run / "log.jsonl")] for run in (whole, other)]
    return (
        last_bits(whole) == last_bits(other)
        and all((best[0][name] == best[1][name]).all() for name in best[0])
        and logs[0] == logs[1]
        and (whole / "samples.txt").read_text() == (other / "samples.txt").read_text()
        and not any(other.rglob(".*.unfinished"))
    )


def soak(minutes: float, folder: Path) -> None:
    """Runs that are killed every few seconds, and files that are damaged, until the time is over"""
    rng, ends = random.Random(0), time.monotonic() + 60 * minutes
    kills = in_saves = runs = damages = 0
    whole, other = damage.make(folder / "a"), damage.make(folder / "b", seed=7)
    right = damage.expected(whole, folder)
    while time.monotonic() < ends:
        runs += 1
        home = folder / f"soak-{runs}"
        asked = undisturbed(home, steps=1500, seed=runs)
        killed, in_save = kill_and_resume(home, asked, "killed", 10**6, rng, longest=4.0)
        kills, in_saves = kills + killed, in_saves + in_save
        assert same(home, "killed"), f"run {runs} differs"
        for _ in range(100):
            damages += 1
            *what, wrong = damage.trial(whole, other, right, folder, seed=10**6 + damages)
            assert not wrong, (what, wrong)
        left = (ends - time.monotonic()) / 60
        print(
            f"{kills} kills, {in_saves} of them in a save, {runs} runs with the same bits;"
            f" {damages} damaged files, none unnoticed; {left:.1f} minutes left", flush=True,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kills", type=int, nargs="?", default=200)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if args.minutes:
            soak(args.minutes, folder)
            return
        killed = in_saves = runs = 0
        rng = random.Random(args.seed)
        while killed < args.kills:
            runs += 1
            home = folder / f"run-{runs}"
            asked = undisturbed(home, steps=400, seed=runs)
            more, in_save = kill_and_resume(home, asked, "killed", args.kills - killed, rng, 0.5)
            killed, in_saves = killed + more, in_saves + in_save
            assert same(home, "killed"), f"run {runs} differs from the one that was left alone"
        print(
            f"{killed} kills, {in_saves} of them in the midst of a save: {runs} runs ended with the"
            " bits of those that were left alone"
        )


if __name__ == "__main__":
    main()

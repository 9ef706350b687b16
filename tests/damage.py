"""A small run, ways to damage its files, and what commands say of it: right, or a clear refusal."""

import contextlib
import io
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from gpt.cli import run

TEXT = "the quick brown fox jumps over the lazy dog.\n" * 60
TINY = ["--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--block-size", "16",
        "--batch-size", "4", "--sample-tokens", "8", "--dropout", "0.1"]  # fmt: skip
DONE, MORE = 8, 12  # steps before the damage, and after a resume
FILES = ("config.json", "tokenizer.json", "model.safetensors", "last/checkpoint.safetensors",
         "log.jsonl", "probes.jsonl", "samples.txt")  # fmt: skip
COMMANDS = {
    "eval": ["eval", "RUN", "--json"],
    "generate": ["generate", "RUN", "--tokens", "12", "--prompt", "the"],
    "resume": ["train", "--resume", "RUN", "--steps", str(MORE), "--sample-tokens", "8"],
    "explain": ["explain", "RUN", "the", "--max-rows", "2"],
    "info": ["info", "RUN", "--json"],
    "plot": ["plot", "RUN"],
    "report": ["report", "RUN"],
    "compare": ["compare", "RUN", "--out", "c.png", "--csv", "c.csv"],
    "runs": ["runs", ".", "--json"],
    "export": ["export", "RUN", "--out", "exported"],
}


def make(folder: Path, seed: int = 1337) -> Path:
    """A run of DONE steps in folder/run, on folder/text.txt"""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_text(TEXT)
    command = ["train", str(folder / "text.txt"), "--out", str(folder / "run"), *TINY,
               "--steps", str(DONE), "--eval-interval", "4", "--seed", str(seed)]  # fmt: skip
    status, _, error = told(command)
    assert status == 0, error
    return folder / "run"


def told(command: list[str]) -> tuple[int, str, str]:
    """(exit status, what was printed, what was complained) of a command in this process"""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = run(command)
        except SystemExit as end:
            status = int(end.code or 0)
    return status, out.getvalue(), err.getvalue()


def outcome(name: str, folder: Path) -> tuple[int, object, str]:
    """(exit status, what must be right, what was complained) of a command on a copy of a run"""
    here = os.getcwd()
    os.chdir(folder)
    try:
        status, out, error = told([w.replace("RUN", "run") for w in COMMANDS[name]])
        result: object = None
        if status == 0 and name in ("eval", "generate"):
            result = out
        if status == 0 and name == "resume":
            result = last_bits(folder / "run")
        return status, result, error
    finally:
        os.chdir(here)


def last_bits(run_folder: Path) -> bytes:
    """The bits of all that a run goes on from, without what tells it from other runs"""
    import tinygrad_lite as tg

    path = run_folder / "last" / "checkpoint.safetensors"
    arrays = tg.load_state(path)
    parts = [name.encode() + arrays[name].tobytes() for name in sorted(arrays)]
    return b"".join(parts) + tg.load_metadata(path)["progress"].encode()


def expected(whole: Path, scratch: Path) -> dict[str, object]:
    """What the commands give on a run that nobody has damaged"""
    found = {}
    for name in COMMANDS:
        found[name] = outcome(name, copied(whole, scratch / name))[1]
        shutil.rmtree(scratch / name)
    return found


def copied(whole: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    shutil.copytree(whole, folder / "run")
    return folder


Change = Callable[[bytes, random.Random], bytes]


def flip(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def zero(data: bytes, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(data)), rng.randrange(1, 600)
    return data[:at] + bytes(len(data[at : at + size])) + data[at + size :]


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.randrange(1, 40)) + data[at:]


CHANGES: dict[str, Change] = {
    "flip": flip,
    "zero": zero,
    "truncate": truncate,
    "insert": insert,
    "empty": lambda data, rng: b"",
    "noise": lambda data, rng: rng.randbytes(len(data)),
    "nested": lambda data, rng: b"[" * 100_000,
    "huge header": lambda data, rng: (10 << 30).to_bytes(8, "little") + data[8:],
}


def damage(folder: Path, name: str, kind: str, other: Path, rng: random.Random) -> None:
    """Damage a file of folder/run; kind: of CHANGES, or "delete", "swap" (with another run's)"""
    path = folder / "run" / name
    if kind == "delete":
        path.unlink()
    elif kind == "swap":
        shutil.copyfile(other / name, path)
    else:
        path.write_bytes(CHANGES[kind](path.read_bytes(), rng))


KINDS = (*CHANGES, "delete", "swap")


def verdict(command: str, found: tuple[int, object, str], right: object) -> str:
    """What is wrong with an outcome; empty where it is right, or a clear message"""
    status, result, error = found
    if "Traceback" in error or "panicked" in error.replace("PanicException", ""):
        return f"traceback: {error[-600:]}"
    if status == 0:
        return "" if right is None or result == right else "silently wrong"
    if status != 2:
        return f"exit status {status}: {error[-300:]}"
    return "" if "\n  got " in error and "\n  try " in error else f"no message: {error[-300:]}"


def trial(
    whole: Path, other: Path, right: dict[str, object], scratch: Path, seed: int
) -> tuple[str, str, str, str]:
    """One random damage, and one command: (file, kind, command, what is wrong)"""
    rng = random.Random(seed)
    name, kind = rng.choice(FILES), rng.choice(KINDS)
    command = rng.choice(list(COMMANDS))
    folder = copied(whole, scratch / f"trial-{seed}")
    try:
        damage(folder, name, kind, other, rng)
        try:
            wrong = verdict(command, outcome(command, folder), right[command])
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return name, kind, command, wrong


def main() -> None:
    """python -m tests.damage TRIALS [SEED]: so many random damages; prints what went wrong"""
    import tempfile

    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        whole, other = make(home / "a"), make(home / "b", seed=7)
        right = expected(whole, home)
        bad = 0
        for seed in range(first, first + count):
            name, kind, command, wrong = trial(whole, other, right, home, seed)
            if wrong:
                bad += 1
                print(f"seed {seed}: {name}, {kind}, {command}: {wrong}", flush=True)
        print(f"{count} damages, {bad} wrong")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()

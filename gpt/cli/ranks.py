"""Commands under mpirun: which take part, who speaks, and what ends all ranks.

The first rank speaks for all. What goes wrong on one rank alone ends the job, and is told by it.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import time
from argparse import Namespace
from pathlib import Path

import gpt
import tinygrad_lite
from gpt.cli import console
from gpt.cli.parser import UsageError
from gpt.training.setup import Setup
from tinygrad_lite import distributed, get_num_threads

TOGETHER = ("train", "eval", "generate")  # commands of which each rank does a part
PATIENCE = 1.0  # seconds that other ranks wait before they tell of an error, which all may have


def begin(args: Namespace) -> None:
    """What a command under mpirun does first"""
    try:
        first = distributed.rank() == 0
    except RuntimeError as error:  # there is no MPI: nobody can wait for anybody
        raise UsageError(str(error)) from None
    if not first:
        console.console.quiet = console.errors.quiet = True
    if distributed.size() > 1 and args.command not in TOGETHER:
        raise Together(
            f"gpt {args.command}: ranks share the work of {', '.join(TOGETHER)}.\n"
            f"  got {distributed.size()} ranks that would do the same\n"
            f"  try gpt {args.command} without mpirun"
        )
    _agree("the same programs", _versions())
    idle = distributed.idle_cores()
    if idle and distributed.size() > 1:
        console.complain(
            f"{console.many(idle, 'core')} of this machine {'is' if idle == 1 else 'are'} used by"
            " no rank: mpirun has bound each to one\n  mpirun --bind-to none lets them use all"
        )


def described() -> str:
    """Which ranks there are, by their machines and processes; all of them call it"""
    own = json.dumps([distributed.host(), os.getpid(), get_num_threads()])
    each = [json.loads(said) for said in distributed.told(own)]
    here = [f"{host} ({pid})" for host, pid, _ in each]
    said = ", ".join(here[:8]) + (f" and {len(here) - 8} more" if len(here) > 8 else "")
    threads = sorted({count for *_, count in each})
    few = console.many(threads[0], "thread") if len(threads) == 1 else f"{threads} threads"
    return f"{len(here)} of {few} each, on (process) {said}"


class Waiting:
    """How much of the time from here on the ranks wait for messages"""

    def __init__(self) -> None:
        self.began, self.before = time.monotonic(), distributed.waited()

    def told(self) -> str:
        """In words; all of them call it"""
        own = (distributed.waited() - self.before) / max(time.monotonic() - self.began, 1e-9)
        shares = [float(said) for said in distributed.told(repr(own))]
        least, most = min(shares), max(shares)
        return f"{len(shares)} ranks waited for messages {least:.0%} to {most:.0%} of the time"


def failed(message: str) -> None:
    """Tell of an error, and, if there are several ranks, end them all."""
    if distributed.size() == 1:
        console.complain(message)
        return
    if distributed.rank():
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(PATIENCE)
        console.errors.quiet = False
        message += "\n  (each rank reads the same files: they must be on each machine)"
    console.complain(f"rank {distributed.rank()} on {distributed.host()}: {message}")
    distributed.abort(2)


def agree_on(setup: Setup) -> None:
    """ValueError, on all ranks, unless all are about to train the same model on the same text"""
    _agree(
        "the same run",
        {
            **{n: repr(value) for n, value in dataclasses.asdict(setup.model).items()},
            **{n: repr(value) for n, value in dataclasses.asdict(setup.train).items()},
            "text": setup.corpus_sha256[:16],
            "tokenizer": _sum(json.dumps(setup.tokenizer.as_json()).encode()),
        },
    )


def _agree(what: str, own: dict[str, str]) -> None:
    if distributed.size() == 1:
        return
    each = [json.loads(said) for said in distributed.told(json.dumps([distributed.host(), own]))]
    first = each[0][1]
    for rank, (host, other) in enumerate(each):
        for name in first:
            if other.get(name) != first[name]:
                raise Together(
                    f"ranks: all have {what}.\n  got {name} {other.get(name)} on rank {rank}"
                    f" ({host}), and {first[name]} on rank 0 ({each[0][0]})\n"
                    f"  try the same {name} on each machine"
                )


class Together(ValueError):
    """What all ranks raise at once: the first tells it, and none waits for another."""


def _versions() -> dict[str, str]:
    packages = {name: importlib.metadata.version(name) for name in ("numpy", "numba")}
    return {"code": _code(), "Python": platform.python_version(), **packages}


def _code() -> str:
    """A sum of the program's own files"""
    folders = [Path(str(package.__file__)).parent for package in (tinygrad_lite, gpt)]
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return _sum(b"".join(path.read_bytes() for path in files))


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]

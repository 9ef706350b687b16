"""The command `gpt`: what it prints comes from this folder.

Exit status: 0 done, 1 the loss became infinite or not a number, 2 a mistake in what was asked,
130, 143 or 129 interrupted by SIGINT, SIGTERM or SIGHUP, 141 where what it prints is not read.
"""

import contextlib
import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from gpt.cli import console
from gpt.cli.grammar import parse
from gpt.cli.parser import UsageError
from gpt.errors import Interrupted, NonFiniteError

FIRST_SPEAKS = 5.0  # seconds that others leave to the first rank, for a mistake that all make

# The function NAME_command of each is in a module of its own, which is imported when needed.
COMMANDS = {
    "train": "train",
    "explain": "explain",
    "ask": "ask",
    "chat": "chat",
    "serve": "serve",
    "generate": "generate",
    "eval": "evaluate",
    "ablate": "ablate",
    "plot": "plot",
    "runs": "runs",
    "compare": "compare",
    "verify-resume": "verify_resume",
    "doctor": "doctor",
    "report": "report",
    "info": "info",
    "plan": "plan",
    "tokenize": "tokenize",
    "import": "import_model",
    "export": "export",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit with its status."""
    if sys.stdin is None:  # closed
        sys.stdin = open(os.devnull)  # noqa: SIM115
    for name in ("stdout", "stderr"):  # closed, or of an encoding that lacks some signs
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    began = time.monotonic()
    try:
        args = parse(argv)
        args.began = began
        import numpy as np  # not before it is needed: help is there at once

        if _under_mpi():
            from gpt.cli import ranks

            ranks.begin(args)
        module = importlib.import_module(f"gpt.cli.{COMMANDS[args.command]}")
        with np.errstate(all="ignore"):  # what is not finite is found, named and reported
            getattr(module, f"{args.command.replace('-', '_')}_command")(args)
    except NonFiniteError as error:
        console.complain(str(error))
        return 1
    except KeyboardInterrupt as error:
        stop = error if isinstance(error, Interrupted) else Interrupted()
        with contextlib.suppress(OSError):  # the terminal may be gone
            console.complain(str(stop))
        if not stop.agreed:
            _end_others(stop.status)
        return stop.status
    except BrokenPipeError:  # who reads has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _end_others(128 + signal.SIGPIPE)
        return 128 + signal.SIGPIPE
    except (UsageError, ValueError, OSError) as error:
        _fail(error, _told(error))
        return 2
    except (MemoryError, ImportError) as error:
        if isinstance(error, ImportError) and "failed to map segment" not in str(error):
            raise  # else a library that is there gets no memory
        _fail(
            error,
            f"memory: what is asked for must fit.\n  got {str(error) or 'no more of it'}\n"
            "  try a smaller model, --batch-size or --block-size",
        )
        return 2
    return 0


def _under_mpi() -> bool:
    """Whether mpirun has started this, maybe with others, see distributed/ranks.py"""
    return any(name in os.environ for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"))


def _end_others(status: int) -> None:
    """One of several ranks ends by itself: the others would wait for it."""
    if _under_mpi():
        from tinygrad_lite import distributed

        distributed.abort(status)


def _fail(error: Exception, message: str) -> None:
    """Tell of an error; one of several ranks alone ends all of them."""
    if isinstance(error, UsageError) or not _under_mpi():
        number = os.environ.get("OMPI_COMM_WORLD_RANK", os.environ.get("PMI_RANK", "0"))
        if number == "0":  # all have made the same mistake
            console.complain(message)
        else:  # mpirun ends all as soon as one has failed, and the first may not have spoken yet
            with contextlib.suppress(KeyboardInterrupt):
                time.sleep(FIRST_SPEAKS)
        return
    from gpt.cli import ranks

    if isinstance(error, ranks.Together):
        console.complain(message)
    else:
        ranks.failed(message)


def _told(error: Exception) -> str:
    """What is said of a mistake; the system's own words for files get what ours have"""
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return (
            "a file must be one that can be read, or written.\n"
            f"  got {os.fsdecode(error.filename)}: {error.strerror}\n  try another path"
        )
    return str(error)

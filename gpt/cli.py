"""The command `gpt`: what it prints comes from here, console.py and commands/.

Exit status: 0 done, 1 the loss became infinite or not a number, 2 a mistake in what was asked,
130 interrupted.
"""

import sys
from collections.abc import Sequence

import numpy as np

from gpt import console
from gpt.arguments import UsageError, parse
from gpt.commands.exchange import export_command, import_command
from gpt.commands.generate import generate_command
from gpt.commands.look import eval_command, info_command, plot_command, tokenize_command
from gpt.commands.train import train_command
from gpt.train import NonFiniteError

COMMANDS = {
    "train": train_command,
    "generate": generate_command,
    "eval": eval_command,
    "plot": plot_command,
    "info": info_command,
    "tokenize": tokenize_command,
    "import": import_command,
    "export": export_command,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit with its status."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    try:
        args = parse(argv)
        with np.errstate(all="ignore"):  # what is not finite is found, named and reported
            COMMANDS[args.command](args)
    except NonFiniteError as error:
        console.complain(str(error))
        return 1
    except KeyboardInterrupt:
        console.complain("interrupted: the last checkpoint is kept; gpt train --resume goes on")
        return 130
    except (UsageError, ValueError, OSError) as error:
        console.complain(str(error))
        return 2
    return 0

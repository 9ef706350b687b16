"""The grammar of the command line: each command with its options and examples."""

import argparse
import itertools
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import shtab

from gpt.cli.grammar import measuring, models, training, writing
from gpt.cli.parser import Parser
from gpt.presets import DEFAULT_PRESET, PRESETS


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments, with `command` among them; raises UsageError."""
    parser = Parser(
        prog="gpt",
        description="Train a GPT on any text, on the CPU, and write with it.",
        epilog="gpt COMMAND --help explains a command.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    training.add_train(commands, _preset_of(argv))
    writing.add_explain(commands)
    writing.add_ask(commands)
    writing.add_chat(commands)
    writing.add_serve(commands)
    writing.add_generate(commands)
    measuring.add_eval(commands)
    measuring.add_ablate(commands)
    measuring.add_plot(commands)
    measuring.add_report(commands)
    measuring.add_runs(commands)
    measuring.add_compare(commands)
    models.add_info(commands)
    models.add_plan(commands)
    models.add_tokenize(commands)
    models.add_import(commands)
    models.add_export(commands)
    measuring.add_verify_resume(commands)
    measuring.add_doctor(commands)
    parser.add_argument("-V", "--version", action=_Version, nargs=0, help="print it")
    shtab.add_argument_to(
        parser,
        "--completion",
        help='print what completes words in a shell; for this one: eval "$(gpt --completion bash)"',
    )
    if not argv:
        parser.print_help(sys.stderr)
        raise SystemExit(2)
    if argv[0] == "help":  # gpt help, gpt help train
        argv = [*argv[1:], "--help"]
    return parser.parse(argv)


class _Version(argparse.Action):
    """Print the versions that decide about numbers and speed, and exit."""

    def __call__(self, parser: Any, *_: Any) -> None:
        from tinygrad_lite import __version__  # not before it is asked for: it takes time

        versions = (f"{name} {metadata.version(name)}" for name in ("numpy", "numba"))
        print(f"gpt {__version__} with {', '.join(versions)}")
        parser.exit()


def _preset_of(argv: Sequence[str]) -> str:
    """The preset that a command line names, whose defaults its help shows"""
    named = [a.partition("=")[2] for a in argv if a.startswith("--preset=")]
    named += [b for a, b in itertools.pairwise(argv) if a == "--preset"]
    return next((name for name in named if name in PRESETS), DEFAULT_PRESET)

"""The grammar of the command line: subcommands, grouped options, defaults, examples."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any, NoReturn

from gpt.config import DEFAULT_PRESET, PRESETS, GPTConfig, TrainConfig

TRAIN_EXAMPLES = """examples:
  gpt train                                   tiny Shakespeare, two and a half minutes
  gpt train my.txt notes/ --out runs/mine     your own files and folders
  gpt train sample --preset baby --steps 200  the play that ships with the package
  cat *.md | gpt train - --name notes         standard input
  gpt train --resume runs/mine                go on where a run stopped
"""
GENERATE_EXAMPLES = """examples:
  gpt generate runs/shakespeare --prompt "ROMEO:" --tokens 300
  gpt generate runs/shakespeare --temperature 0 --prompt "To be"
"""
EVAL_EXAMPLES = """examples:
  gpt eval runs/shakespeare
  gpt eval runs/shakespeare other.txt --json
"""
PLOT_EXAMPLES = """examples:
  gpt plot runs/shakespeare
  gpt plot runs/shakespeare --out loss.png
"""


class UsageError(Exception):
    """A command line that does not fit the grammar"""


class _Parser(argparse.ArgumentParser):
    """argparse with suggestions, whose errors are raised instead of printed."""

    def __init__(self, *args: Any, **settings: Any):
        settings |= {
            "formatter_class": argparse.RawDescriptionHelpFormatter,
            "allow_abbrev": False,
        }
        super().__init__(*args, **settings)

    def error(self, message: str) -> NoReturn:
        raise UsageError(
            f"{self.prog}: the command line must follow the usage.\n  got {message}\n"
            f"  try {self._suggestion(message)}"
        )

    def _suggestion(self, message: str) -> str:
        words = [w.strip("':,") for w in message.replace("=", " ").split()]
        known = [o for action in self._actions for o in action.option_strings]
        known += [c for action in self._actions for c in action.choices or [] if isinstance(c, str)]
        for word in words:
            if word not in known and (match := difflib.get_close_matches(word, known, n=1)):
                return match[0]
        return f"{self.prog} --help"

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        args, unknown = self.parse_known_args(argv)
        if unknown:
            parser = args.parser if "parser" in args else self
            parser.error(f"the unknown argument {unknown[0]}")
        return args


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments, with `command` among them; raises UsageError."""
    parser = _Parser(
        prog="gpt",
        description="Train a GPT on any text, on the CPU, and write with it.",
        epilog="gpt COMMAND --help explains a command.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    _add_train(commands)
    _add_generate(commands)
    _add_eval(commands)
    _add_plot(commands)
    if not argv:
        parser.print_help(sys.stderr)
        raise SystemExit(2)
    return parser.parse(argv)


def _command(commands: Any, name: str, about: str, examples: str) -> _Parser:
    parser = commands.add_parser(name, help=about, description=about, epilog=examples)
    parser.set_defaults(parser=parser)
    return parser


def _add_train(commands: Any) -> None:
    about = "train a model on a text"
    parser = _command(commands, "train", about, _presets_text() + TRAIN_EXAMPLES)
    parser.add_argument(
        "corpus",
        nargs="*",
        metavar="CORPUS",
        help="text files, folders with .txt files, - for standard input, 'shakespeare' or 'sample'"
        " (default: shakespeare, or sample where that cannot be had)",
    )
    run = parser.add_argument_group("run")
    run.add_argument(
        "--preset",
        default=DEFAULT_PRESET,
        metavar="NAME",
        help=f"one of {', '.join(PRESETS)} (default: {DEFAULT_PRESET})",
    )
    run.add_argument("--out", metavar="RUN", help="the run's folder (default: runs/NAME)")
    run.add_argument("--name", help="what to call the run (default: the corpus)")
    run.add_argument("--force", action="store_true", help="replace the run that --out holds")
    run.add_argument("--resume", metavar="RUN", help="go on with a run that was stopped")
    run.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    run.add_argument(
        "--sample-tokens",
        type=int,
        default=160,
        metavar="N",
        help="tokens of the sample at each evaluation (default: 160)",
    )
    _add_fields(parser.add_argument_group("training (default: the preset's)"), TrainConfig)
    _add_fields(parser.add_argument_group("model (default: the preset's)"), GPTConfig)


def _add_fields(group: Any, config: type) -> None:
    """An option for each field of a configuration; None where it is not given."""
    for field in fields(config):
        if field.name == "vocab_size":
            continue
        option = "--" + field.name.replace("_", "-")
        chosen = {
            n: getattr(p, "model" if config is GPTConfig else "train").get(field.name)
            for n, p in PRESETS.items()
        }
        usual = None if field.default is MISSING else field.default
        values = {n: usual if v is None else v for n, v in chosen.items()}
        text = ", ".join(f"{n} {v}" for n, v in values.items())
        if len(set(map(str, values.values()))) == 1:
            text = str(next(iter(values.values())))
        settings: dict[str, Any] = {"default": None, "help": f"(default: {text})"}
        if field.type is bool:
            settings["action"] = argparse.BooleanOptionalAction
        else:
            settings |= {"type": field.type, "metavar": getattr(field.type, "__name__", "").upper()}
        group.add_argument(option, **settings)


def _presets_text() -> str:
    lines = [f"  {name:12} {preset.about}" for name, preset in PRESETS.items()]
    return "presets:\n" + "\n".join(lines) + "\n\n"


def _add_generate(commands: Any) -> None:
    parser = _command(commands, "generate", "write with a trained model", GENERATE_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    group = parser.add_argument_group("text")
    group.add_argument("--prompt", default="\n", help="what to continue (default: a new line)")
    group.add_argument("--tokens", type=int, default=500, help="how many (default: 500)")
    group = parser.add_argument_group("sampling")
    group.add_argument(
        "--temperature",
        type=float,
        default=0.8,
        help="0 for the likeliest token, higher for variety (default: 0.8)",
    )
    group.add_argument(
        "--top-k", type=int, metavar="K", help="sample from the K likeliest tokens (default: all)"
    )
    group.add_argument("--seed", type=int, default=0, help="of the choices (default: 0)")


def _add_eval(commands: Any) -> None:
    parser = _command(commands, "eval", "measure a trained model", EVAL_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument(
        "corpus",
        nargs="*",
        metavar="CORPUS",
        help="another text to split and measure on (default: the run's own)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_plot(commands: Any) -> None:
    parser = _command(commands, "plot", "draw the loss of a run", PLOT_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument("--out", metavar="FILE", help="a PNG file (default: RUN/loss.png)")

"""The parser of the command line: argparse with suggestions, whose errors are raised."""

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, NoReturn


class UsageError(Exception):
    """A command line that does not fit the grammar"""


class Parser(argparse.ArgumentParser):
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
        """What is most like an option, or a choice, that is not known"""
        words = [w.strip("':,") for w in message.replace("=", " ").split()]
        known = [o for action in self._actions for o in action.option_strings]
        if "invalid choice" in message:
            known += [c for a in self._actions for c in a.choices or [] if isinstance(c, str)]
        bare = {name.lstrip("-"): name for name in known}
        for word in words:
            may_be = word.startswith("-") or "invalid choice" in message
            match = difflib.get_close_matches(word.lstrip("-"), bare, n=1)
            if word not in known and may_be and match:
                return bare[match[0]]
        return f"{self.prog} --help"

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        args, unknown = self.parse_known_args(argv)
        if unknown:
            parser = args.parser if "parser" in args else self
            parser.error(f"the unknown argument {unknown[0]}")
        return args


def command(commands: Any, name: str, about: str, examples: str) -> Parser:
    parser = commands.add_parser(name, help=about, description=about, epilog=examples)
    parser.set_defaults(parser=parser)
    return parser

"""Options that several commands share, and those that follow from a configuration."""

import argparse
from dataclasses import fields
from typing import Any

from gpt.cli.parser import Parser
from gpt.config import GPTConfig
from gpt.presets import Preset

PRECISIONS = ("float32", "bfloat16", "int8", "auto")  # in which a model writes
METAVARS: dict[Any, str] = {int: "N", float: "X", str: "NAME"}


def add_fields(group: Any, config: type, chosen: Preset) -> None:
    """An option for each field of a configuration; None where it is not given."""
    values = chosen.model if config is GPTConfig else chosen.train
    for field in fields(config):
        if field.name == "vocab_size":
            continue
        option = "--" + field.name.replace("_", "-")
        value = values.get(field.name, field.default)
        about, choices = field.metadata["about"], field.metadata["choices"]
        shown = {True: "yes", False: "no"}[value] if field.type is bool else value or "all"
        default = value if field.type in (int, float) else shown
        settings: dict[str, Any] = {
            "default": None,
            "help": f"{about.replace('%', '%%')} (default: {default})",
        }
        if field.type is bool:
            settings["action"] = argparse.BooleanOptionalAction
        else:
            names = "|".join(choices) or METAVARS[field.type]
            settings |= {"type": field.type, "metavar": names}
        group.add_argument(option, **settings)


def add_view(parser: Parser) -> Any:
    group = parser.add_argument_group("what is shown")
    group.add_argument(
        "--layer", type=int, metavar="N", help="this layer alone (default: all of two, else two)"
    )
    group.add_argument(
        "--head", type=int, metavar="N", help="this head alone (default: all of two layers, else 1)"
    )
    group.add_argument(
        "--stage",
        action="append",
        default=[],
        metavar="NAME",
        help="this stage alone, such as weights; may be repeated (default: all)",
    )
    group.add_argument(
        "--decimals", type=int, default=3, metavar="N", help="of each number (default: 3)"
    )
    group.add_argument(
        "--max-rows", type=int, default=8, metavar="N", help="tokens of each table (default: 8)"
    )
    group.add_argument(
        "--next", type=int, default=10, metavar="N", help="likeliest next tokens (default: 10)"
    )
    return group


def add_sampling(parser: Parser) -> None:
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
    group.add_argument(
        "--top-p",
        type=float,
        default=1.0,
        metavar="P",
        help="from the likeliest tokens that have this probability together (default: 1)",
    )
    group.add_argument(
        "--min-p",
        type=float,
        default=0.0,
        metavar="P",
        help="from tokens with this fraction of the likeliest one's probability (default: 0)",
    )
    group.add_argument(
        "--repetition-penalty",
        type=float,
        default=1.0,
        metavar="R",
        help="divide the logits of tokens that are there already (default: 1)",
    )
    group.add_argument(
        "--seed", type=int, default=0, help="of the choices; sample i has seed + i (default: 0)"
    )


def add_writing(parser: Parser, tokens: int) -> None:
    """How much is written at a time, where it ends, and how tokens are chosen"""
    group = parser.add_argument_group("text")
    group.add_argument(
        "--tokens",
        type=int,
        default=tokens,
        metavar="N",
        help=f"written at a time, at most (default: {tokens})",
    )
    group.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="end there; may be repeated"
    )
    add_sampling(parser)

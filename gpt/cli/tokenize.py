"""gpt tokenize"""

from argparse import Namespace
from pathlib import Path

from gpt.cli import console
from gpt.cli.console import number, say
from gpt.errors import require
from gpt.presets import PRESETS
from gpt.text.named import gpt2_folder
from gpt.text.tokenizer_files import tokenizer_from_files
from gpt.text.tokenizers import Tokenizer
from gpt.training.run import Run


def tokenize_command(args: Namespace) -> None:
    tokenizer = _tokenizer(args.tokenizer)
    ids = [int(i) for i in tokenizer.encode(args.text)]
    pieces = tokenizer.pieces(ids)
    if args.json:
        console.show_json({"ids": ids, "tokens": pieces})
        return
    console.tokens(ids, pieces)
    say(
        f"{len(ids)} tokens, {len(args.text)} characters, {len(args.text.encode())} bytes;"
        f" vocabulary {number(tokenizer.vocab_size)}"
    )


def _tokenizer(name: str) -> Tokenizer:
    """Of a run, GPT-2's, or of files"""
    if name == "gpt2":
        return tokenizer_from_files(gpt2_folder())
    if (Path(name) / "config.json").is_file():
        return Run.open(name).read_setup().tokenizer
    require(
        Path(name).exists(),
        "tokenize: the first argument is a run's folder, gpt2, or tokenizer files.",
        f"{name!r}, which does not exist",
        "gpt2, or the folder of a run"
        if name not in PRESETS
        else f"gpt train --preset {name} first",
    )
    return tokenizer_from_files(name)

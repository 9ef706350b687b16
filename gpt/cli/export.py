"""gpt export: models for other programs"""

import os
from argparse import Namespace
from pathlib import Path

from gpt.cli.console import say
from gpt.errors import require
from gpt.exchange.huggingface import save_checkpoint
from gpt.training.run import Run


def export_command(args: Namespace) -> None:
    run = Run.open(args.run)
    model, tokenizer = run.load_best()
    folder = Path(os.path.realpath(args.out))  # "new/.." is a folder, though new is none yet
    require(
        not folder.exists() or (folder.is_dir() and not any(folder.iterdir())),
        "export: --out must name a new or an empty folder.",
        f"{args.out}, which holds something",
        "another --out",
    )
    state = {name: p.data for name, p in model.named_parameters()}
    save_checkpoint(folder, model.config, state, tokenizer)
    say(f"{args.out} is ready for transformers.AutoModelForCausalLM.from_pretrained({args.out!r})")

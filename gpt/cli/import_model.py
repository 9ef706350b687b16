"""gpt import: models from other programs"""

import shlex
from argparse import Namespace
from pathlib import Path

from gpt.cli.common import confirm_replacing
from gpt.cli.console import number, say
from gpt.config import TrainConfig
from gpt.errors import require
from gpt.exchange.huggingface import load_checkpoint
from gpt.text.finding import base_name
from gpt.training.places import default_folder
from gpt.training.run import Run
from gpt.training.setup import Setup

# For training that goes on from such weights
FINE_TUNING = TrainConfig(steps=200, batch_size=4, lr=3e-5, beta2=0.95, warmup=20,
                          eval_tokens=8192)  # fmt: skip


def import_command(args: Namespace) -> None:
    source = _folder(args.model)
    config, state, tokenizer = load_checkpoint(source)
    folder = args.out or default_folder(base_name(args.model))
    run = Run.create(folder, args.force, [source])
    confirm_replacing(run)
    with run.locked():
        run.begin(Setup(config, FINE_TUNING, tokenizer), weights=state)
    say(f"{number(sum(a.size for a in state.values()))} parameters are in {run.folder}")
    place = shlex.quote(str(run.folder))
    say(f"next: gpt generate {place}, or gpt train CORPUS --from {place}")


def _folder(model: str) -> Path:
    """The folder of a checkpoint: one that is here, or a download of what the hub has"""
    if Path(model).is_dir():
        return Path(model)
    require(
        model.count("/") == 1 and not model.startswith(("/", ".")),
        "import: a model is a folder, or an id OWNER/NAME on the Hugging Face hub.",
        f"{model!r}, which is no folder",
        "openai-community/gpt2",
    )
    from huggingface_hub import snapshot_download

    wanted = ["config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer.json",
              "vocab.json", "merges.txt"]  # fmt: skip
    try:
        return Path(snapshot_download(model, allow_patterns=wanted))
    except Exception as error:  # it has many, of several libraries
        raise OSError(
            f"import: {model} must be reachable on the hub.\n"
            f"  got {type(error).__name__}: {str(error).splitlines()[0][:200]}\n"
            "  try again with a network, or the folder of a checkpoint"
        ) from error

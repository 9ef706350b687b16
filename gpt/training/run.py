"""A run's folder: everything about one training run, good at every moment.

    config.json          the model's and the training's configuration, the corpus
    tokenizer.json       the tokenizer
    model.safetensors    the best weights so far
    last/checkpoint.safetensors   weights, optimizers, random states: all that resuming needs
    log.jsonl            one object a step and one an evaluation
    samples.txt          a sample at each evaluation
    probes.jsonl         what the model writes, expects and looks at, at each evaluation
    report.html          all of it as a page, and loss.png and ablation.png where they were drawn

Each file is written under a temporary name, synced, and renamed; the log and the samples grow.
Whatever else is in the folder, a link among it, is not a run's: it is neither removed nor written.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpt.config import GPTConfig, TrainConfig
from gpt.errors import require
from gpt.model import GPT
from gpt.text.corpus import base_name
from gpt.text.tokenizers import Tokenizer, tokenizer_from_json
from gpt.training.folder import foreign, remove
from gpt.training.log import append_record, read_records, rewind
from gpt.training.loop import StepRecord
from gpt.training.state import EvalRecord, TrainState
from tinygrad_lite import load_metadata, load_state, save_state, write_atomically


def default_folder(name: str) -> Path:
    """The folder of the run called `name`: runs/NAME"""
    require(
        name not in ("", ".", "..") and "/" not in name and "\0" not in name,
        "run: the name of a run must be the name of a folder in runs/.",
        f"{name!r}",
        f"--name {base_name(name)}, or --out for a folder elsewhere",
    )
    return Path("runs") / name


class Run:
    """The folder of a run. `create` makes a new one, `open` finds one."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.weights = folder / "model.safetensors"
        self.checkpoint = folder / "last" / "checkpoint.safetensors"
        self.log = folder / "log.jsonl"
        self.samples = folder / "samples.txt"
        self.probes = folder / "probes.jsonl"
        self.report = folder / "report.html"

    @classmethod
    def create(
        cls, folder: str | Path, force: bool = False, sources: Sequence[str | Path] = ()
    ) -> "Run":
        """A new folder, or an empty one; another run's only with force, which removes that run.

        sources   files and folders that the run is made from: they must not be in the folder
        """
        # Of a path with "..", such as runs/.., the parts before need not exist
        real = Path(os.path.realpath(folder))
        run = cls(real if ".." in Path(folder).parts else Path(folder))
        exists = real.exists()
        require(
            not exists or run.folder.is_dir(),
            "run: --out must name a folder.",
            f"{folder}, which is a file",
            "another --out",
        )
        inside = [s for s in sources if Path(os.path.realpath(s)).is_relative_to(real)]
        require(
            not inside,
            "run: a run must not replace what it is made from.",
            f"{inside[0] if inside else ''} and --out {folder}, which holds it",
            "another --out",
        )
        holds = sorted(p.name for p in real.iterdir()) if exists else []
        is_run = _is_setup(real / "config.json")
        others = foreign(real) if is_run else holds
        require(
            not holds or (force and not others),
            "run: --out must not hold anything yet; what no run has written is never overwritten.",
            f"{folder} with {', '.join((others or holds)[:5])}",
            "another --out"
            + ("" if others else f", --force to replace that run, or --resume {folder} to go on"),
        )
        if holds:
            remove(real)
        real.mkdir(parents=True, exist_ok=True)
        return run

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """The run in `folder`."""
        run = cls(Path(folder))
        setup = run.folder / "config.json"
        require(
            setup.is_file(),
            "run: RUN must be the folder of a training run.",
            f"{folder}, which " + ("has no config.json" if run.folder.is_dir() else "is no folder"),
            _runs_near(run.folder) or "gpt train first",
        )
        require(
            _is_setup(setup) or "model_type" not in setup.read_text("utf-8", "replace"),
            "run: RUN must be the folder of a training run.",
            f"{folder}, a model in the format of Hugging Face",
            f"gpt import {folder} first",
        )
        return run

    def write_setup(
        self, model: GPTConfig, train: TrainConfig, tokenizer: Tokenizer, corpus: list[str]
    ) -> None:
        setup = {
            "model": dataclasses.asdict(model),
            "train": dataclasses.asdict(train),
            "corpus": corpus,
        }
        write_json(self.folder / "config.json", setup)  # first: a run is known by it
        write_json(self.folder / "tokenizer.json", tokenizer.as_json())

    def read_setup(self) -> tuple[GPTConfig, TrainConfig, Tokenizer, list[str]]:
        setup = _read_json(self.folder / "config.json")
        path = self.folder / "config.json"
        with _damaged(path):
            model, train = GPTConfig(**setup["model"]), TrainConfig(**setup["train"])
            corpus = [str(name) for name in setup["corpus"]]
        with _damaged(self.folder / "tokenizer.json"):
            tokenizer = tokenizer_from_json(_read_json(self.folder / "tokenizer.json"))
        padded = tokenizer.kind == "bytes"  # models of others may have places that no token takes
        require(
            tokenizer.vocab_size == model.vocab_size
            or (padded and tokenizer.vocab_size < model.vocab_size),
            "run: the tokenizer and the model have the same vocabulary.",
            f"{tokenizer.vocab_size} tokens and vocab_size={model.vocab_size} in {self.folder}",
            "the tokenizer.json that was written with this run",
        )
        return model, train, tokenizer, corpus

    def save_best(self, state: TrainState) -> None:
        metadata = {"step": str(state.best_step), "val_loss": repr(state.best_loss)}
        save_state(self.weights, state.model.state_dict(), metadata)

    def save_last(self, state: TrainState) -> None:
        self.checkpoint.parent.mkdir(exist_ok=True)
        save_state(self.checkpoint, state.arrays(), {"progress": state.progress()})

    def told(self) -> dict[str, Any]:
        """What the run's files say of its training: the steps that were done, the lowest
        validation loss and its step, None and 0 where nothing is known"""
        steps = max((r["step"] for r in read_records(self.log) if "step" in r), default=0)
        with _damaged(self.weights):
            kept = load_metadata(self.weights) if self.weights.is_file() else {}
            best = float(kept["val_loss"]) if "val_loss" in kept else None
            step = int(kept.get("step", 0))
        return {"steps": steps, "best_loss": best, "best_step": step}

    def load_best(self) -> tuple[GPT, Tokenizer]:
        """The model with its best weights, and its tokenizer"""
        config, _, tokenizer, _ = self.read_setup()
        model = GPT(config)
        with _damaged(self.weights):
            model.load_state_dict(load_state(self.weights))
            for name, p in model.named_parameters():
                if not np.isfinite(p.data).all():
                    raise ValueError(f"{name} holds NaN or infinity")
        model.eval()
        return model, tokenizer

    def check_last(self) -> None:
        """ValueError unless there is a checkpoint to go on from."""
        links = [
            p.name
            for p in (self.log, self.samples, self.probes, self.report, self.checkpoint.parent)
            if p.is_symlink()
        ]
        require(
            not links,
            "run: what a run goes on writing lies in its folder.",
            f"{', '.join(links)} in {self.folder}, a link to somewhere else",
            f"gpt train CORPUS --from {self.folder}",
        )
        require(
            self.checkpoint.is_file(),
            "run: a run goes on from its last checkpoint.",
            f"{self.folder}, which was stopped before its first",
            f"gpt train CORPUS --out {self.folder} --force, to begin anew",
        )

    def load_last(self, state: TrainState) -> None:
        self.check_last()
        with _damaged(self.checkpoint):
            progress = load_metadata(self.checkpoint)["progress"]
            state.load(load_state(self.checkpoint), progress)

    def append(self, record: StepRecord | EvalRecord) -> None:
        """Add a record to the log."""
        data = dataclasses.asdict(record)
        data.pop("best", None)
        append_record(self.log, data)

    def add_probe(self, found: dict[str, Any]) -> None:
        """Add to probes.jsonl what was seen at an evaluation, or its header."""
        append_record(self.probes, found)

    def rewind_log(self, step: int) -> None:
        """Drop what the log says of steps after `step`: they are about to be done again."""
        for log in (self.log, self.probes):
            if log.exists():
                rewind(log, step)

    def add_sample(self, step: int, text: str) -> None:
        with self.samples.open("a", encoding="utf-8") as file:
            file.write(f"--- after step {step}\n{text}\n\n")


def _runs_near(folder: Path) -> str:
    """The runs in a folder that is not one itself, or beside it, to choose from"""
    for home in (folder, folder.parent):
        if found := sorted(str(p.parent) for p in home.glob("*/config.json") if _is_setup(p)):
            return found[0] if len(found) == 1 else f"one of {', '.join(found)}"
    return ""


def _is_setup(path: Path) -> bool:
    """Whether a file is the config.json of a run"""
    try:
        return not path.is_symlink() and {"model", "train", "corpus"} <= set(_read_json(path))
    except (ValueError, TypeError):
        return False


def load(folder: str | Path) -> tuple[GPT, Tokenizer]:
    """The model of a run with its best weights, ready to predict, and its tokenizer"""
    return Run.open(folder).load_best()


@contextlib.contextmanager
def _damaged(path: Path):
    """Turn what a missing or broken file raises into a message that names it."""
    try:
        yield
    except (ValueError, KeyError, TypeError, OSError) as error:
        reason = str(error).replace("\n", " ")
        raise ValueError(
            f"run: {path.name} must be as it was written.\n  got {path}: {reason}\n"
            "  try another run, or train again"
        ) from error


def write_json(path: Path, data: Any) -> None:
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))


def _read_json(path: Path) -> Any:
    with _damaged(path):
        return json.loads(path.read_text("utf-8"))

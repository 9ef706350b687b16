"""A run's folder: everything about one training run, good at every moment.

    config.json          the model's and the training's configuration, the corpus, checksums
    tokenizer.json       the tokenizer
    model.safetensors    the best weights so far
    last/checkpoint.safetensors   weights, optimizers, random states: all that resuming needs
    last/step-N.safetensors       earlier ones, where they are asked for
    log.jsonl            one object a step and one an evaluation
    samples.txt          a sample at each evaluation
    probes.jsonl         what the model writes, expects and looks at, at each evaluation
    corpus.txt           the text, where it came from standard input
    report.html          all of it as a page, and loss.png and ablation.png where they were drawn
    .training.lock       held by the process that trains

Each file is written under a temporary name, synced, and renamed; the log and the samples grow.
Whatever else is in the folder, a link among it, is not a run's: it is neither removed nor written.
"""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpt.config import GPTConfig
from gpt.errors import require
from gpt.model import GPT
from gpt.size import describe
from gpt.text.tokenizers import Tokenizer
from gpt.training.folder import LOCK, MAKING, OLDER, foreign, locked, remove, sweep
from gpt.training.log import append_record, read_records, rewind, sync
from gpt.training.loop import StepRecord
from gpt.training.places import runs_near
from gpt.training.room import check_room
from gpt.training.setup import Setup, damaged, is_setup, write_text
from gpt.training.state import EvalRecord, TrainState
from tinygrad_lite import Tensor, load_metadata, load_state, save_state, write_atomically


class Run:
    """The folder of a run. `create` finds a place for a new one, which `begin` makes; `open` finds
    one that is there."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.weights = folder / "model.safetensors"
        self.checkpoint = folder / "last" / "checkpoint.safetensors"
        self.log = folder / "log.jsonl"
        self.samples = folder / "samples.txt"
        self.probes = folder / "probes.jsonl"
        self.report = folder / "report.html"
        self.text = folder / "corpus.txt"
        self.setup: Setup | None = None  # as it was read or written
        self.force = False  # whether another run may be replaced
        self.place: tuple[int, int] | None = None  # that is locked, as the system knows it

    @classmethod
    def create(
        cls, folder: str | Path, force: bool = False, sources: Sequence[str | Path] = ()
    ) -> "Run":
        """A place where nothing is, or nothing but a run that was not completely made; another
        run's only with force. Nothing is changed before `begin`.

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
        above = next(path for path in (real, *real.parents) if os.path.lexists(path))
        require(
            above.is_dir() and os.access(above, os.W_OK | os.X_OK),
            "run: --out must be where folders can be made and files written.",
            f"{folder}, and {above} " + ("may not be changed" if above.is_dir() else "is a file"),
            "another --out",
        )
        inside = [s for s in sources if Path(os.path.realpath(s)).is_relative_to(real)]
        require(
            not inside,
            "run: a run must not replace what it is made from.",
            f"{inside[0] if inside else ''} and --out {folder}, which holds it",
            "another --out",
        )
        run.force = force
        run._check_free()
        return run

    def _check_free(self) -> None:
        real = Path(os.path.realpath(self.folder))
        if self.place is None and (real / LOCK).is_file():
            with locked(real):  # or say that another is at work
                pass
        holds = sorted(p.name for p in real.iterdir()) if real.exists() else []
        config = real / "config.json"
        begun = LOCK in holds or is_setup(config)  # by a run
        others = foreign(real) if begun else holds
        empty = not set(holds) - {LOCK}
        unmade = MAKING in holds and not config.exists()
        require(
            not others,
            "run: --out must not hold anything yet; what no run has written is never overwritten.",
            f"{self.folder} with {', '.join(others[:5])}",
            "another --out",
        )
        require(
            self.force or unmade or empty,
            "run: --out must not hold anything yet, and a run is not overwritten unasked.",
            f"{self.folder}, which holds a run",
            f"another --out, --force to replace that run, or --resume {self.folder} to go on",
        )

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """The run in `folder`."""
        run = cls(Path(folder))
        setup = run.folder / "config.json"
        require(
            setup.is_file(),
            "run: RUN must be the folder of a training run.",
            f"{folder}, which " + ("has no config.json" if run.folder.is_dir() else "is no folder"),
            runs_near(run.folder) or "gpt train first",
        )
        require(
            is_setup(setup) or '"model_type"' not in setup.read_text("utf-8", "replace"),
            "run: RUN must be the folder of a training run.",
            f"{folder}, a model in the format of Hugging Face",
            f"gpt import {folder} first",
        )
        return run

    def is_there(self) -> bool:
        """Whether there is a run in the folder, which `begin` would replace"""
        return (self.folder / "config.json").exists()

    def is_whole(self) -> bool:
        """Whether what describes the run can be read"""
        with contextlib.suppress(ValueError):
            self.read_setup()
            self.told()
            return True
        return False

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Within this context no other process writes into the folder, which is made if needed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder):
            self.place = _place_of(self.folder)
            try:
                yield
            finally:
                self.place = None

    def begin(
        self,
        setup: Setup,
        state: TrainState | None = None,
        weights: Mapping[str, Tensor | np.ndarray] | None = None,
        text: Path | None = None,
    ) -> None:
        """Make the run, in the place of what `create` has found there: config.json comes last, so
        that it is there whole or not at all. Call it while it is locked.

        state     before its first step
        weights   or those of another program
        text      a file that is kept, because it will not be found again
        """
        self._check_free()
        (self.folder / MAKING).touch()
        remove(self.folder)
        self.setup = setup
        try:
            if text is not None:
                self.keep_text(text)
            if state is not None:
                self.save_last(state)
            if weights is not None:
                save_state(self.weights, weights, self._signed({}))
            setup.write(self.folder)
            (self.folder / MAKING).unlink()
        except BaseException:
            remove(self.folder)
            (self.folder / MAKING).unlink(missing_ok=True)
            raise

    def keep_text(self, text: Path) -> None:
        """Keep a file, because it will not be found again, in the place of one that is kept"""
        if text != self.text:
            _copy(text, self.text)

    def _check_place(self) -> None:
        """ValueError where the folder is not any more the one that was locked"""
        if self.place is not None and _place_of(self.folder) != self.place:
            raise ValueError(
                "run: the folder of a run stays where it is while it is trained.\n"
                f"  got {self.folder}, which was moved, removed or replaced\n"
                "  try gpt train --resume with its new name"
            )

    def read_setup(self) -> Setup:
        self.setup = Setup.read(self.folder)
        return self.setup

    def _signed(self, strings: dict[str, str]) -> dict[str, str]:
        """Strings of a file of weights, with those that say whose it is"""
        assert self.setup is not None
        own = {"format": str(self.setup.format), "run": self.setup.id}
        return strings | (own if self.setup.format else {})

    def _strings(self, path: Path) -> dict[str, str]:
        """The strings of a file of weights, which must be this run's"""
        setup = self.setup or self.read_setup()
        strings = load_metadata(path)
        if setup.format and strings.get("run") != setup.id:
            raise ValueError("it is a file of another run")
        return strings

    def save_best(self, state: TrainState, val_loss: float | None = None) -> None:
        """val_loss: on more of the split than the loss that evaluations are compared by"""
        self._check_place()
        loss = state.best_loss if val_loss is None else val_loss
        strings = {
            "step": str(state.best_step), "val_loss": repr(loss), "compared": repr(state.best_loss)
        }  # fmt: skip
        save_state(self.weights, state.model.state_dict(), self._signed(strings))

    def note_best(self, model: GPT, val_loss: float) -> None:
        """Write down what the best weights, those of `model`, have lost on the whole split."""
        self._check_place()
        strings = self._strings(self.weights) | {"val_loss": repr(val_loss)}
        save_state(self.weights, model.state_dict(), strings)

    def save_last(self, state: TrainState) -> None:
        """Save all that resuming needs; what was logged before it is on the disk first."""
        self._check_place()
        self.checkpoint.parent.mkdir(exist_ok=True)
        being_made = (self.folder / MAKING).exists()
        if self.setup is not None and not being_made and not self.is_there():
            self.setup.write(self.folder)  # somebody has removed it
        for log in (self.log, self.probes, self.samples):
            sync(log)
        if state.config.keep > 1 and self.checkpoint.exists():
            self._keep_older(state.config.keep - 1)
        save_state(self.checkpoint, state.arrays(), self._signed({"progress": state.progress()}))

    def _keep_older(self, count: int) -> None:
        """Keep the last checkpoint beside the one that will replace it, and `count` of such."""
        with damaged(self.checkpoint):
            step = TrainState.step_of(load_metadata(self.checkpoint)["progress"])
        path = self.checkpoint.with_name(f"step-{step}.safetensors")
        if not path.exists():
            _copy(self.checkpoint, path)
        for old in self.older()[count:]:
            old.unlink()

    def older(self) -> list[Path]:
        """Earlier checkpoints that were kept, the newest first"""
        found = {
            p: OLDER.fullmatch(f"last/{p.name}") for p in self.checkpoint.parent.glob("step-*")
        }
        steps = {p: int(match[1]) for p, match in found.items() if match}
        return sorted(steps, key=steps.__getitem__, reverse=True)

    def told(self) -> dict[str, Any]:
        """What the run's files say of its training: the steps that were done, the lowest
        validation loss and its step, None and 0 where nothing is known"""
        steps = max((r["step"] for r in read_records(self.log) if "step" in r), default=0)
        with damaged(self.weights):
            kept = self._strings(self.weights) if self.weights.is_file() else {}
            best = float(kept["val_loss"]) if "val_loss" in kept else None
            step = int(kept.get("step", 0))
        return {"steps": steps, "best_loss": best, "best_step": step}

    def load_best(self) -> tuple[GPT, Tokenizer]:
        """The model with its best weights, and its tokenizer"""
        setup = self.read_setup()
        require(
            self.weights.is_file() or not self.checkpoint.is_file(),
            "run: a run has a model when it has been evaluated once.",
            f"{self.folder}, where no best weights are",
            f"gpt train --resume {self.folder}, as far as its first evaluation",
        )
        check_room(describe(setup.model, 1)["inference_mb"], f"the model in {self.folder}")
        with damaged(self.weights):
            self._strings(self.weights)
            weights = load_state(self.weights)
            _check_size(setup.model, weights)
            model = GPT(setup.model)
            model.load_state_dict(weights)
            _check_finite(model)
        model.eval()
        return model, setup.tokenizer

    def kept_best(self) -> tuple[int, float] | None:
        """(step, loss that evaluations are compared by) of the best weights, which are whole; None
        where there are none"""
        if not self.weights.is_file():
            return None
        with damaged(self.weights):
            strings = self._strings(self.weights)
            load_state(self.weights)
            loss = strings.get("compared", strings.get("val_loss", "inf"))
            return int(strings.get("step", 0)), float(loss)

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
            self._newest() is not None,
            "run: a run goes on from its last checkpoint.",
            f"{self.folder}, which has none",
            self._from_best(),
        )

    def _from_best(self) -> str:
        """What to try where a run can't go on"""
        there = self.weights.is_file()
        best = f"gpt train CORPUS --from {self.folder}, with the best weights of it"
        return best if there else "another run, or train again"

    def _newest(self) -> Path | None:
        return next((p for p in (self.checkpoint, *self.older()) if p.is_file()), None)

    def load_last(self, state: TrainState) -> None:
        self.check_last()
        newest, others = self._newest(), self.older()
        assert newest is not None
        try:
            with damaged(newest, self._from_best()):
                progress = self._strings(newest)["progress"]
                state.load(load_state(newest), progress)
                _check_finite(state.model)
        except ValueError as error:
            rest = [p for p in others if p != newest]
            if not rest:
                raise
            first, _, _ = str(error).rpartition("\n")
            raise ValueError(
                f"{first}\n  try rm {newest}: an earlier one, {rest[0].name}, is there"
            ) from error

    def append(self, record: StepRecord | EvalRecord) -> None:
        """Add a record to the log."""
        self._check_place()
        append_record(self.log, dataclasses.asdict(record))

    def add_probe(self, found: dict[str, Any]) -> None:
        """Add to probes.jsonl what was seen at an evaluation, or its header."""
        append_record(self.probes, found)

    def add_sample(self, step: int, text: str) -> None:
        with self.samples.open("a", encoding="utf-8", errors="surrogatepass") as file:
            file.write(_sample(step, text))

    def rewind(self, step: int) -> int:
        """Drop what the files say of steps after `step`, which are about to be done again, and what
        killed processes have left; how many of the steps up to it the log has lost"""
        sweep(self.folder)
        for log in (self.log, self.probes):
            if log.exists():
                rewind(log, step)
        probes = [p for p in read_records(self.probes) if isinstance(p.get("sample"), str)]
        if self.samples.exists() and self.probes.exists():
            write_text(self.samples, "".join(_sample(p["step"], p["sample"]) for p in probes))
        return step - len({r["step"] for r in read_records(self.log) if r.get("loss") is not None})


def _place_of(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _copy(source: Path, path: Path) -> None:
    write_atomically(path, lambda temporary: shutil.copyfile(source, temporary))


def _sample(step: int, text: str) -> str:
    return f"--- after step {step}\n{text}\n\n"


def _check_size(config: GPTConfig, weights: Mapping[str, np.ndarray]) -> None:
    """Before a model is built: it may be absurdly large"""
    held = sum(array.size for array in weights.values())
    expected = describe(config, 1)["parameters"]
    if held < expected / 2:
        raise ValueError(f"it holds {held:,} numbers for a model of {expected:,}")


def _check_finite(model: GPT) -> None:
    for name, p in model.named_parameters():
        if not np.isfinite(p.data).all():
            raise ValueError(f"{name} holds NaN or infinity")


def load(folder: str | Path) -> tuple[GPT, Tokenizer]:
    """The model of a run with its best weights, ready to predict, and its tokenizer"""
    return Run.open(folder).load_best()

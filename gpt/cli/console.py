"""What the command line shows while it trains: a card before, a live line, a report after."""

import collections
import contextlib
import math
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.color import ColorSystem
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.style import Style
from rich.table import Table
from rich.text import Text

from gpt.config import GPTConfig, TrainConfig
from gpt.plain_json import dumps

if TYPE_CHECKING:  # help needs neither NumPy nor the engine
    from gpt.text.tokenizers import Tokenizer
    from gpt.text.tokens import TokenIds
    from gpt.training.loop import StepRecord
    from gpt.training.state import EvalRecord

COLOURS: Any = None if "NO_COLOR" in os.environ else "auto"  # without, no escapes at all


class _Console(Console):
    def on_broken_pipe(self) -> None:  # rich would exit with 1: `run` knows better
        raise BrokenPipeError


# mpirun gives its processes a terminal, wherever what they print goes in the end
LIVE = False if "OMPI_COMM_WORLD_SIZE" in os.environ else None
_HOW: Any = dict(highlight=False, soft_wrap=True, color_system=COLOURS, force_terminal=LIVE)
console = _Console(**_HOW)
errors = _Console(stderr=True, **_HOW)
# What is done is the heavy part, on light backgrounds too
BAR: Any = {"complete_style": "bold cyan", "finished_style": "bold cyan", "style": "dim"}


def is_live() -> bool:
    """A terminal that wants colours gets a live line; everything else gets plain lines."""
    return console.is_terminal and "NO_COLOR" not in os.environ


def say(text: str = "", style: str | None = None) -> None:
    console.print(Text(text, style=style or ""), markup=False)


def complain(text: str) -> None:
    errors.print(Text(text), markup=False)


def number(n: float) -> str:
    return f"{n:,.0f}"


def many(n: int, what: str) -> str:
    return f"{number(n)} {what}{'' if n == 1 else 's'}"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 120:
        return f"{minutes // 60:,} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def card(rows: dict[str, str]) -> None:
    """The short card before step 1"""
    width = max(map(len, rows))
    for name, value in rows.items():
        say(f"  {name:<{width}}  {value}")


def shape_of(model: GPTConfig) -> str:
    layers, heads = many(model.n_layer, "layer"), many(model.n_head, "head")
    return f"{layers}, {heads}, {model.n_embd} wide"


def card_rows(
    model: GPTConfig,
    config: TrainConfig,
    corpus: str,
    parameters: int,
    tokens: tuple[int, int],
    seconds: float,
    peak_mb: float,
) -> dict[str, str]:
    """What is about to happen, in words; seconds and peak_mb as measured on this machine"""
    shape = shape_of(model)
    windows = max(1, tokens[0] - model.block_size)
    size = windows if config.batches == "all" else config.batch_size
    seen = config.steps * size * model.block_size
    return {
        "corpus": f"{corpus}: {number(tokens[0])} tokens to train on,"
        f" {number(tokens[1])} to validate",
        "model": f"{number(parameters)} parameters: {shape}, block {model.block_size},"
        f" vocabulary {model.vocab_size}",
        "training": f"{many(config.steps, 'step')} of {number(size)} x {model.block_size}"
        f" tokens, {seen / tokens[0]:.1f} passes over the text",
        "here": f"about {duration(seconds)} and {peak_mb:.0f} MB, measured on this machine",
        "guessing": f"a uniform guess has loss ln {model.vocab_size} ="
        f" {math.log(model.vocab_size):.3f}",
    }


class _Speed(ProgressColumn):
    """The numbers of the last step"""

    def render(self, task: Task) -> Text:
        return Text(task.fields.get("numbers", ""))


class Pace:
    """How long a step takes by the clock, evaluations and saves included: the mean of the last
    SPAN seconds"""

    SPAN = 20.0

    def __init__(self) -> None:
        self.times = collections.deque([time.monotonic()])

    def step(self) -> None:
        self.times.append(time.monotonic())
        while len(self.times) > 2 and self.times[-1] - self.times[1] > self.SPAN:
            self.times.popleft()

    @property
    def seconds(self) -> float:
        return (self.times[-1] - self.times[0]) / max(len(self.times) - 1, 1)


class TrainingLine:
    """One live line, or plain lines at steps that are round numbers."""

    def __init__(self, steps: int, done: int):
        self.steps = steps
        self.pace = Pace()
        self.val_loss: float | None = None
        self.progress: Progress | None = None
        if is_live():
            columns = (
                TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
                BarColumn(12, **BAR),
                _Speed(),
                TimeRemainingColumn(compact=True),
            )
            self.progress = Progress(*columns, console=console)
            self.task = self.progress.add_task("train", total=steps, completed=done, numbers="")

    def __enter__(self) -> "TrainingLine":
        if self.progress:
            self.progress.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        if self.progress:
            with contextlib.suppress(OSError):  # the terminal may be gone: that was said
                self.progress.stop()

    def step(self, record: "StepRecord", steps: int) -> None:
        self.pace.step()
        self.steps = steps
        speed = f"{number(record.tokens_per_second)} tokens/s"
        if self.progress:  # 80 columns; it stays, so that it shows the last evaluation too
            val = "" if self.val_loss is None else f" | val {self.val_loss:.4f}"
            numbers = f"loss {record.loss:.4f}{val} | {speed}"
            self.progress.update(self.task, total=steps, completed=record.step, numbers=numbers)
        elif record.step % self.every() == 0 or record.step in (1, self.steps):
            left = (self.steps - record.step) * self.pace.seconds
            say(
                f"step {record.step}/{self.steps} | loss {record.loss:.4f} | lr"
                f" {record.lr:.1e} | norm {record.grad_norm:.2f} | {speed} | {duration(left)} left"
            )

    def every(self) -> int:
        """Steps from line to line; a run by the clock changes how many there are"""
        return max(1, 10 ** int(math.log10(max(self.steps, 1))) // 10)

    def evaluation(self, record: "EvalRecord", sample: str, read: str, meaning: str) -> None:
        """read: what of the validation split, empty for the part that is always read"""
        self.val_loss = record.val_loss
        best = ", the best so far" if record.best else ""
        say(f"after step {record.step}: validation loss {record.val_loss:.4f}{read}{best}", "bold")
        say(f"  {meaning}", "dim")
        say("\n".join("    " + line for line in sample.strip("\n").splitlines()), "dim")


class WorkBar:
    """Progress of something long, on a terminal; call it with (what is done, all)."""

    def __init__(self, what: str, in_bytes: bool = False):
        count = DownloadColumn() if in_bytes else TextColumn("{task.completed:,.0f}")
        self.progress = Progress(
            TextColumn(what), BarColumn(24, **BAR), count,
            TimeRemainingColumn(compact=True), console=errors, transient=True,
            disable=not errors.is_terminal or "NO_COLOR" in os.environ,
        )  # fmt: skip
        self.task = self.progress.add_task(what, total=None)

    def __enter__(self) -> "WorkBar":
        self.progress.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.progress.stop()

    def __call__(self, done: int, total: int) -> None:
        self.progress.update(self.task, completed=done, total=total)


class WritingBar:
    """How many of the tokens are written, on a terminal; nothing for 0, or elsewhere"""

    def __init__(self, tokens: int):
        self.progress: Progress | None = None
        if tokens and errors.is_terminal and "NO_COLOR" not in os.environ:
            columns = (
                TextColumn("{task.completed:.0f}/{task.total:.0f} tokens"),
                BarColumn(24, **BAR),
            )
            self.progress = Progress(*columns, console=errors, transient=True)
            self.task = self.progress.add_task("write", total=tokens)

    def __enter__(self) -> "WritingBar":
        if self.progress:
            self.progress.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        if self.progress:
            self.progress.stop()

    def advance(self) -> None:
        if self.progress:
            self.progress.update(self.task, advance=1)


class DownloadBar:
    """Progress of a download; call it with (bytes so far, bytes in all)."""

    def __init__(self) -> None:
        self.progress: Progress | None = None

    def __call__(self, done: int, total: int) -> None:
        if self.progress is None:
            self.progress = Progress(
                TextColumn("downloading"), BarColumn(**BAR), DownloadColumn(), console=errors
            )
            self.task = self.progress.add_task("download", total=total or None)
            self.progress.start()
        self.progress.update(self.task, completed=done)

    def close(self) -> None:
        if self.progress is not None:
            self.progress.stop()


def write(text: str, style: str | None = None) -> None:
    """Text as it is, each tab and form feed of it, at once"""
    if style and console.color_system:  # rich's own ways of writing leave signs out, and widen tabs
        text = Style.parse(style).render(text, color_system=ColorSystem.STANDARD)
    console.file.write(text)
    console.file.flush()


def show_json(data: Any) -> None:
    """One object, for programs"""
    console.out(dumps(data), highlight=False)


def unit(tokenizer: "Tokenizer") -> str:
    """What a token is: a character, or a token"""
    return "character" if tokenizer.kind == "characters" else "token"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns; numbers, in all but the first two, to the right"""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for i, title in enumerate(titles):
        drawn.add_column(title, justify="left" if i < 2 else "right")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    # What is piped to a program is not cut to the width of a terminal that is not there
    console.print(drawn, width=None if console.is_terminal else 400)


def windows(tokenizer: "Tokenizer", tokens: "TokenIds", size: int) -> None:
    """The vocabulary, and the first windows of a text: inputs, targets, shapes"""
    pieces = [repr(piece) for piece in tokenizer.pieces(range(min(tokenizer.vocab_size, 64)))]
    listed = ", ".join(f"{i} {piece}" for i, piece in enumerate(pieces))
    say(f"vocabulary of {tokenizer.vocab_size}: {listed}")
    count = len(tokens) - size
    rows, shown = [], min(size, 8)
    more = " …" if size > shown else ""
    for start in range(min(count, 8)):
        inputs, targets = tokens[start : start + shown], tokens[start + 1 : start + shown + 1]
        rows.append([f"{start}", repr(tokenizer.decode(inputs)) + more,
                     repr(tokenizer.decode(targets)) + more,
                     str(inputs.tolist()) + more, str(targets.tolist()) + more])  # fmt: skip
    table(("window", "inputs", "targets", "input ids", "target ids"), rows)
    say(f"{count} windows: inputs ({count}, {size}), targets ({count}, {size})")


def tokens(ids: Sequence[int], pieces: Sequence[str]) -> None:
    """Each token with its id, in turns of colours"""
    styles = ("black on cyan", "black on yellow", "black on green", "black on magenta")
    line = Text()
    for i, piece in enumerate(pieces):
        line.append(piece.replace("\n", "\u21b5\n"), styles[i % len(styles)])
        if not console.is_terminal and i + 1 < len(pieces):
            line.append("|")
    console.print(line, markup=False)
    console.print(" ".join(map(str, ids)), markup=False, highlight=False)

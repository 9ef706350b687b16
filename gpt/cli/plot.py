"""gpt plot"""

from argparse import Namespace
from pathlib import Path

from gpt.cli.common import check_target
from gpt.cli.console import say
from gpt.inside.figures import BEGINNINGS
from gpt.inside.plot import plot_loss
from gpt.training.run import Run


def plot_command(args: Namespace) -> None:
    run = Run.open(args.run)
    vocab_size = run.read_setup().model.vocab_size
    path = Path(args.out) if args.out else run.folder / "loss.png"
    check_target(path, BEGINNINGS.get(path.suffix.lower(), b""))
    plot_loss(run.log, path, vocab_size, run.folder.resolve().name, args.x)
    say(f"the loss of {args.run} is drawn in {path}")

"""What the worked models share: a command that trains, says the result, and draws the picture."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run(train: Callable[..., dict[str, Any]], draw: Callable[[Any, dict], None], name: str) -> None:
    """Train with the settings of the command line, print what was reached, and save the picture"""
    parser = argparse.ArgumentParser(prog=f"python -m tinygrad_lite.examples.{name}")
    parser.add_argument("--steps", type=_positive, help="training steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-jit", action="store_true", help="without recording a step")
    parser.add_argument("--picture", type=_picture, metavar="FILE.png", help="where it is drawn")
    args = parser.parse_args()
    given = {} if args.steps is None else {"steps": args.steps}
    try:
        result = train(seed=args.seed, jit=not args.no_jit, **given)
    except ImportError as error:  # what ships the data is not installed
        parser.exit(2, f"{error}\n")
    numbers = {key: value for key, value in result.items() if isinstance(value, int | float)}
    print(json.dumps(numbers))
    if args.picture is None:
        return
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(6, 4), layout="constrained")
    draw(figure, result)
    figure.savefig(args.picture, dpi=110)
    print(args.picture)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"there is a step or more: got {text}, try 100")
    return int(text)


def _picture(text: str) -> Path:
    """Before anything is trained: a picture can be written there, and replaces a picture at most"""
    path = Path(text)
    if path.suffix != ".png" or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"a .png in a folder that is there: got {text}")
    if path.exists() and (not path.is_file() or path.read_bytes()[:4] != b"\x89PNG"):
        raise argparse.ArgumentTypeError(f"{text} is there, and no picture: try another name")
    return path


def recorded(step: Callable, jit: bool) -> Callable:
    """The step as it is, or recorded once and then replayed"""
    import tinygrad_lite as tg

    return tg.jit(step) if jit else step


def curve(axes: Any, losses: list[float], label: str = "loss") -> None:
    """Losses over steps"""
    axes.plot(losses, linewidth=1, label=label)
    axes.set(xlabel="step", ylabel=label)

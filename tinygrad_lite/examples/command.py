"""What the worked models share: a command that trains, says the result, and draws the picture."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run(train: Callable[..., dict[str, Any]], draw: Callable[[Any, dict], None], name: str) -> None:
    """Train with the settings of the command line, print what was reached, and save the picture"""
    parser = argparse.ArgumentParser(prog=f"python -m tinygrad_lite.examples.{name}")
    parser.add_argument("--steps", type=int, help="training steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-jit", action="store_true", help="without recording a step")
    parser.add_argument("--picture", type=Path, default=Path(f"{name}.png"), metavar="FILE")
    args = parser.parse_args()
    given = {} if args.steps is None else {"steps": args.steps}
    result = train(seed=args.seed, jit=not args.no_jit, **given)
    numbers = {key: value for key, value in result.items() if isinstance(value, int | float)}
    print(json.dumps(numbers))
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(6, 4), layout="constrained")
    draw(figure, result)
    figure.savefig(args.picture, dpi=110)
    print(args.picture)


def recorded(step: Callable, jit: bool) -> Callable:
    """The step as it is, or recorded once and then replayed"""
    import tinygrad_lite as tg

    return tg.jit(step) if jit else step


def curve(axes: Any, losses: list[float], label: str = "loss") -> None:
    """Losses over steps"""
    axes.plot(losses, linewidth=1, label=label)
    axes.set(xlabel="step", ylabel=label)

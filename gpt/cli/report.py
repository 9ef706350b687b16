"""gpt report"""

from argparse import Namespace
from pathlib import Path

from gpt.cli.common import check_target
from gpt.cli.console import say
from gpt.inside.page import BEGINNING
from gpt.inside.report import report_of
from gpt.training.run import Run
from tinygrad_lite import write_atomically


def report_command(args: Namespace) -> None:
    run = Run.open(args.run)
    path = Path(args.out) if args.out else run.report
    check_target(path, BEGINNING)
    write_report(run, path)
    say(f"the report of {args.run} is {path}: open it in a browser")


def write_report(run: Run, path: Path) -> None:
    page = report_of(run)
    write_atomically(path, lambda temporary: temporary.write_text(page, "utf-8", "replace"))

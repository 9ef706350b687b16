"""Commands that measure models, runs and this machine"""

from typing import Any

from gpt.cli.options import PRECISIONS
from gpt.cli.parser import Parser, command
from gpt.presets import PRESETS

EVAL_EXAMPLES = """examples:
  gpt eval runs/shakespeare
  gpt eval runs/shakespeare other.txt --json
"""

ABLATE_EXAMPLES = """examples:
  gpt ablate runs/shakespeare
  gpt ablate runs/shakespeare other.txt --tokens 20000 --json
"""

PLOT_EXAMPLES = """examples:
  gpt plot runs/shakespeare
  gpt plot runs/shakespeare --x steps --out loss.png
"""

REPORT_EXAMPLES = """examples:
  gpt report runs/shakespeare
"""

RUNS_EXAMPLES = """examples:
  gpt runs
  gpt runs elsewhere --json
"""

COMPARE_EXAMPLES = """examples:
  gpt compare runs/a runs/b
  gpt compare runs/a runs/b --x steps --csv steps.csv --out curves.svg
  gpt compare runs/a runs/b --tensorboard events
"""

VERIFY_EXAMPLES = """examples:
  gpt verify-resume
  gpt verify-resume my.txt --preset baby --steps 100 --stops 10
"""

DOCTOR_EXAMPLES = """examples:
  gpt doctor
  gpt doctor --seconds 2 --json
"""


def _add_text(parser: Parser) -> None:
    """What a model is measured on"""
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument(
        "corpus",
        nargs="*",
        metavar="CORPUS",
        help="another text, all of it (default: the validation split of the run's own)",
    )
    parser.add_argument(
        "--errors",
        choices=("strict", "replace"),
        help="bytes of CORPUS that are not UTF-8 end it, or become U+FFFD (default: strict)",
    )


def add_eval(commands: Any) -> None:
    parser = command(commands, "eval", "measure a trained model", EVAL_EXAMPLES)
    _add_text(parser)
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of matrix products, and of the weights as they are stored (default: the run's)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_ablate(commands: Any) -> None:
    about = "switch off each head and feed-forward layer, and see what is lost"
    parser = command(commands, "ablate", about, ABLATE_EXAMPLES)
    _add_text(parser)
    parser.add_argument(
        "--tokens", type=int, default=4096, metavar="N", help="to predict (default: 4096)"
    )
    parser.add_argument("--out", metavar="FILE", help="a PNG file (default: RUN/ablation.png)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_plot(commands: Any) -> None:
    parser = command(commands, "plot", "draw the loss of a run", PLOT_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument("--out", metavar="FILE", help="a .png or .svg (default: RUN/loss.png)")
    parser.add_argument(
        "--x",
        choices=("seconds", "steps"),
        default="seconds",
        help="what the loss is drawn over, seconds or steps (default: seconds)",
    )


def add_report(commands: Any) -> None:
    about = "a page about a run: losses, samples and attention through time"
    parser = command(commands, "report", about, REPORT_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument("--out", metavar="FILE", help="an HTML file (default: RUN/report.html)")


def add_runs(commands: Any) -> None:
    about = "list runs with their sizes, losses and times"
    parser = command(commands, "runs", about, RUNS_EXAMPLES)
    parser.add_argument(
        "folder", nargs="?", default="runs", metavar="FOLDER", help="where they are (default: runs)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON array")


def add_compare(commands: Any) -> None:
    about = "put runs beside each other: what differs, and their losses on one figure"
    parser = command(commands, "compare", about, COMPARE_EXAMPLES)
    parser.add_argument("run", nargs="+", metavar="RUN", help="the folders of runs")
    parser.add_argument(
        "--out", default="compare.png", metavar="FILE", help="a .png or .svg (default: compare.png)"
    )
    parser.add_argument(
        "--x",
        choices=("seconds", "steps"),
        default="seconds",
        help="what losses are drawn over, seconds or steps (default: seconds)",
    )
    parser.add_argument("--csv", metavar="FILE", help="every step of each run, as a table")
    parser.add_argument(
        "--tensorboard", metavar="DIR", help="event files for TensorBoard, written by tensorboardX"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_verify_resume(commands: Any) -> None:
    about = "train twice, once with stops, and compare every bit"
    parser = command(commands, "verify-resume", about, VERIFY_EXAMPLES)
    parser.add_argument(
        "corpus", nargs="*", metavar="CORPUS", help="as for gpt train (default: sample)"
    )
    parser.add_argument(
        "--preset", choices=tuple(PRESETS), default="shakespeare",
        help=f"whose model is trained: {', '.join(PRESETS)} (default: shakespeare)",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=int, default=40, metavar="N", help="of each run (default: 40)"
    )
    parser.add_argument(
        "--stops", type=int, default=4, metavar="N", help="of the second run (default: 4)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of where it is stopped (default: 0)"
    )


def add_doctor(commands: Any) -> None:
    about = "see whether this machine has what training needs, and what to do"
    parser = command(commands, "doctor", about, DOCTOR_EXAMPLES)
    parser.add_argument(
        "--seconds", type=float, default=10.0, metavar="X",
        help="for comparing gradients with differences, at most (default: 10)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON array")

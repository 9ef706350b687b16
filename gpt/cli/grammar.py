"""The grammar of the command line: each command with its options and examples."""

import argparse
import itertools
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import shtab

from gpt.cli.options import add_fields, add_sampling, add_view, add_writing
from gpt.cli.parser import Parser, command
from gpt.config import GPTConfig, TrainConfig
from gpt.presets import DEFAULT_PRESET, PRESETS, TOKENIZERS

TRAIN_EXAMPLES = """examples:
  gpt train                                   tiny Shakespeare, two and a half minutes
  gpt train my.txt notes/ --out runs/mine     your own files and folders
  gpt train src --include '*.py'              the Python files of a folder
  gpt train sample --preset baby --steps 200  the play that ships with the package
  cat *.md | gpt train - --name notes         standard input
  gpt train --preset hello --verbose          the smallest model, every window of its text
  gpt train --resume runs/mine                go on where a run stopped
  gpt train my.txt --from runs/gpt2           begin with the weights of another run
"""
GENERATE_EXAMPLES = """examples:
  gpt generate runs/shakespeare --prompt "ROMEO:" --tokens 300
  gpt generate runs/shakespeare --temperature 0 --prompt "To be"
  gpt generate runs/shakespeare --prompt "To be" --tokens 20 --why
  gpt generate runs/gpt2 -n 3 --top-p 0.9 --stop . < prompt.txt --prompt-file -
"""
EXPLAIN_EXAMPLES = """examples:
  gpt explain runs/hello hell
  gpt explain runs/shakespeare "To be" --layer 2 --head 1 --decimals 2
  gpt explain runs/shakespeare "To be, or not to be" --loss
"""
ASK_EXAMPLES = """examples:
  gpt ask runs/mini
  gpt ask runs/shakespeare --layer 4 --head 2 --tokens 100
"""
CHAT_EXAMPLES = """examples:
  gpt chat runs/shakespeare --tokens 200
  gpt chat runs/gpt2 --temperature 0.7 --top-p 0.9 --stop .
"""
SERVE_EXAMPLES = """examples:
  gpt serve runs/shakespeare
  gpt serve runs/shakespeare --prompt "ROMEO:" --port 0 --open
"""
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
INFO_EXAMPLES = """examples:
  gpt info gpt2-xl
  gpt info runs/shakespeare --json
"""
TOKENIZE_EXAMPLES = """examples:
  gpt tokenize runs/shakespeare "To be, or not"
  gpt tokenize gpt2 "Hello, world"
"""
IMPORT_EXAMPLES = """examples:
  gpt import openai-community/gpt2 --out runs/gpt2
  gpt import path/to/folder --out runs/mine
"""
EXPORT_EXAMPLES = """examples:
  gpt export runs/mine --to huggingface --out mine-hf
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments, with `command` among them; raises UsageError."""
    parser = Parser(
        prog="gpt",
        description="Train a GPT on any text, on the CPU, and write with it.",
        epilog="gpt COMMAND --help explains a command.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    _add_train(commands, _preset_of(argv))
    _add_explain(commands)
    _add_ask(commands)
    _add_chat(commands)
    _add_serve(commands)
    _add_generate(commands)
    _add_eval(commands)
    _add_ablate(commands)
    _add_plot(commands)
    _add_report(commands)
    _add_runs(commands)
    _add_compare(commands)
    _add_info(commands)
    _add_tokenize(commands)
    _add_import(commands)
    _add_export(commands)
    _add_verify_resume(commands)
    _add_doctor(commands)
    parser.add_argument("-V", "--version", action=_Version, nargs=0, help="print it")
    shtab.add_argument_to(
        parser,
        "--completion",
        help='print what completes words in a shell; for this one: eval "$(gpt --completion bash)"',
    )
    if not argv:
        parser.print_help(sys.stderr)
        raise SystemExit(2)
    if argv[0] == "help":  # gpt help, gpt help train
        argv = [*argv[1:], "--help"]
    return parser.parse(argv)


class _Version(argparse.Action):
    """Print the versions that decide about numbers and speed, and exit."""

    def __call__(self, parser: Any, *_: Any) -> None:
        from tinygrad_lite import __version__  # not before it is asked for: it takes time

        versions = (f"{name} {metadata.version(name)}" for name in ("numpy", "numba"))
        print(f"gpt {__version__} with {', '.join(versions)}")
        parser.exit()


def _preset_of(argv: Sequence[str]) -> str:
    """The preset that a command line names, whose defaults its help shows"""
    named = [a.partition("=")[2] for a in argv if a.startswith("--preset=")]
    named += [b for a, b in itertools.pairwise(argv) if a == "--preset"]
    return next((name for name in named if name in PRESETS), DEFAULT_PRESET)


def _add_train(commands: Any, chosen: str) -> None:
    about = "train a model on a text"
    parser = command(commands, "train", about, _presets_text() + TRAIN_EXAMPLES)
    parser.add_argument(
        "corpus",
        nargs="*",
        metavar="CORPUS",
        help="text files, folders of them, patterns, - for standard input, or one of shakespeare,"
        " sample, mini, hello (default: the preset's; shakespeare, or sample where that cannot be"
        " had)",
    )
    text = parser.add_argument_group("text")
    text.add_argument(
        "--include",
        action="append",
        metavar="PATTERN",
        help="of folders only files with such names, '*.py'; may be repeated (default: all texts)",
    )
    text.add_argument(
        "--validation-file",
        action="append",
        metavar="CORPUS",
        help="a text for validation, in place of a part of the others; may be repeated",
    )
    text.add_argument(
        "--errors",
        choices=("strict", "replace"),
        help="bytes that are not UTF-8 end it, or become U+FFFD (default: strict)",
    )
    run = parser.add_argument_group("run")
    run.add_argument(
        "--preset",
        metavar="NAME",
        help=f"one of {', '.join(PRESETS)} (default: {DEFAULT_PRESET})",
    )
    run.add_argument("--out", metavar="RUN", help="the run's folder (default: runs/NAME)")
    run.add_argument("--name", help="what to call the run (default: the corpus)")
    run.add_argument("--force", action="store_true", help="replace the run that --out holds")
    run.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="RUN",
        help="go on with a run that was stopped (default: the one that was saved last)",
    )
    run.add_argument(
        "--allow-changed-corpus",
        action="store_true",
        help="resume on a text that has changed since",
    )
    run.add_argument(
        "--from",
        dest="start",
        metavar="RUN",
        help="begin with the weights, the tokenizer and the settings of another run",
    )
    run.add_argument(
        "--tokenizer",
        metavar="KIND",
        help=f"{', '.join(TOKENIZERS)}, or tokenizer files (default: the preset's)",
    )
    run.add_argument(
        "--vocab-size",
        type=int,
        metavar="N",
        help="tokens that --tokenizer bytes learns (default: by the length of the text)",
    )
    run.add_argument(
        "--verbose", action="store_true", help="show the vocabulary and the first windows"
    )
    run.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    run.add_argument(
        "--sample-tokens",
        type=int,
        default=160,
        metavar="N",
        help="tokens of the sample at each evaluation (default: 160)",
    )
    for what, config in (("training", TrainConfig), ("model", GPTConfig)):
        group = parser.add_argument_group(f"{what} (defaults of the preset {chosen})")
        add_fields(group, config, PRESETS[chosen])


def _presets_text() -> str:
    lines = [f"  {name:12} {preset.about}" for name, preset in PRESETS.items()]
    return "presets:\n" + "\n".join(lines) + "\n\n"


def _add_generate(commands: Any) -> None:
    parser = command(commands, "generate", "write with a trained model", GENERATE_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    group = parser.add_argument_group("text")
    group.add_argument("--prompt", help="what to continue (default: the beginning of a text)")
    group.add_argument("--prompt-file", metavar="FILE", help="a file with it, - for standard input")
    group.add_argument("--tokens", type=int, default=500, help="how many (default: 500)")
    group.add_argument("-n", type=int, default=1, help="samples at once (default: 1)")
    group.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="end there; may be repeated"
    )
    group.add_argument(
        "--ignore-end", action="store_true", help="go on after a token that ends a text"
    )
    group.add_argument(
        "--why", action="store_true", help="show how likely each token was, and what else was"
    )
    group.add_argument(
        "--json", action="store_true", help="print one JSON object: texts, tokens, alternatives"
    )
    add_sampling(parser)
    group = parser.add_argument_group("computation")
    group.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    group.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "auto"),
        help="of matrix products (default: the run's)",
    )
    group.add_argument(
        "--no-cache", action="store_true", help="compute keys and values anew for each token"
    )


def _add_explain(commands: Any) -> None:
    about = "show every number of one forward pass, from a prompt to its next token"
    parser = command(commands, "explain", about, EXPLAIN_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument("prompt", metavar="PROMPT", help="the text that the model reads")
    group = add_view(parser)
    group.add_argument(
        "--loss",
        action="store_true",
        help="instead, how surprised the model is by each token of the text",
    )
    group = parser.add_argument_group("files")
    group.add_argument("--json", metavar="FILE", help="all numbers, for programs")
    group.add_argument("--html", metavar="FILE", help="one page to look at it in a browser")
    group.add_argument(
        "--figures", metavar="DIR", help="a figure of each layer, the next token, the logit lens"
    )
    group.add_argument(
        "--format", choices=("png", "svg"), default="png", help="of the figures (default: png)"
    )


def _add_ask(commands: Any) -> None:
    about = "ask for prompts, and show how each becomes a next token"
    parser = command(commands, "ask", about, ASK_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    add_view(parser)
    add_writing(parser, 60)


def _add_chat(commands: Any) -> None:
    about = "write a text together with a model, line by line"
    parser = command(commands, "chat", about, CHAT_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    add_writing(parser, 200)


def _add_serve(commands: Any) -> None:
    about = "look inside in a browser, on this machine: every number, live"
    parser = command(commands, "serve", about, SERVE_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder; its neighbours are there too")
    parser.add_argument("--prompt", help="the text that is read first (default: one that fits)")
    parser.add_argument(
        "--port", type=int, default=8000, help="of the page, 0 for any that is free (default: 8000)"
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def _add_eval(commands: Any) -> None:
    parser = command(commands, "eval", "measure a trained model", EVAL_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument(
        "corpus",
        nargs="*",
        metavar="CORPUS",
        help="another text, all of it (default: the validation split of the run's own)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_ablate(commands: Any) -> None:
    about = "switch off each head and feed-forward layer, and see what is lost"
    parser = command(commands, "ablate", about, ABLATE_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument(
        "corpus",
        nargs="*",
        metavar="CORPUS",
        help="another text, all of it (default: the validation split of the run's own)",
    )
    parser.add_argument(
        "--tokens", type=int, default=4096, metavar="N", help="to predict (default: 4096)"
    )
    parser.add_argument("--out", metavar="FILE", help="a PNG file (default: RUN/ablation.png)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_plot(commands: Any) -> None:
    parser = command(commands, "plot", "draw the loss of a run", PLOT_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument("--out", metavar="FILE", help="a .png or .svg (default: RUN/loss.png)")
    parser.add_argument(
        "--x",
        choices=("seconds", "steps"),
        default="seconds",
        help="what the loss is drawn over, seconds or steps (default: seconds)",
    )


def _add_report(commands: Any) -> None:
    about = "a page about a run: losses, samples and attention through time"
    parser = command(commands, "report", about, REPORT_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument("--out", metavar="FILE", help="an HTML file (default: RUN/report.html)")


def _add_runs(commands: Any) -> None:
    about = "list runs with their sizes, losses and times"
    parser = command(commands, "runs", about, RUNS_EXAMPLES)
    parser.add_argument(
        "folder", nargs="?", default="runs", metavar="FOLDER", help="where they are (default: runs)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON array")


def _add_compare(commands: Any) -> None:
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


def _add_verify_resume(commands: Any) -> None:
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


def _add_doctor(commands: Any) -> None:
    about = "see whether this machine has what training needs, and what to do"
    parser = command(commands, "doctor", about, DOCTOR_EXAMPLES)
    parser.add_argument(
        "--seconds", type=float, default=10.0, metavar="X",
        help="for comparing gradients with differences, at most (default: 10)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON array")


def _add_info(commands: Any) -> None:
    about = "parameters, computation and memory of a model, without building it"
    parser = command(commands, "info", about, INFO_EXAMPLES)
    parser.add_argument("model", metavar="PRESET|RUN", help="a preset's name or a run's folder")
    parser.add_argument(
        "--vocab-size", type=int, metavar="N", help="of a preset (default: what its text gives)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_tokenize(commands: Any) -> None:
    parser = command(commands, "tokenize", "show the tokens of a text", TOKENIZE_EXAMPLES)
    parser.add_argument(
        "tokenizer", metavar="RUN|NAME", help="a run's folder, gpt2, or tokenizer files"
    )
    parser.add_argument("text", metavar="TEXT", help="what is cut into tokens")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_import(commands: Any) -> None:
    about = "make a run of a GPT-2 checkpoint in the format of Hugging Face"
    parser = command(commands, "import", about, IMPORT_EXAMPLES)
    parser.add_argument(
        "model", metavar="FOLDER|HUB-ID", help="a folder, or OWNER/NAME to be downloaded"
    )
    parser.add_argument("--out", metavar="RUN", help="the run's folder (default: runs/NAME)")
    parser.add_argument("--force", action="store_true", help="replace the run that --out holds")


def _add_export(commands: Any) -> None:
    about = "write a run's model for other programs"
    parser = command(commands, "export", about, EXPORT_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument(
        "--to",
        choices=("huggingface",),
        default="huggingface",
        help="whose format it is (default: huggingface)",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="a new folder")

"""gpt train, with an option for each setting"""

from typing import Any

from gpt.cli.options import add_fields
from gpt.cli.parser import command
from gpt.config import GPTConfig, TrainConfig
from gpt.presets import DEFAULT_PRESET, PRESETS, TOKENIZERS

TRAIN_EXAMPLES = """examples:
  gpt train                                   tiny Shakespeare, a minute or two
  gpt train my.txt --minutes 10               the best model that ten minutes are known to give
  gpt train my.txt notes/ --out runs/mine     your own files and folders
  gpt train src --include '*.py'              the Python files of a folder
  gpt train sample --preset baby --steps 200  the play that ships with the package
  cat *.md | gpt train - --name notes         standard input
  gpt train --preset hello --verbose          the smallest model, every window of its text
  gpt train --resume runs/mine                go on where a run stopped
  gpt train my.txt --from runs/gpt2           begin with the weights of another run
"""


def add_train(commands: Any, chosen: str) -> None:
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

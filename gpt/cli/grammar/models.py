"""Commands about models and tokenizers of here and elsewhere"""

from typing import Any

from gpt.cli.parser import command

INFO_EXAMPLES = """examples:
  gpt info gpt2-xl
  gpt info runs/shakespeare --json
"""

PLAN_EXAMPLES = """examples:
  gpt plan shakespeare --nodes 8 --network 1Gbit --batch-size 64
  gpt plan runs/mine --nodes 4 --network 10Gbit
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


def add_info(commands: Any) -> None:
    about = "parameters, computation and memory of a model, without building it"
    parser = command(commands, "info", about, INFO_EXAMPLES)
    parser.add_argument("model", metavar="PRESET|RUN", help="a preset's name or a run's folder")
    parser.add_argument(
        "--vocab-size", type=int, metavar="N", help="of a preset (default: what its text gives)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_plan(commands: Any) -> None:
    about = "what training on several machines would take, from the speed of this one"
    parser = command(commands, "plan", about, PLAN_EXAMPLES)
    parser.add_argument("model", metavar="PRESET|RUN", help="a preset's name or a run's folder")
    parser.add_argument(
        "--nodes", type=int, default=4, metavar="N", help="machines, at most (default: 4)"
    )
    parser.add_argument(
        "--network", default="10Gbit", metavar="RATE", help="of a link: 10Gbit (default), 100Mbit"
    )
    parser.add_argument(
        "--latency",
        type=float,
        default=50.0,
        metavar="US",
        help="of a message, µs (default: 50)",
    )
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help="windows in a step, of all nodes together"
    )
    parser.add_argument(
        "--reduce", choices=("float32", "bfloat16"), help="how gradients travel (default: float32)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_tokenize(commands: Any) -> None:
    parser = command(commands, "tokenize", "show the tokens of a text", TOKENIZE_EXAMPLES)
    parser.add_argument(
        "tokenizer", metavar="RUN|NAME", help="a run's folder, gpt2, or tokenizer files"
    )
    parser.add_argument("text", metavar="TEXT", help="what is cut into tokens")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_import(commands: Any) -> None:
    about = "make a run of a GPT-2 checkpoint in the format of Hugging Face"
    parser = command(commands, "import", about, IMPORT_EXAMPLES)
    parser.add_argument(
        "model", metavar="FOLDER|HUB-ID", help="a folder, or OWNER/NAME to be downloaded"
    )
    parser.add_argument("--out", metavar="RUN", help="the run's folder (default: runs/NAME)")
    parser.add_argument("--force", action="store_true", help="replace the run that --out holds")


def add_export(commands: Any) -> None:
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

"""Commands that write with a model, or look inside"""

from typing import Any

from gpt.cli.options import PRECISIONS, add_sampling, add_view, add_writing
from gpt.cli.parser import command

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


def add_generate(commands: Any) -> None:
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
        "--why",
        action="store_true",
        help="show how likely the model holds each token, and what"
        " else (before --temperature, --top-k and --top-p)",
    )
    group.add_argument(
        "--json", action="store_true", help="print one JSON object: texts, tokens, alternatives"
    )
    add_sampling(parser)
    group = parser.add_argument_group("computation")
    group.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of matrix products, and of the weights as they are stored (default: the run's)",
    )
    group.add_argument(
        "--no-cache", action="store_true", help="compute keys and values anew for each token"
    )


def add_explain(commands: Any) -> None:
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


def add_ask(commands: Any) -> None:
    about = "ask for prompts, and show how each becomes a next token"
    parser = command(commands, "ask", about, ASK_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    add_view(parser)
    add_writing(parser, 60)


def add_chat(commands: Any) -> None:
    about = "write a text together with a model, line by line"
    parser = command(commands, "chat", about, CHAT_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    add_writing(parser, 200)


def add_serve(commands: Any) -> None:
    about = "look inside in a browser, on this machine: every number, live"
    parser = command(commands, "serve", about, SERVE_EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the run's folder; its neighbours are there too")
    parser.add_argument("--prompt", help="the text that is read first (default: one that fits)")
    parser.add_argument(
        "--port", type=int, default=8000, help="of the page, 0 for any that is free (default: 8000)"
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")

"""gpt serve"""

import contextlib
import socket
import webbrowser
from argparse import Namespace

from gpt.cli.common import announce_compilation
from gpt.cli.console import say
from gpt.errors import require
from gpt.text.tokenizers import Tokenizer
from gpt.training.run import Run

HOST = "127.0.0.1"


def serve_command(args: Namespace) -> None:
    import uvicorn

    from gpt.inside.server import Reader, application

    run = Run.open(args.run)
    home = run.folder.resolve()
    runs = {p.parent.name: p.parent for p in sorted(home.parent.glob("*/config.json"))}
    name = home.name
    reader = Reader({name: home, **runs})
    _, tokenizer = reader.model(name)
    prompt = args.prompt or _first_prompt(tokenizer)
    announce_compilation()
    reader.read({"run": name, "prompt": prompt})  # a mistake shows before the page does
    with listening(args.port) as connection:
        port = connection.getsockname()[1]
        page = f"http://{HOST}:{port}/"
        config = uvicorn.Config(
            application(reader, name, prompt, port),
            log_level="warning",
            timeout_graceful_shutdown=1,  # seconds for who is half through a question
        )
        say(f"{page} shows {args.run}; only this machine can open it; Ctrl-C ends it")
        if args.open:
            webbrowser.open(page)
        server = uvicorn.Server(config)
        with contextlib.suppress(KeyboardInterrupt):  # the server has stopped by then
            server.run(sockets=[connection])
    say("stopped")


def listening(port: int) -> socket.socket:
    """A socket that listens on this machine alone"""
    require(
        0 <= port <= 65535,
        "serve: a port is a number from 0, any that is free, to 65535.",
        f"--port {port}",
        "--port 8000",
    )
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        connection.bind((HOST, port))
        connection.listen()  # who opens the page at once waits for the server
    except OSError as error:
        connection.close()
        raise OSError(
            "serve: the port must be free, and allowed.\n"
            f"  got --port {port}: {error.strerror}\n"
            "  try --port 0, which takes a free one"
        ) from error
    return connection


def _first_prompt(tokenizer: Tokenizer) -> str:
    """A beginning that the model can read"""
    for text in ("To be, or not to be", "the river was high", "hell"):
        with contextlib.suppress(ValueError):
            if len(ids := tokenizer.encode(text)) and (tokenizer.kind != "words" or ids.all()):
                return text
    return tokenizer.decode(range(min(8, tokenizer.vocab_size)))

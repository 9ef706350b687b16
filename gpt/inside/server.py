"""The live page, on this machine alone: `gpt serve`.

A browser on the same machine may ask for the page and for forward passes; nothing that it sends
names a file. Requests under another host's name, or from another site's page, are refused (so a
foreign page cannot reach the server by a rebound name); texts are bounded; one pass is computed at
a time, few wait, others are asked to come again.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gpt.inside.forward import record_pass
from gpt.inside.page import page_data, page_of
from gpt.model import GPT
from gpt.plain_json import dumps
from gpt.text.tokenizers import Tokenizer
from gpt.training.run import load

MOST_BYTES = 100_000  # of a request
MOST_CHARACTERS = 2000  # of a prompt
MOST_IDS = 2000  # of a text that goes on; the page sends the last of them
MOST_SEEN = 256  # tokens that a pass reads: every T x T matrix of it is kept
MOST_WAITING = 4
MOST_MODELS = 3  # kept in memory
PATIENCE = 10  # seconds in which a question must have arrived

HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
           "Cache-Control": "no-store"}  # fmt: skip


class Reader:
    """Forward passes of the runs that it was given, by name."""

    def __init__(self, runs: Mapping[str, Path]):
        self.runs = dict(runs)
        # With what the run's files were when it was loaded
        self.models: OrderedDict[str, tuple[list, tuple[GPT, Tokenizer]]] = OrderedDict()

    def model(self, name: str) -> tuple[GPT, Tokenizer]:
        """Loaded anew where the run's files have changed, as those of one that is trained do"""
        files = _state_of(self.runs[name])
        if name not in self.models or self.models[name][0] != files:
            self.models.pop(name, None)
            self.models[name] = files, load(self.runs[name])
            if len(self.models) > MOST_MODELS:
                self.models.popitem(last=False)
        self.models.move_to_end(name)
        return self.models[name][1]

    def read(self, question: Any) -> dict:
        """What the page shows for {"run": name, "prompt": text} or {"run": name, "tokens": ids}:
        page_data of the last tokens with the run, the text and all of its ids; ValueError in words
        for anything else"""
        question = question if isinstance(question, dict) else {}
        name, prompt, tokens = (question.get(key) for key in ("run", "prompt", "tokens"))
        if not isinstance(name, str) or name not in self.runs:
            raise ValueError(f"serve: there are runs named {', '.join(self.runs)}")
        model, tokenizer = self.model(name)
        if tokens is not None:
            ids = _ids(tokens, model.config.vocab_size)
        elif isinstance(prompt, str) and len(prompt) <= MOST_CHARACTERS:
            ids = tokenizer.encode(prompt)
        else:
            raise ValueError(f"serve: a prompt is a text of at most {MOST_CHARACTERS} characters")
        if len(ids) == 0:
            raise ValueError("serve: the prompt must hold at least one token")
        seen = ids[-min(MOST_SEEN, model.config.block_size) :]
        text = tokenizer.decode(ids[ids < tokenizer.vocab_size])
        found = page_data(record_pass(model, seen), model, tokenizer, text)
        return {"run": name, "ids": ids.tolist(), **found}


def _state_of(folder: Path) -> list:
    """What changes when a run's files are replaced"""
    files = [folder / name for name in ("config.json", "tokenizer.json", "model.safetensors")]
    known = (file.stat() for file in files if file.exists())
    return [(s.st_ino, s.st_mtime_ns, s.st_size) for s in known]


def _ids(tokens: Any, vocab_size: int) -> np.ndarray:
    fits = isinstance(tokens, list) and len(tokens) <= MOST_IDS
    if not fits or not all(type(t) is int and 0 <= t < vocab_size for t in tokens):
        raise ValueError(f"serve: tokens are a list of numbers from 0 to {vocab_size - 1}")
    return np.array(tokens, np.int64)


def application(reader: Reader, run: str, prompt: str, port: int) -> Starlette:
    """The ASGI application of the page and its one question, for a server on `port`"""
    hosts = ("127.0.0.1", "localhost")
    names = {f"{host}:{port}" for host in hosts} | ({*hosts} if port == 80 else set())
    first = {"runs": list(reader.runs), "run": run, "prompt": prompt}
    page = page_of(first, "Look inside", live=True)
    turn, waiting = asyncio.Lock(), [0]

    def refused(request: Request) -> Response | None:
        origin = request.headers.get("origin")
        known = request.headers.get("host", "") in names
        if known and (origin is None or origin in {f"http://{name}" for name in names}):
            return None
        return _error("serve: only pages of this server, on this machine, are answered", 403)

    async def index(request: Request) -> Response:
        return refused(request) or HTMLResponse(page, headers=HEADERS)

    async def read(request: Request) -> Response:
        if (no := refused(request)) is not None:
            return no
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _error("serve: a question is JSON", 415)
        try:
            async with asyncio.timeout(PATIENCE):
                body = await _body(request)
        except TimeoutError:
            return _error(f"serve: a question arrives within {PATIENCE} seconds", 408)
        if body is None:
            return _error(f"serve: a question has at most {MOST_BYTES} bytes", 413)
        if waiting[0] > MOST_WAITING:
            return _error("serve: others are waiting already; try again in a moment", 503)
        waiting[0] += 1
        try:
            async with turn:
                answer = await run_in_threadpool(_answer, reader, body)
        finally:
            waiting[0] -= 1
        return answer

    return Starlette(routes=[Route("/", index), Route("/read", read, methods=["POST"])])


def _answer(reader: Reader, body: bytes) -> Response:
    try:
        return _json(reader.read(json.loads(body)), 200)
    except (ValueError, OSError, RecursionError) as error:
        return _error(str(error), 400)


def _error(text: str, status: int) -> Response:
    return _json({"error": text}, status)


def _json(data: dict, status: int) -> Response:
    """In ASCII: names of folders, for one, need not be valid Unicode"""
    return Response(dumps(data), status, media_type="application/json", headers=HEADERS)


async def _body(request: Request) -> bytes | None:
    """What was sent; None if that is too much"""
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > MOST_BYTES:
                return None
            parts.append(part)
    except ClientDisconnect:
        return None
    return b"".join(parts)

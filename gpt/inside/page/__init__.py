"""One self-contained web page of a forward pass: no network, no other files.

`page_data` holds what the page shows, `page_of` puts it into the page. Text of the prompt and the
vocabulary travels as JSON and is only ever shown as text.
"""

import base64
from importlib import resources
from typing import Any

import numpy as np

from gpt.inside.forward import ForwardPass
from gpt.inside.labels import labels
from gpt.inside.predictions import likeliest, logit_lens
from gpt.inside.stages import Stage, after_layers, before_layers, of_layer
from gpt.mark import MARK
from gpt.model import GPT
from gpt.plain_json import dumps
from gpt.text.tokenizers import Tokenizer

BEGINNING = b"<!doctype html>"  # of every page that is written
SHOWN = 64  # tokens: of more, the last
PART = 64  # numbers of a row (T, C) that the page holds
LABELLED = 400  # likeliest tokens of which it knows the text
LARGE = 400_000  # numbers above which queries, keys, values and weights travel in half precision


def page_data(forward: ForwardPass, model: GPT, tokenizer: Tokenizer, prompt: str) -> dict:
    """All that the page shows of a pass, ready for JSON; of its tokens the last, SHOWN at most.

    prompt   the text that its tokens stand for
    """
    c = forward.config
    shown = slice(max(0, len(forward.tokens) - SHOWN), None)
    inside = [forward.layer(i) for i in range(1, c.n_layer + 1)]
    places = {"q": "query", "k": "key", "value": "value", "weights": "weights"}
    attention = {  # q and k as they are compared: where nothing is done to them, as they come
        name: np.stack([part.get(name, part[place])[:, shown] for part in inside])
        for name, place in places.items()
    }
    attention["weights"] = attention["weights"][..., shown]
    logits = forward["logits"][-1].astype(np.float32)
    best = [i for i, _ in likeliest(forward["probabilities"][-1], LABELLED)]
    return {
        "prompt": prompt,
        "seen": len(forward.tokens),
        "tokens": forward.tokens[shown].tolist(),
        "labels": labels(tokenizer, forward.tokens[shown]),
        "config": {"layers": c.n_layer, "heads": c.n_head, "channels": c.n_embd,
                   "head_size": c.n_embd // c.n_head, "hidden": c.d_ff, "vocabulary": c.vocab_size,
                   "block": c.block_size},
        "attention": {name: _packed(a) for name, a in attention.items()},
        "rows": {s.name: _packed(forward[s.name][shown, :PART]) for s in before_layers(c)},
        "layer_rows": {
            s.name: _packed(np.stack([part[s.name][shown, :PART] for part in inside]))
            for s in of_layer(c) if s.shape in ("T, C", "T, F")
        },
        "lens": _lens(logit_lens(model, forward, shown), tokenizer),
        "logits": _packed(logits, exact=True),
        "best": best,
        "best_labels": labels(tokenizer, best),
        "stages": {"before": [_told(s) for s in before_layers(c)],
                   "layer": [_told(s) for s in of_layer(c)],
                   "after": [_told(s) for s in after_layers(c)]},
    }  # fmt: skip


def page_of(data: dict | None, title: str, live: bool = False) -> str:
    """The page as a text. live: with a form that asks the server it came from"""
    files = resources.files("gpt") / "inside" / "page"
    page = (files / "index.html").read_text("utf-8")
    parts = {
        "STYLE": (files / "style.css").read_text("utf-8"),
        "SCRIPT": (files / "view.js").read_text("utf-8"),
        "DATA": as_script(data),
        "TITLE": as_html(title),
        "CONNECT": "'self'" if live else "'none'",
        "LIVE": "live" if live else "still",
        "MARK": MARK,
    }
    # Placeholders stand in the template alone: what is put in is not searched for others
    pieces = page.split("%%")
    return "".join(parts[p] if i % 2 else p for i, p in enumerate(pieces))


def as_script(data: Any) -> str:
    """JSON that can stand in a <script>: nothing in it ends the element, or begins a comment"""
    text = dumps(data, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def as_html(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace('"', "&quot;").replace("'", "&#39;")


def _packed(array: np.ndarray, exact: bool = False) -> dict:
    """Little-endian numbers in base64; float16 where there are many and it can hold them"""
    finite = np.abs(array).max(initial=0) < 6e4
    kind = "f2" if array.size > LARGE and finite and not exact else "f4"
    data = np.ascontiguousarray(array, f"<{kind}").tobytes()
    return {"kind": kind, "shape": list(array.shape), "data": base64.b64encode(data).decode()}


def _lens(probabilities: np.ndarray, tokenizer: Tokenizer) -> list:
    """For each layer and token the five likeliest: [[text, probability], ...]"""
    return [
        [
            [
                [label, round(p, 4)]
                for label, (_, p) in zip(labels(tokenizer, [i for i, _ in best]), best, strict=True)
            ]
            for best in (likeliest(p, 5) for p in layer)
        ]
        for layer in probabilities
    ]


def _told(stage: Stage) -> dict:
    return {"name": stage.name, "title": stage.title, "shape": stage.shape, "about": stage.about,
            "lines": list(stage.lines)}  # fmt: skip

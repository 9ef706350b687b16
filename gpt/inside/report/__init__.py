"""One self-contained web page of a whole run: its losses, samples and attention through time."""

import dataclasses
from importlib import resources
from typing import Any

import numpy as np

from gpt.inside.history import History, read_history, thinned
from gpt.inside.page import as_html, as_script
from gpt.inside.probes import read_probes
from gpt.mark import MARK
from gpt.training.run import Run

MOST = 800  # points of a curve


def report_of(run: Run) -> str:
    """The page as a text, of what the run's folder holds"""
    setup = run.read_setup()
    model, config, tokenizer = setup.model, setup.train, setup.tokenizer
    history = read_history(run.log)
    header, probes = read_probes(run.probes)
    header["steps"] = config.steps
    name = str(header.get("name") or run.folder.resolve().name)
    data = {
        "header": header,
        "probes": probes,
        "history": _curves(history),
        "tables": {
            "model": dataclasses.asdict(model) | {"tokenizer": tokenizer.kind},
            "training": dataclasses.asdict(config) | {"corpus": ", ".join(setup.corpus)},
        },
    }
    files = resources.files("gpt") / "inside" / "report"
    parts = {
        "MARK": MARK,
        "STYLE": (resources.files("gpt") / "inside" / "page" / "style.css").read_text("utf-8"),
        "SCRIPT": (files / "report.js").read_text("utf-8"),
        "DATA": as_script(data),
        "TITLE": as_html(f"Run {name}"),
    }
    pieces = (files / "report.html").read_text("utf-8").split("%%")
    return "".join(parts[p] if i % 2 else p for i, p in enumerate(pieces))


def _curves(history: History) -> dict[str, Any]:
    at = thinned(len(history.step), MOST)

    def rounded(values: np.ndarray) -> list[float]:
        return [float(f"{v:.5g}") for v in values[at].tolist()]

    return {
        "step": history.step[at].tolist(),
        "loss": rounded(history.loss),
        "smooth": rounded(history.smooth),
        "seconds": rounded(history.seconds),
        "lr": rounded(history.lr),
        "grad_norm": rounded(history.grad_norm),
        "speed": rounded(history.speed),
        "evaluations": history.evaluations,
        "best": history.best,
    }

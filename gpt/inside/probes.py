"""What is kept of each evaluation, a few KB: what the model writes, expects, and looks at.

A run's probes.jsonl begins with a header (the fixed line of text, losses of counts to compare with,
the machine), then holds one object for each evaluation.
"""

import base64
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

from gpt.config import GPTConfig
from gpt.inside.forward import record_pass
from gpt.inside.labels import labels
from gpt.inside.predictions import likeliest
from gpt.model import GPT
from gpt.text.tokenizers import Tokenizer
from gpt.text.tokens import TokenIds
from gpt.training.log import read_records
from tinygrad_lite import get_num_threads

LINE = 12  # tokens of the line that is looked at
HEADER = {"name", "line", "layers", "levels", "machine"}
PROBED = {"step", "val_loss", "sample", "next", "attention"}
MOST_HEADS = 32  # whose attention is kept: of more, those of the first and the last layer


class Probe:
    """The same look at a model, again and again: at the first tokens of the validation split"""

    def __init__(self, config: GPTConfig, tokenizer: Tokenizer, validation: TokenIds):
        self.tokenizer = tokenizer
        self.line = validation[: min(LINE, config.block_size, len(validation))]
        all_layers = config.n_layer * config.n_head <= MOST_HEADS
        self.layers = list(range(1, config.n_layer + 1)) if all_layers else [1, config.n_layer]

    def header(self, name: str, levels: dict[str, float]) -> dict[str, Any]:
        """levels: see gpt.text.counts"""
        return {
            "name": name,
            "line": labels(self.tokenizer, self.line),
            "joined": "" if self.tokenizer.kind != "words" else " ",
            "layers": self.layers,
            "levels": levels,
            "machine": machine(),
        }

    def measure(self, model: GPT, step: int, val_loss: float, sample: str) -> dict[str, Any]:
        """What there is to see after `step` steps"""
        forward = record_pass(model, self.line)
        chosen = likeliest(forward["probabilities"][-1], 8)
        names = labels(self.tokenizer, [i for i, _ in chosen])
        weights = np.stack([forward[f"layer_{i}.weights"] for i in self.layers])
        shares = np.round(255 * weights).astype(np.uint8)
        return {
            "step": step,
            "val_loss": val_loss,
            "sample": sample,
            "next": [[name, round(p, 4)] for name, (_, p) in zip(names, chosen, strict=True)],
            "attention": {
                "shape": list(shares.shape),
                "data": base64.b64encode(shares.tobytes()).decode(),
            },
        }


def read_probes(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The header of a probes.jsonl and what follows it; both empty where there is no header"""
    records = read_records(path)
    header = next((r for r in records if set(r) >= HEADER and _are_losses(r["levels"])), {})
    return header, [r for r in records if header and set(r) >= PROBED]


def _are_losses(levels: Any) -> bool:
    return isinstance(levels, dict) and all(isinstance(v, int | float) for v in levels.values())


def machine() -> str:
    """The processor and what runs on it, in a line"""
    import numba

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        named = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = named[0].partition(":")[2].strip() if named else model
    threads = f"{get_num_threads()} of {os.cpu_count()} cores"
    python = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return f"{model}, {threads}; {python}, Numba {numba.__version__}"

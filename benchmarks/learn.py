"""How well a text is learned in some minutes: ours, by `gpt train --minutes`, beside nanoGPT's
smallest model and numbers in PyTorch, for the same time on the same cores; and what counting and
compressing reach.

The loss is that of the whole validation split, in bits per character, start-up included.
"""

import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from benchmarks.ngrams import kneser_ney_loss, xz_loss
from gpt.config import GPTConfig
from gpt.model import GPT
from gpt.presets import PRESETS
from gpt.text.tokenizers import CharTokenizer
from gpt.training.evaluate import bits
from gpt.training.setup import Setup

matplotlib.use("agg")
POINTS = 10  # evaluations in a run
ORDER = 5  # tokens that are counted together
Curve = list[tuple[float, float]]  # seconds since the start of the process, nats


def ours(text: Path, minutes: float, *options: str) -> tuple[Curve, str]:
    """`gpt train TEXT --minutes M`, in a process of its own: its losses, and what it trained"""
    with tempfile.TemporaryDirectory() as folder:
        out, start = Path(folder) / "run", time.monotonic()
        command = ["train", str(text), "--minutes", f"{minutes}", "--out", str(out), *options]
        subprocess.run([sys.executable, "-m", "gpt", *command], check=True, capture_output=True)
        end = time.monotonic() - start
        records = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        chosen = Setup.read(out)
        told = subprocess.run(
            [sys.executable, "-m", "gpt", "eval", str(out), "--json"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    steps = sum(r["ms"] for r in records if "ms" in r)
    curve, spent = [], end - steps / 1000
    for record in records:
        spent += record.get("ms", 0) / 1000
        if "val_loss" in record:
            curve.append((spent, record["val_loss"]))
    model, train = chosen.model, chosen.train
    trained = f"{model.n_layer} x {model.n_embd}, {records[-1]['step']:,} steps of"
    trained += f" {train.batch_size} x {model.block_size} tokens, dropout {model.dropout:g}"
    return [*curve[:-1], (end, json.loads(told.stdout)["val_loss"])], trained


def nanogpt(text: Path, minutes: float, threads: int) -> Curve:
    """nanoGPT's config for Shakespeare on a CPU, from its README: 4 layers, 4 heads, 128 wide,
    block 64, batch 12, AdamW with a cosine from 1e-3 to 1e-4, here to the end of the time"""
    start = time.monotonic()
    import torch

    from benchmarks.torch_gpt import TorchGPT

    torch.set_num_threads(threads)
    train = PRESETS["baby"].train
    training, validation, vocab = _split(text)
    model = GPT(GPTConfig(vocab_size=vocab, **PRESETS["baby"].model), seed=1337)
    size, batch = model.config.block_size, train["batch_size"]
    other = TorchGPT(model)
    adamw = torch.optim.AdamW(
        other.parameters(), betas=(train["beta1"], train["beta2"]), weight_decay=0.1, fused=True
    )
    rng, end, curve = np.random.default_rng(1337), start + 60 * minutes, Curve()
    count, began, spent = 0, time.monotonic(), 0.0

    def evaluate() -> float:
        total, starts = 0.0, np.arange(0, len(validation) - 1 - size, size)
        with torch.no_grad():
            for some in np.array_split(starts, max(1, len(starts) // 64)):
                window = some[:, None] + np.arange(size)
                tokens, targets = torch.tensor(validation[window]), validation[window + 1]
                total += other.loss(tokens, torch.tensor(targets)).item() * len(some)
        return total / len(starts)

    while (left := end - time.monotonic() - spent) > 0:  # one more evaluation fits
        share = 1 - left / (end - began - spent)
        warm = min(1.0, (count + 1) / (train["warmup"] + 1))
        for group in adamw.param_groups:
            group["lr"] = warm * train["lr"] * (0.55 + 0.45 * math.cos(math.pi * share))
        starts = rng.integers(0, len(training) - size, batch)
        window = starts[:, None] + np.arange(size)
        loss = other.loss(torch.tensor(training[window]), torch.tensor(training[window + 1]))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
        adamw.step()
        adamw.zero_grad(set_to_none=True)
        count += 1
        if share * POINTS > len(curve) + 1:
            before = time.monotonic()
            curve.append((before - start, evaluate()))
            spent = time.monotonic() - before
    found = evaluate()
    return [*curve, (time.monotonic() - start, found)]


def _split(text: Path) -> tuple[np.ndarray, np.ndarray, int]:
    whole = text.read_text("utf-8")
    tokenizer = CharTokenizer(whole)
    ids = tokenizer.encode(whole)
    cut = int(0.9 * len(ids))
    return ids[:cut], ids[cut - 1 :], tokenizer.vocab_size


def levels(text: Path) -> dict[str, float]:
    """Losses in nats of what needs no training"""
    training, validation, vocab = _split(text)
    whole = text.read_text("utf-8")
    return {
        f"{ORDER}-grams, Kneser-Ney": kneser_ney_loss(training, validation, vocab, ORDER),
        "xz": xz_loss(whole[: len(training)], whole[len(training) :]),
    }


def race(text: Path, minutes: list[float], threads: int, peers: list[str]) -> dict[str, Any]:
    """All contenders, one after the other, for each of the times"""
    found: dict[str, Any] = {"text": text.name, "levels": levels(text), "runs": []}
    for name, nats in found["levels"].items():
        print(f"learn   {text.name}: {name} {nats:.4f} nats, {bits(nats):.3f} bits per character")
    for m in minutes:
        curves = {"ours": ours(text, m, "--threads", str(threads))[0]}
        if "torch" in peers:
            curves["nanoGPT in PyTorch"] = nanogpt(text, m, threads)
        for name, curve in curves.items():
            seconds, nats = curve[-1]
            told = f"{name} {nats:.4f} nats, {bits(nats):.3f} bits per character"
            print(f"learn   {text.name}, {m:g} minutes: {told} in {seconds:.1f} s", flush=True)
            found["runs"].append({"minutes": m, "contender": name, "curve": curve})
    return found


def draw(found: dict[str, Any], path: Path) -> None:
    """Bits per character over time, a line a run"""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    colours = {"ours": "tab:blue", "nanoGPT in PyTorch": "tab:orange"}
    for i, run in enumerate(found["runs"]):
        seconds, nats = np.array(run["curve"]).T
        label = run["contender"] if i < len(colours) else None
        colour = colours[run["contender"]]
        axes.plot(seconds, nats / math.log(2), color=colour, alpha=0.6, label=label)
        axes.plot(seconds[-1], nats[-1] / math.log(2), "o", color=colour)
    for name, nats in found["levels"].items():
        axes.axhline(bits(nats), color="grey", linestyle=":", linewidth=1)
        axes.annotate(name, (1, bits(nats)), xycoords=("axes fraction", "data"), ha="right",
                      va="bottom", color="grey")  # fmt: skip
    axes.set(xscale="log", xlabel="seconds since the start of the process",
             ylabel="bits per character, validation", title=found["text"])  # fmt: skip
    axes.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)

"""A character LSTM that learns to write like the play that ships with the package."""

import importlib.resources
from typing import Any

import numpy as np

import tinygrad_lite as tg
from tinygrad_lite import Tensor, nn, optim
from tinygrad_lite.examples.command import curve, recorded, run

BATCH, TIME, HIDDEN, LR = 16, 48, 128, 4e-3


class Model(nn.Module):
    def __init__(self, vocabulary: int, rng: np.random.Generator):
        self.embedding = nn.Embedding(vocabulary, 32, rng=rng)
        self.lstm = nn.LSTM(32, HIDDEN, rng=rng)
        self.head = nn.Linear(HIDDEN, vocabulary, rng=rng)

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Logits (T, B, V) and the state after tokens (T, B)"""
        y, state = self.lstm(self.embedding(tokens), state)
        return self.head(y), state


def train(steps: int = 600, seed: int = 0, jit: bool = True) -> dict[str, Any]:
    """loss: the mean of the last steps, in nats a character; and a text that the model writes"""
    rng = np.random.default_rng(seed)
    text = (importlib.resources.files("gpt") / "data" / "sample.txt").read_text("utf-8")
    characters = sorted(set(text))
    tokens = np.array([characters.index(c) for c in text])
    model = Model(len(characters), rng)
    adamw = optim.AdamW(model.parameters(), lr=LR)
    factor = optim.warmup_cosine(steps, steps // 20)

    def step(x: Tensor, y: Tensor) -> Tensor:
        loss = tg.cross_entropy(model(x)[0], y)
        adamw.zero_grad()
        loss.backward()
        optim.clip_grad_norm(adamw.params, 1.0)
        adamw.step()
        return loss

    step = recorded(step, jit)
    losses: list[float] = []
    for number in range(steps):
        adamw.lr = LR * factor(number)
        starts = rng.integers(0, len(tokens) - TIME, BATCH)
        window = tokens[starts + np.arange(TIME + 1)[:, None]]
        losses.append(step(Tensor(window[:-1]), Tensor(window[1:])).item())
    written = write(model, characters.index("\n"), 300, rng)
    return {
        "loss": float(np.mean(losses[-50:])),
        "losses": losses,
        "text": "".join(characters[token] for token in written),
    }


def write(model: Model, token: int, count: int, rng: np.random.Generator) -> list[int]:
    """So many tokens after the first, each drawn from what the model expects"""
    state, written = None, []
    with tg.no_grad():
        for _ in range(count):
            logits, state = model(Tensor(np.array([[token]])), state)
            p = tg.softmax(logits[0, 0] / 0.8).numpy().astype(float)
            token = int(rng.choice(len(p), p=p / p.sum()))
            written.append(token)
    return written


def draw(figure: Any, result: dict[str, Any]) -> None:
    left, right = figure.subplots(1, 2)
    curve(left, result["losses"], "loss, nats a character")
    right.axis("off")
    right.text(0, 1, result["text"], va="top", family="monospace", fontsize=6)


if __name__ == "__main__":
    run(train, draw, "lstm")

"""A convolutional network that reads handwritten digits (LeCun and others 1989)."""

from typing import Any

import numpy as np

import tinygrad_lite as tg
from tinygrad_lite import Tensor, data, nn, optim
from tinygrad_lite.examples.command import curve, recorded, run

BATCH, LR = 64, 3e-3


def train(steps: int = 1200, seed: int = 0, jit: bool = True) -> dict[str, Any]:
    """accuracy on 360 digits that were kept for testing"""
    rng = np.random.default_rng(seed)
    (x, y), (x_test, y_test) = data.split(data.digits(), 0.2, 0)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, bias=False, rng=rng), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1, bias=False, rng=rng), nn.BatchNorm2d(32), nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1, bias=False, rng=rng), nn.BatchNorm2d(64), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3, rng=rng), nn.Linear(256, 10, rng=rng),
    )  # fmt: skip
    adamw = optim.AdamW(model.parameters(), lr=LR, weight_decay=0.05)
    factor = optim.warmup_cosine(steps, steps // 20, 0.01)

    def step(x: Tensor, y: Tensor) -> Tensor:
        loss = tg.cross_entropy(model(x), y, label_smoothing=0.05)
        adamw.zero_grad()
        loss.backward()
        adamw.step()
        return loss

    step = recorded(step, jit)
    losses: list[float] = []
    while len(losses) < steps:
        for images, labels in data.batches([x, y], BATCH, seed=rng, drop_last=True):
            adamw.lr = LR * factor(len(losses))
            losses.append(step(Tensor(moved(images.numpy(), rng)), labels).item())
            if len(losses) == steps:
                break
    with tg.no_grad():
        guesses = model.eval()(Tensor(x_test)).argmax(-1).numpy()
    accuracy = float((guesses == y_test).mean())
    filters = model[0].weight.numpy()[:, 0].copy()
    return {"accuracy": accuracy, "loss": losses[-1], "losses": losses, "filters": filters}


def moved(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image moved by up to a pixel, so that the network learns what does not matter"""
    padded = np.pad(images, [(0, 0), (0, 0), (1, 1), (1, 1)])
    down, right = rng.integers(0, 3, (2, len(images)))
    rows = (down[:, None] + np.arange(8))[:, :, None]
    columns = (right[:, None] + np.arange(8))[:, None]
    return padded[np.arange(len(images))[:, None, None], 0, rows, columns][:, None]


def draw(figure: Any, result: dict[str, Any]) -> None:
    left, right = figure.subfigures(1, 2)
    curve(left.subplots(), result["losses"])
    right.suptitle(f"{result['accuracy']:.1%} right; its first filters")
    for axes, filter_ in zip(right.subplots(4, 8).flat, result["filters"], strict=True):
        axes.imshow(filter_, cmap="RdBu")
        axes.axis("off")


if __name__ == "__main__":
    run(train, draw, "cnn")

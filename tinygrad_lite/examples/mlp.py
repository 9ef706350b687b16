"""A multilayer perceptron that reads handwritten digits."""

from typing import Any

import numpy as np

import tinygrad_lite as tg
from tinygrad_lite import Tensor, data, nn, optim
from tinygrad_lite.examples.command import curve, recorded, run

BATCH = 64


def train(steps: int = 1000, seed: int = 0, jit: bool = True) -> dict[str, Any]:
    """accuracy on 360 digits that were kept for testing"""
    rng = np.random.default_rng(seed)
    images, labels = data.digits()
    (x, y), (x_test, y_test) = data.split([images.reshape(-1, 64), labels], 0.2, 0)
    model = nn.Sequential(
        nn.Linear(64, 128, rng=rng), nn.ReLU(), nn.Dropout(0.2, rng=rng),
        nn.Linear(128, 64, rng=rng), nn.ReLU(), nn.Linear(64, 10, rng=rng),
    )  # fmt: skip
    adamw = optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    factor = optim.warmup_cosine(steps, steps // 20)

    def step(x: Tensor, y: Tensor) -> Tensor:
        loss = tg.cross_entropy(model(x), y)
        adamw.zero_grad()
        loss.backward()
        adamw.step()
        return loss

    step = recorded(step, jit)
    losses: list[float] = []
    while len(losses) < steps:
        for batch in data.batches([x, y], BATCH, seed=rng, drop_last=True):
            adamw.lr = 2e-3 * factor(len(losses))
            losses.append(step(*batch).item())
            if len(losses) == steps:
                break
    with tg.no_grad():
        guesses = model.eval()(Tensor(x_test)).argmax(-1).numpy()
    accuracy = float((guesses == y_test).mean())
    wrong = x_test[guesses != y_test], y_test[guesses != y_test], guesses[guesses != y_test]
    return {"accuracy": accuracy, "loss": losses[-1], "losses": losses, "wrong": wrong}


def draw(figure: Any, result: dict[str, Any]) -> None:
    left, right = figure.subfigures(1, 2)
    curve(left.subplots(), result["losses"])
    right.suptitle(f"{result['accuracy']:.1%} right; some of the others")
    grid = right.subplots(2, 3)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, label, guess in zip(grid.flat, *result["wrong"], strict=False):
        axes.imshow(image.reshape(8, 8), cmap="gray_r")
        axes.set_title(f"{label}, not {guess}", fontsize=8)


if __name__ == "__main__":
    run(train, draw, "mlp")

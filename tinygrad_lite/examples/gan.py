"""Two networks that play against each other, on eight blobs on a circle (Goodfellow and others
2014; with the gradient penalty R1 of Mescheder and others 2018, a derivative of a derivative)."""

from typing import Any

import numpy as np

import tinygrad_lite as tg
from tinygrad_lite import Tensor, nn, optim
from tinygrad_lite.examples.command import curve, recorded, run

BATCH, HIDDEN, NOISE, WIDTH, PENALTY, LR = 256, 128, 8, 0.1, 0.1, 1e-3
ANGLES = 2 * np.pi * np.arange(8) / 8
CENTRES = 2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1)


def network(inputs: int, outputs: int, rng: np.random.Generator) -> nn.Module:
    return nn.Sequential(
        nn.Linear(inputs, HIDDEN, rng=rng), nn.LeakyReLU(0.2),
        nn.Linear(HIDDEN, HIDDEN, rng=rng), nn.LeakyReLU(0.2),
        nn.Linear(HIDDEN, HIDDEN, rng=rng), nn.LeakyReLU(0.2),
        nn.Linear(HIDDEN, outputs, rng=rng),
    )  # fmt: skip


def train(steps: int = 3000, seed: int = 0, jit: bool = True) -> dict[str, Any]:
    """near: the share of points within three deviations of a blob; blobs: those that are found"""
    rng = np.random.default_rng(seed)
    generator, critic = network(NOISE, 2, rng), network(2, 1, rng)
    of_generator = optim.Adam(generator.parameters(), LR, (0.0, 0.9))
    of_critic = optim.Adam(critic.parameters(), LR, (0.0, 0.9))

    def step(real: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        with tg.no_grad():
            fake = generator(noise)
        with tg.create_graph():
            seen = Tensor(real, requires_grad=True)
            judged = critic(seen)
            (slope,) = tg.gradients(judged.sum(), [seen], create_graph=True)
            loss = tg.softplus(-judged).mean() + tg.softplus(critic(fake)).mean()
            loss = loss + slope.square().sum(1).mean() * (PENALTY / 2)
        of_critic.zero_grad()
        loss.backward()
        of_critic.step()
        played = tg.softplus(-critic(generator(noise))).mean()
        of_generator.zero_grad()
        played.backward()
        of_generator.step()
        of_critic.zero_grad()
        return loss, played

    step = recorded(step, jit)
    losses: list[list[float]] = []
    factor = optim.warmup_cosine(steps, 0, 0.05)
    for number in range(steps):
        of_generator.lr = of_critic.lr = LR * factor(number)
        noise = rng.standard_normal((BATCH, NOISE), np.float32)
        losses.append([part.item() for part in step(Tensor(sample(rng, BATCH)), Tensor(noise))])
    with tg.no_grad():
        many = Tensor(rng.standard_normal((2000, NOISE), np.float32))
        points = generator(many).numpy()
    distances = np.linalg.norm(points[:, None] - CENTRES, axis=2)
    near = distances.min(1) < 3 * WIDTH
    counts = np.bincount(distances.argmin(1)[near], minlength=8)
    return {
        "near": float(near.mean()), "blobs": int((counts > 50).sum()), "points": points,
        "losses": losses, "real": sample(rng, 2000), "loss": losses[-1][0],
    }  # fmt: skip


def sample(rng: np.random.Generator, count: int) -> np.ndarray:
    noise = WIDTH * rng.standard_normal((count, 2))
    return (CENTRES[rng.integers(0, 8, count)] + noise).astype(np.float32)


def draw(figure: Any, result: dict[str, Any]) -> None:
    left, right = figure.subplots(1, 2)
    curve(left, [a for a, _ in result["losses"]], "critic's loss")
    right.scatter(*result["real"].T, s=1, label="real")
    right.scatter(*result["points"].T, s=1, label="made up")
    right.legend()
    right.set_aspect("equal")


if __name__ == "__main__":
    run(train, draw, "gan")

"""A diffusion model in two dimensions: noise that becomes a spiral (Ho and others 2020,
arXiv:2006.11239)."""

from typing import Any

import numpy as np

import tinygrad_lite as tg
from tinygrad_lite import Tensor, nn, optim
from tinygrad_lite.examples.command import curve, recorded, run

BATCH, HIDDEN, LEVELS, LR = 256, 128, 50, 2e-3
BETAS = np.linspace(1e-3, 0.2, LEVELS)
KEPT = np.cumprod(1 - BETAS)  # share of the variance that is left of the data at each level


def features(level: np.ndarray) -> np.ndarray:
    """Waves of the level, from slow to fast"""
    angles = level[:, None] / LEVELS * np.pi * 2.0 ** np.arange(4)
    return np.concatenate([np.sin(angles), np.cos(angles)], 1)


def train(steps: int = 8000, seed: int = 0, jit: bool = True) -> dict[str, Any]:
    """distance: of points that the model makes to the nearest of 2,000 real ones, on average"""
    rng = np.random.default_rng(seed)
    network = nn.Sequential(
        nn.Linear(10, HIDDEN, rng=rng), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN, rng=rng), nn.SiLU(),
        nn.Linear(HIDDEN, HIDDEN, rng=rng), nn.SiLU(), nn.Linear(HIDDEN, 2, rng=rng),
    )  # fmt: skip
    adamw = optim.AdamW(network.parameters(), LR)
    ema = optim.ExponentialMovingAverage(network.parameters(), 0.99)
    factor = optim.warmup_cosine(steps, steps // 20, 0.02)

    def step(seen: Tensor, noise: Tensor) -> Tensor:
        loss = tg.mse_loss(network(seen), noise)
        adamw.zero_grad()
        loss.backward()
        adamw.step()
        ema.update()
        return loss

    step = recorded(step, jit)
    losses: list[float] = []
    for number in range(steps):
        adamw.lr = LR * factor(number)
        level = rng.integers(0, LEVELS, BATCH)
        noise = rng.standard_normal((BATCH, 2))
        kept = KEPT[level][:, None]
        noisy = np.sqrt(kept) * spiral(rng, BATCH) + np.sqrt(1 - kept) * noise
        seen = np.concatenate([noisy, features(level)], 1)
        losses.append(step(Tensor(seen.astype("f")), Tensor(noise.astype("f"))).item())
    real = spiral(rng, 2000)
    with ema.applied():
        points = made(network, rng, 1000)
    nearest = np.linalg.norm(points[:, None] - real, axis=2).min(1)
    return {"distance": float(nearest.mean()), "loss": float(np.mean(losses[-50:])),
            "losses": losses, "real": real, "points": points}  # fmt: skip


def made(network: nn.Module, rng: np.random.Generator, count: int) -> np.ndarray:
    """From noise, level by level, what is thought to be noise taken away"""
    x = rng.standard_normal((count, 2))
    for level in reversed(range(LEVELS)):
        seen = np.concatenate([x, features(np.full(count, level))], 1)
        with tg.no_grad():
            noise = network(Tensor(seen.astype("f"))).numpy()
        x = (x - BETAS[level] / np.sqrt(1 - KEPT[level]) * noise) / np.sqrt(1 - BETAS[level])
        if level:
            x = x + np.sqrt(BETAS[level]) * rng.standard_normal(x.shape)
    return x


def spiral(rng: np.random.Generator, count: int) -> np.ndarray:
    angle = 3 * np.pi * np.sqrt(rng.random(count))
    points = np.stack([np.cos(angle), np.sin(angle)], 1) * angle[:, None] / (2 * np.pi)
    return points + 0.02 * rng.standard_normal((count, 2))


def draw(figure: Any, result: dict[str, Any]) -> None:
    left, right = figure.subplots(1, 2)
    curve(left, result["losses"])
    right.scatter(*result["real"].T, s=1, label="real")
    right.scatter(*result["points"].T, s=1, label="made of noise")
    right.legend()
    right.set_aspect("equal")


if __name__ == "__main__":
    run(train, draw, "diffusion")

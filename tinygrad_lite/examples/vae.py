"""A variational autoencoder that draws digits (Kingma, Welling 2013, arXiv:1312.6114)."""

from typing import Any

import numpy as np

import tinygrad_lite as tg
from tinygrad_lite import Tensor, data, nn, optim
from tinygrad_lite.examples.command import curve, recorded, run

BATCH, HIDDEN, CODE, LR = 128, 128, 8, 2e-3


class VAE(nn.Module):
    def __init__(self, rng: np.random.Generator):
        self.encoder = nn.Sequential(
            nn.Linear(64, HIDDEN, rng=rng), nn.SiLU(), nn.Linear(HIDDEN, 2 * CODE, rng=rng)
        )
        self.decoder = nn.Sequential(
            nn.Linear(CODE, HIDDEN, rng=rng), nn.SiLU(), nn.Linear(HIDDEN, 64, rng=rng)
        )

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """(reconstruction error, divergence of the code from a normal distribution), in nats"""
        mean, log_var = self.encoder(x).chunk(2, -1)
        code = mean + (log_var * 0.5).exp() * noise
        error = tg.binary_cross_entropy_with_logits(self.decoder(code), x, reduction="sum")
        divergence = ((mean.square() + log_var.exp() - log_var - 1) * 0.5).sum()
        return error / len(x), divergence / len(x)


def train(steps: int = 2000, seed: int = 0, jit: bool = True) -> dict[str, Any]:
    """loss: nats a digit that are more than its own entropy, by the bound that is minimised"""
    rng = np.random.default_rng(seed)
    images = data.digits()[0].reshape(-1, 64)
    model = VAE(rng)
    adamw = optim.AdamW(model.parameters(), lr=LR, weight_decay=0.0)
    factor = optim.warmup_cosine(steps, steps // 20)

    def step(x: Tensor, noise: Tensor) -> Tensor:
        loss = sum(model(x, noise), Tensor(0.0))
        adamw.zero_grad()
        loss.backward()
        adamw.step()
        return loss

    step = recorded(step, jit)
    losses: list[float] = []
    for number in range(steps):
        adamw.lr = LR * factor(number)
        x = images[rng.integers(0, len(images), BATCH)]
        noise = rng.standard_normal((BATCH, CODE), np.float32)
        losses.append(step(Tensor(x), Tensor(noise)).item())
    with tg.no_grad():
        codes = Tensor(rng.standard_normal((40, CODE), np.float32))
        drawn = model.decoder(codes).sigmoid().numpy().reshape(-1, 8, 8)
    clipped = np.clip(images, 1e-6, 1 - 1e-6)
    entropy = -(clipped * np.log(clipped) + (1 - clipped) * np.log(1 - clipped)).sum(1).mean()
    final = float(np.mean(losses[-50:]) - entropy)
    return {"loss": final, "losses": losses, "drawn": drawn}


def draw(figure: Any, result: dict[str, Any]) -> None:
    left, right = figure.subfigures(1, 2)
    curve(left.subplots(), result["losses"], "loss, nats a digit")
    right.suptitle("digits that nobody wrote")
    for axes, image in zip(right.subplots(8, 5).flat, result["drawn"], strict=True):
        axes.imshow(image, cmap="gray_r")
        axes.axis("off")


if __name__ == "__main__":
    run(train, draw, "vae")

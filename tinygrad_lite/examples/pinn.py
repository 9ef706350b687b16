"""A network that solves the heat equation: u_t = D u_xx on a rod of length 1 whose ends are kept at
0, from u = sin(pi x). No solution is shown to it: the loss is by how much its derivatives break the
equation (Raissi and others 2019, "Physics-informed neural networks")."""

from typing import Any

import numpy as np

import tinygrad_lite as tg
from tinygrad_lite import Tensor, nn, optim
from tinygrad_lite.examples.command import curve, recorded, run

BATCH, HIDDEN, DIFFUSIVITY, LR = 128, 32, 0.1, 5e-3


def train(steps: int = 1500, seed: int = 0, jit: bool = True) -> dict[str, Any]:
    """error: the largest difference from the exact solution exp(-pi^2 D t) sin(pi x)"""
    rng = np.random.default_rng(seed)
    network = nn.Sequential(
        nn.Linear(2, HIDDEN, rng=rng), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN, rng=rng), nn.Tanh(),
        nn.Linear(HIDDEN, 1, rng=rng),
    )  # fmt: skip
    adam = optim.Adam(network.parameters(), LR)
    factor = optim.warmup_cosine(steps, 0, 0.01)

    def u(x: Tensor, t: Tensor) -> Tensor:
        """What the network says, made to be right at the ends and at the beginning"""
        return (np.pi * x).sin() + t * x * (1 - x) * network(tg.cat([x, t], 1))

    def step(x: Tensor, t: Tensor) -> Tensor:
        with tg.create_graph():
            x, t = Tensor(x, requires_grad=True), Tensor(t, requires_grad=True)
            u_x, u_t = tg.gradients(u(x, t).sum(), [x, t], create_graph=True)
            (u_xx,) = tg.gradients(u_x.sum(), [x], create_graph=True)
            loss = (u_t - DIFFUSIVITY * u_xx).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss

    step = recorded(step, jit)
    losses: list[float] = []
    for number in range(steps):
        adam.lr = LR * factor(number)
        x, t = rng.random((2, BATCH, 1), np.float32)
        losses.append(step(Tensor(x), Tensor(t)).item())
    x, t = np.meshgrid(np.linspace(0, 1, 41), np.linspace(0, 1, 41))
    with tg.no_grad():
        points = (Tensor(a.reshape(-1, 1).astype(np.float32)) for a in (x, t))
        found = u(*points).numpy().reshape(x.shape)
    exact = np.exp(-(np.pi**2) * DIFFUSIVITY * t) * np.sin(np.pi * x)
    error = float(np.abs(found - exact).max())
    return {"error": error, "loss": losses[-1], "losses": losses, "found": found}


def draw(figure: Any, result: dict[str, Any]) -> None:
    left, right = figure.subplots(1, 2)
    curve(left, result["losses"])
    left.set_yscale("log")
    image = right.imshow(result["found"], origin="lower", extent=(0, 1, 0, 1), cmap="inferno")
    right.set(xlabel="x", ylabel="t", title=f"u, wrong by {result['error']:.4f} at most")
    figure.colorbar(image, ax=right)


if __name__ == "__main__":
    run(train, draw, "pinn")

"""Q-learning that keeps a pole upright on a cart (Mnih and others 2015; the cart of Barto, Sutton,
Anderson 1983): double Q-learning with a copy of the network that follows slowly."""

from typing import Any

import numpy as np

import tinygrad_lite as tg
from tinygrad_lite import Tensor, nn, optim
from tinygrad_lite.examples.command import curve, recorded, run

BATCH, HIDDEN, DISCOUNT, LR, MEMORY, LONGEST = 128, 128, 0.99, 1e-3, 20_000, 500
GRAVITY, CART, POLE, HALF, FORCE, TICK = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02


def moved(state: np.ndarray, action: int) -> tuple[np.ndarray, bool]:
    """A tick later: (place, speed, angle, turning speed), and whether cart or pole went too far"""
    x, v, angle, turning = state
    push = FORCE if action else -FORCE
    pull = (push + POLE * HALF * turning**2 * np.sin(angle)) / (CART + POLE)
    spin = (GRAVITY * np.sin(angle) - np.cos(angle) * pull) / (
        HALF * (4 / 3 - POLE * np.cos(angle) ** 2 / (CART + POLE))
    )
    speed = pull - POLE * HALF * spin * np.cos(angle) / (CART + POLE)
    after = np.array([x + TICK * v, v + TICK * speed, angle + TICK * turning,
                      turning + TICK * spin])  # fmt: skip
    return after, bool(abs(after[0]) > 2.4 or abs(after[2]) > np.pi / 15)


def train(steps: int = 15_000, seed: int = 0, jit: bool = True) -> dict[str, Any]:
    """upright: ticks of 20 ms, of 500, for which the pole stands, the mean of 20 tries"""
    rng = np.random.default_rng(seed)

    def network() -> nn.Module:
        return nn.Sequential(
            nn.Linear(4, HIDDEN, rng=rng), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN, rng=rng),
            nn.ReLU(), nn.Linear(HIDDEN, 2, rng=rng),
        )  # fmt: skip

    online = network()
    slow = optim.ExponentialMovingAverage(online.parameters(), 0.99)
    target = network()
    adamw = optim.AdamW(online.parameters(), LR, weight_decay=0.0)
    factor = optim.warmup_cosine(steps, 0, 0.05)

    def step(state: Tensor, action: Tensor, after: Tensor, ended: Tensor) -> Tensor:
        with tg.no_grad():
            best = online(after).argmax(-1, keepdim=True)
            value = target(after).gather(1, best).squeeze(1)
            wanted = 1 + DISCOUNT * value * (1 - ended)
        loss = tg.huber_loss(online(state).gather(1, action.unsqueeze(1)).squeeze(1), wanted)
        adamw.zero_grad()
        loss.backward()
        adamw.step()
        slow.update()
        for p, average in zip(target.parameters(), slow.averages, strict=True):
            with tg.no_grad():
                p.copy_(average)
        return loss

    step = recorded(step, jit)
    losses: list[float] = []
    lengths: list[int] = []
    states, afters = np.zeros((2, MEMORY, 4), np.float32)
    actions, ends = np.zeros(MEMORY, np.int64), np.zeros(MEMORY, np.float32)
    state, length = rng.uniform(-0.05, 0.05, 4), 0
    for number in range(steps):
        random = rng.random() < max(0.02, 1 - 4 * number / steps)
        action = int(rng.integers(2)) if random else choose(online, state)
        after, fell = moved(state, action)
        place = number % MEMORY
        states[place], afters[place], actions[place], ends[place] = state, after, action, fell
        state, length = after, length + 1
        if fell or length == LONGEST:
            lengths.append(length)
            state, length = rng.uniform(-0.05, 0.05, 4), 0
        if number >= BATCH:
            rows = rng.integers(0, min(number + 1, MEMORY), BATCH)
            adamw.lr = LR * factor(number)
            batch = (Tensor(a[rows]) for a in (states, actions, afters, ends))
            losses.append(step(*batch).item())
    tries = [play(online, rng) for _ in range(20)]
    return {"upright": float(np.mean(tries)), "loss": losses[-1], "losses": losses,
            "lengths": lengths}  # fmt: skip


def choose(network: nn.Module, state: np.ndarray) -> int:
    with tg.no_grad():
        return int(network(Tensor(state[None].astype(np.float32))).argmax().item())


def play(network: nn.Module, rng: np.random.Generator) -> int:
    state = rng.uniform(-0.05, 0.05, 4)
    for tick in range(LONGEST):
        state, fell = moved(state, choose(network, state))
        if fell:
            return tick
    return LONGEST


def draw(figure: Any, result: dict[str, Any]) -> None:
    axes = figure.subplots()
    curve(axes, result["lengths"], "ticks upright while learning")
    axes.set(xlabel="try", title=f"afterwards: {result['upright']:.0f} of {LONGEST}")


if __name__ == "__main__":
    run(train, draw, "pole")

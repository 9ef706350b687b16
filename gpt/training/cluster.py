"""What training over a network will take: a forecast, for more machines than there are.

A rank computes the gradients of its windows, sends those of parameters that others own, adds up
what it receives, updates its own parameters, and sends these to all. Each way a link carries
(n - 1) / n of the model, as in a ring's all-reduce (Patarasuk and Yuan 2009), or more where one
parameter is a large part of it:

    step(n) = gradients(batch / n) + update / n + what of the exchange nothing hides

Gradients travel as they become complete, while the backward pass goes on, that of the token
embedding after all others; parameters travel when nothing else is done. A message takes the
network's latency, and its bytes the bandwidth of the busiest link.
"""

import math
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gpt.config import GPTConfig, TrainConfig
from gpt.errors import require
from gpt.size import describe
from gpt.training.state import TrainState
from tinygrad_lite import distributed, precision

BACKWARD = 2 / 3  # of the time of a gradient
SMALL = 4  # messages of a step that every rank sends to all: loss, norm, signals, saves
UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
ENOUGH, LEAST = 0.5, 2  # seconds of steps that are measured, and how many


@dataclass(frozen=True)
class Network:
    """Each machine's link, the same both ways at once: bytes a second, and seconds of a message"""

    bandwidth: float
    latency: float

    @classmethod
    def parse(cls, bandwidth: str, latency: float) -> "Network":
        """Of "10Gbit", and microseconds"""
        found = re.fullmatch(r"([0-9.]+)\s*([kMG]?)(bit|bits|bit/s|bps)", bandwidth)
        value = float(found[1]) if found and re.fullmatch(r"\d*\.?\d+", found[1]) else 0.0
        require(
            found is not None and value > 0,
            "plan: a network has a bandwidth in bits a second.",
            f"--network {bandwidth}",
            "--network 10Gbit, 1Gbit or 100Mbit",
        )
        require(
            0 <= latency < math.inf,
            "plan: a network's latency is given in microseconds.",
            f"--latency {latency:g}",
            "--latency 50",
        )
        assert found is not None
        return cls(value * UNITS[found[2]] / 8, latency / 1e6)


@dataclass(frozen=True)
class Pace:
    """Seconds that one rank takes for the gradients of its windows, and for updating all weights"""

    gradients: float
    update: float


@dataclass(frozen=True)
class Forecast:
    """A step of `nodes` machines. Seconds: of computing, of waiting for messages, of all; sent_mb,
    and memory_mb: of the machine that has most; efficiency: speed-up / nodes"""

    nodes: int
    windows: int
    computing: float
    waiting: float
    sent_mb: float
    memory_mb: float
    tokens_per_second: float
    efficiency: float

    @property
    def step(self) -> float:
        return self.computing + self.waiting


def windows_of_one(batch_size: int, nodes: int) -> int:
    """Of a step's windows, those of the node that has most"""
    return max(1, math.ceil(batch_size / nodes))


def pace(model: GPTConfig, config: TrainConfig, windows: int) -> Pace:
    """Measured here, by this process alone, with random tokens"""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, model.vocab_size, (windows, model.block_size + 1))
    gradients: list[float] = []
    updates: list[float] = []
    with distributed.alone(), precision(config.precision):
        state = TrainState(model, config)
        while len(gradients) <= LEAST or sum(gradients[1:]) + sum(updates[1:]) < ENOUGH:
            start = time.perf_counter()
            *_, scale = state.compute_gradients(tokens[:, :-1], tokens[:, 1:])
            between = time.perf_counter()
            state.update(scale)
            gradients.append(between - start)
            updates.append(time.perf_counter() - between)
    # The first compiles; and a step that something disturbs says little
    return Pace(*(statistics.quantiles(s[1:], n=4)[0] for s in (gradients, updates)))


def exchange_seconds(
    sizes: Sequence[int],
    costs: Sequence[float],
    nodes: int,
    network: Network,
    reduce: str,
    backward: float,
) -> tuple[float, float]:
    """(seconds of waiting, bytes that the busiest rank sends) for parameters of these sizes, in the
    order of the model, of which the first is complete last"""
    if nodes == 1:
        return 0.0, 0.0
    of = distributed.owners(costs, nodes)
    half = 0.5 if reduce == "bfloat16" else 1.0
    ready = [backward * share for share in _complete(sizes)]
    arrived, returned, sent = backward, 0.0, 0.0
    for rank in range(nodes):
        out = [4 * s * (o != rank) for s, o in zip(sizes, of, strict=True)]
        come = [4 * s * (o == rank) * (nodes - 1) for s, o in zip(sizes, of, strict=True)]
        for each in (out, come):
            free = 0.0  # when the link is
            for number in reversed(range(len(sizes))):
                free = max(free, ready[number]) + each[number] * half / network.bandwidth
            arrived = max(arrived, free)
            returned = max(returned, sum(each) / network.bandwidth)  # the other way round
        sent = max(sent, sum(out) * half + sum(come))
    messages = (2 + SMALL * math.ceil(math.log2(nodes))) * network.latency
    return arrived - backward + returned + messages, sent


def _complete(sizes: Sequence[int]) -> list[float]:
    """For each parameter the share of the backward pass after which its gradient is complete: from
    the last to the first, as long as their sizes; the first, a table, takes no time of its own"""
    rest = np.array([0, *sizes[1:]], np.float64)
    return (np.cumsum(rest[::-1])[::-1] / max(rest.sum(), 1)).tolist()


def forecast(
    model: GPTConfig,
    config: TrainConfig,
    nodes: Sequence[int],
    network: Network,
    progress: Callable[[int, int], None] | None = None,
) -> list[Forecast]:
    """For each number of machines like this one, of which the first is 1

    progress   is called with what was measured, and what will be: windows
    """
    with distributed.alone():
        state = TrainState(model, config)
        sizes, costs = [p.size for p in state.parameters], state.costs
        kept = 4 * sum(len(o.names) * sum(p.size for p in o.params)
                       for o, _ in state.optimizers.values())  # fmt: skip
    measured: dict[int, Pace] = {}
    found: list[Forecast] = []
    tokens = config.batch_size * model.block_size
    shares = [windows_of_one(config.batch_size, n) for n in nodes]
    for n, windows in zip(nodes, shares, strict=True):
        if windows not in measured:
            measured[windows] = pace(model, config, windows)
            if progress is not None:
                progress(sum(measured), sum({*shares}))
        here = measured[windows]
        computing = here.gradients + here.update / n
        waiting, sent = exchange_seconds(
            sizes, costs, n, network, config.reduce, BACKWARD * here.gradients
        )
        come = 4 * sum(sizes) * (n - 1) / n  # gradients of others
        memory = describe(model, windows)["training_mb"] - 8 * sum(sizes) / 1e6
        memory += (kept / n + come) / 1e6
        step = computing + waiting
        one = found[0].step if found else step
        found.append(Forecast(n, windows, computing, waiting, sent / 1e6, memory, tokens / step,
                              one / step / n))  # fmt: skip
    return found

"""What tests start under mpirun: python -m tests.ranks NAME; the first rank prints what all have
found."""

import json
import os
import sys
import time
import zlib

import numpy as np

import tinygrad_lite as tg
from gpt.config import GPTConfig, TrainConfig
from gpt.presets import PRESETS
from gpt.training.cluster import Network, forecast
from gpt.training.loop import train_step
from gpt.training.state import TrainState
from tinygrad_lite import Tensor, distributed, nn, optim
from tinygrad_lite.distributed import ranks


def say(**found):
    each = [json.loads(text) for text in distributed.told(json.dumps(found))]
    if distributed.rank() == 0:
        print("FOUND", json.dumps(each), flush=True)


def learn(recorded=True, reduce="float32", batch=7, steps=30, dropout=0.0, width=300):
    """A network in shares: (loss and norm of each step, a sum of the bits of all parameters, how
    many are this rank's)"""
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Linear(8, width, rng=rng), nn.Dropout(dropout, rng=rng), nn.GELU(),
        nn.Linear(width, width, rng=rng), nn.LayerNorm(width), nn.Linear(width, 3, rng=rng),
    )  # fmt: skip
    params = model.parameters()
    shares = distributed.Shares(params, reduce)
    adam = optim.AdamW(shares.mine, lr=1e-3)
    rows, weight = distributed.part(batch)

    def step(x, y):
        adam.zero_grad()
        with tg.rows_drawn(rows.start, rows.stop):
            loss = tg.cross_entropy(model(x), y)
        loss = shares.backward(loss, weight)
        norm, factor = optim.clip_factor(shares.mine, 1.0, over_ranks=True)
        adam.step(factor)
        shares.gather()
        adam.zero_grad()
        return loss, norm

    step = tg.jit(step) if recorded else step
    losses = []
    for _ in range(steps):
        x = rng.standard_normal((batch, 8), np.float32)
        y = (x[:, :3] ** 2).argmax(axis=1)
        loss, norm = step(x[rows], y[rows])
        losses.append((loss.item(), norm.item()))
    total = 0
    for p in params:
        total = zlib.crc32(p.numpy().tobytes(), total)
    return {"losses": losses, "bits": total, "owned": len(shares.mine)}


WAYS = {
    "eager": {"recorded": False},
    "jit": {},
    "again": {},
    "bfloat16": {"reduce": "bfloat16"},
    "dropout": {"dropout": 0.3},
    "odd dropout": {"dropout": 0.3, "width": 25},  # an odd count of numbers a row
    "few rows": {"batch": 1},
}


def learning():
    say(**{name: learn(**how) for name, how in WAYS.items()})


def messages():
    rank, size = distributed.rank(), distributed.size()
    own = np.random.default_rng(rank)
    all_of_them = [np.random.default_rng(r) for r in range(size)]
    found = {}
    for n in (0, 1, 7, 3000, 100_003):
        total = sum(rng.standard_normal(n, np.float32) for rng in all_of_them)
        summed = distributed.all_reduce(own.standard_normal(n, np.float32)).numpy()
        found[f"{n} floats"] = bool(np.allclose(summed, total, atol=1e-5))
        found[f"{n} bits"] = zlib.crc32(summed.tobytes())
    ranks = np.arange(size)
    found["integers"] = distributed.all_reduce([1, rank]).tolist() == [size, int(ranks.sum())]
    found["number"] = distributed.all_reduce(Tensor(2.0)).item() == 2 * size
    found["matrix"] = distributed.all_reduce(np.full((3, 4), rank, np.float64).T).shape
    found["broadcast"] = [distributed.broadcast([rank, 5], r).tolist() for r in range(size)]
    found["largest"] = distributed.largest(-rank)
    found["first"] = [
        distributed.from_first(x)
        for x in (rank, rank + 0.5, f"r{rank}", [rank], 2**60 + 1 + rank, rank == 0)
    ]
    found["told"] = distributed.told("ä" * rank)
    found["threads"] = tg.get_num_threads()
    double = tg.jit(lambda x: distributed.all_reduce(x * 2))
    found["recorded"] = [double(np.full(2, n + rank, np.float32)).tolist() for n in (1, 2, 3)]
    with distributed.alone():
        found["alone"] = (distributed.size(), distributed.all_reduce([3.0]).tolist())
    say(**found)


def parameters(count=3):
    return [Tensor(np.full(4, n, np.float32), requires_grad=True) for n in range(count)]


def other_values():
    params = parameters()
    params[1].data += distributed.rank()
    distributed.Shares(params).backward(sum((p * p).sum() for p in params))


def other_shapes():
    params = parameters(3 + distributed.rank())
    distributed.Shares(params).backward(sum((p * p).sum() for p in params))


def other_calls():
    distributed.all_reduce(np.zeros(3 + distributed.rank(), np.float32))


def strided():
    """Parameters whose memory is not in one piece"""
    params = [
        Tensor(np.ones((6, 4), np.float32)[::2], requires_grad=True),
        Tensor(np.ones((400, 300), np.float32).T, requires_grad=True),
        Tensor(np.float32(1), requires_grad=True),
        Tensor(np.ones((0, 3), np.float32), requires_grad=True),
    ]
    shares = distributed.Shares(params)
    sgd = optim.SGD(shares.mine, lr=1.0) if shares.mine else None
    _, weight = distributed.part(distributed.size())
    shares.backward(sum((p * (distributed.rank() + 1)).sum() for p in params), weight)
    if sgd:
        sgd.step()
    shares.gather()
    say(sums=[float(p.numpy().sum()) for p in params], sizes=[p.size for p in params])


def no_gradient():
    params = parameters()
    used = params[: 2 + (distributed.rank() == 0)]
    distributed.Shares(params).backward(sum((p * p).sum() for p in used))


def gradients_already():
    params = parameters()
    (params[0] * 2).sum().backward()
    distributed.Shares(params).backward(sum((p * p).sum() for p in params))


def one_fails():
    if distributed.rank() == 1:
        raise KeyError("something of this rank's own")
    distributed.all_reduce([1.0])


on_their_way = []


class SlowRequest:
    """A message that is sent when a link that is slow would have carried it"""

    def __init__(self, send, due):
        self.send, self.due, self.real = send, due, None
        on_their_way.append(self)

    def Test(self):
        if self.real is None and time.perf_counter() >= self.due:
            self.real = self.send()
        return self.real is not None and self.real.Test()


class SlowLink:
    """MPI's communicator behind a link of so many bytes a second, and seconds of latency"""

    def __init__(self, comm, bandwidth, latency):
        self.comm, self.bandwidth, self.latency = comm, bandwidth, latency
        self.free = 0.0  # when all that was sent has left

    def Isend(self, array, to, tag=0):
        self.free = max(self.free, time.perf_counter()) + array.nbytes / self.bandwidth
        return SlowRequest(lambda: self.comm.Isend(array, to, tag), self.free + self.latency)

    def Iallgather(self, given, come):
        due = time.perf_counter() + self.latency
        return SlowRequest(lambda: self.comm.Iallgather(given, come), due)

    def __getattr__(self, name):
        return getattr(self.comm, name)


class SlowMPI:
    class Request:
        @staticmethod
        def Testall(requests):
            # Whoever looks for one moves all of them
            on_their_way[:] = [r for r in on_their_way if not r.Test()]
            return all([r.Test() for r in requests])

    def __init__(self, real):
        self.real = real

    def __getattr__(self, name):
        return getattr(self.real, name)


def slow_link():
    """Steps over links of several speeds, beside what the forecast says of them"""
    world = ranks._world()
    tg.set_num_threads(1)
    options, batch = dict(vocab_size=65, **PRESETS["baby"].model), 12
    model, config = GPTConfig(**options), TrainConfig(batch_size=batch, steps=10**6)
    tokens = np.random.default_rng(0).integers(0, 65, 10_000)
    found = {}
    real = world.comm, world.MPI
    for megabits in (200, 1000):
        network = Network.parse(f"{megabits}Mbit", 300.0)
        distributed.all_reduce([0.0])
        # What two ranks compute at once, on cores that share caches and memory, both measure at
        # once; what one computes it measures while the other waits
        two = forecast(model, config, [1, 2], network)[1].step
        distributed.all_reduce([0.0])
        one = forecast(model, config, [1], network)[0].step if distributed.rank() == 0 else 0.0
        distributed.all_reduce([0.0])
        state, alone = TrainState(model, config), 0.0
        world.comm = SlowLink(real[0], network.bandwidth, network.latency)
        world.MPI = SlowMPI(real[1])
        together = seconds_of_steps(state, tokens)
        world.comm, world.MPI = real
        if distributed.rank() == 0:
            with distributed.alone():
                alone = seconds_of_steps(TrainState(model, config), tokens)
        distributed.all_reduce([0.0])
        found[f"{megabits}"] = {"said": [one, two], "took": [alone, together]}
    say(**found)


def seconds_of_steps(state, tokens):
    seconds = []
    for _ in range(40):
        start = time.perf_counter()
        train_step(state, tokens)
        seconds.append(time.perf_counter() - start)
    return float(np.quantile(seconds[2:], 0.25))


def strangers():
    """Processes that have nothing to do with each other: only the first records a function"""
    if int(os.environ.get("OMPI_COMM_WORLD_RANK") or os.environ["PMI_RANK"]) == 0:
        print("FOUND", json.dumps(tg.jit(lambda x: x * 2)(Tensor([1.0])).tolist()))


def one_leaves():
    if distributed.rank() == 1:
        sys.exit(3)
    distributed.all_reduce([1.0])


def no_gather():
    params = parameters()
    shares = distributed.Shares(params)
    sgd = optim.SGD(shares.mine, lr=0.1)
    for _ in range(2):
        sgd.zero_grad()
        shares.backward(sum((p * p).sum() for p in params))
        sgd.step()


def clipped_alone():
    params = parameters()
    shares = distributed.Shares(params)
    shares.backward(sum((p * p).sum() for p in params))
    optim.clip_grad_norm(shares.mine, 1.0)


def clipping():
    """(norm, gradients of this rank's after clipping to 1) by both ways that there are"""
    params = parameters()
    shares = distributed.Shares(params)
    shares.backward(sum((p * p).sum() for p in params))
    norm = optim.grad_norm(shares.mine, over_ranks=True).item()
    factor = optim.clip_factor(shares.mine, 1.0, over_ranks=True)[1].item()
    clipped = optim.clip_grad_norm(shares.mine, 1.0, over_ranks=True).item()
    say(norm=norm, factor=factor, clipped=clipped, largest=[p.grad.numpy().max().item()
                                                           for p in shares.mine])  # fmt: skip


def one_dies():
    if distributed.rank() == 1:
        os.kill(os.getpid(), 9)
    distributed.all_reduce([1.0])


if __name__ == "__main__":
    globals()[sys.argv[1]]()

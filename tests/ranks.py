"""What tests start under mpirun: python -m tests.ranks NAME; each prints what it has found."""

import json
import sys
import zlib

import numpy as np

import tinygrad_lite as tg
from tinygrad_lite import distributed, nn, optim

rank, size = distributed.rank(), distributed.size()


def say(**found):
    """By the first rank, with what others have found"""
    each = [json.loads(text) for text in distributed.told(json.dumps(found))]
    if rank == 0:
        print("FOUND", json.dumps(each), flush=True)


def learn(recorded=True, reduce="float32", batch=7, steps=30, dropout=0.0):
    """A network in shares: (loss of each step, sum of the bits of all parameters)"""
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Linear(8, 300, rng=rng), nn.Dropout(dropout, rng=rng), nn.GELU(),
        nn.Linear(300, 300, rng=rng), nn.LayerNorm(300), nn.Linear(300, 3, rng=rng),
    )  # fmt: skip
    params = model.parameters()
    shares = distributed.Shares(params, reduce)
    adam = optim.AdamW(shares.mine, lr=1e-3)
    rows, weight = distributed.part(batch)

    def step(x, y):
        adam.zero_grad()
        with tg.rows_drawn(rows.start, rows.stop, batch):
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
    return losses, total, len(shares.mine)


def learning():
    found = {}
    for name, how in {
        "eager": {"recorded": False}, "jit": {}, "bfloat16": {"reduce": "bfloat16"},
        "dropout": {"dropout": 0.3}, "few": {"batch": 1}, "again": {},
    }.items():  # fmt: skip
        losses, bits, owned = learn(**how)
        found[name] = {"losses": losses, "bits": bits, "owned": owned}
    say(**found)


if __name__ == "__main__":
    globals()[sys.argv[1]]()

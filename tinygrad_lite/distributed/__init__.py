"""Several processes that train one model together, over MPI (the extra `mpi`). In a process that
was started alone there is one rank, and everything here does nothing.

    mpirun -n 4 python train.py

    shares = distributed.Shares(model.parameters())     # which rank updates which parameter
    adam = optim.AdamW(shares.mine, lr=1e-3)
    for x, y in batches:                                # the same on each rank
        rows, weight = distributed.part(len(x))         # what this rank computes, as a share of all
        loss = tg.mse_loss(model(x[rows]), y[rows])
        loss = shares.backward(loss, weight)            # gradients become sums over ranks
        adam.step()
        shares.gather()                                 # from those who have updated them
        adam.zero_grad()
"""

from tinygrad_lite.distributed.messages import all_reduce, broadcast, from_first, largest, told
from tinygrad_lite.distributed.ranks import (
    abort,
    alone,
    host,
    in_turns,
    rank,
    size,
    started_by_mpi,
    waited,
)
from tinygrad_lite.distributed.shares import Shares, owners, part

__all__ = [
    "Shares",
    "abort",
    "all_reduce",
    "alone",
    "broadcast",
    "from_first",
    "host",
    "in_turns",
    "largest",
    "owners",
    "part",
    "rank",
    "size",
    "started_by_mpi",
    "told",
    "waited",
]

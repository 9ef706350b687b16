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

All ranks run the same program with the same seeds: batches, learning rates and the number of steps
are the same on each; what differs is `rank()`. The rest of a program:

    clipping        optim.clip_grad_norm(shares.mine, 1.0, over_ranks=True), on all ranks
    tg.jit          around the loss, backward(), the step and gather() works as it does elsewhere
    printing        if distributed.rank() == 0: print(...)
    metrics         distributed.all_reduce([hits, count]), which are numbers of this rank's rows
    dropout         with tg.rows_drawn(rows.start, rows.stop): around the model, and ranks
                    draw what one process would; without it, each draws the same for its own rows
    batch norm      sees the rows of its rank: another model than in one process, whose running
                    statistics differ between ranks. Layer norm and group norm do not mix rows
    saving          each rank has all parameters: the first saves model.state_dict(). What an
                    optimizer keeps lies with the owners: shares.to_first(p, array) brings it to
                    the first rank, shares.to_owner(p, array) back, on all ranks in the same order
    ending          an error on one rank ends all; so does abort(status). A rank that is done
                    before the others is an error after some seconds

Rows may be divided unevenly, and a batch may have fewer rows than there are ranks; but each rank
needs a parameter to own, if it is to have an optimizer. Threads are shared out among the ranks of a
machine. Open MPI binds each to one core where there are few: mpirun --bind-to none does not.
"""

from tinygrad_lite.distributed.messages import all_reduce, broadcast, from_first, largest, told
from tinygrad_lite.distributed.ranks import (
    abort,
    alone,
    host,
    idle_cores,
    in_turns,
    rank,
    size,
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
    "idle_cores",
    "in_turns",
    "largest",
    "owners",
    "part",
    "rank",
    "size",
    "told",
    "waited",
]

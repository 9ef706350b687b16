"""Data parallel training in shares: each rank updates its part of the parameters.

    backward       each rank computes the gradients of its rows of the batch; each goes to the rank
                   that owns the parameter as soon as it is complete, while the pass goes on; the
                   owner adds up those of all ranks, in their order
    step           each owner updates its parameters: optimizers have state for these alone (ZeRO,
                   stage 1; Rajbhandari and others 2019, arXiv:1910.02054)
    gather         each parameter goes from its owner to all others

As many bytes travel as in an all-reduce of all gradients: each is sent once, each parameter once.
Small ones travel together. Inside a jitted function all of this is recorded like kernels are.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_lite.distributed.messages import all_reduce, told
from tinygrad_lite.distributed.ranks import divide, rank, size, wait, world
from tinygrad_lite.fused.linear import from_bfloat16, to_bfloat16
from tinygrad_lite.kernels.watch import launch, watched_by
from tinygrad_lite.tensor import Tensor, gradients_of

ENOUGH = 1 << 18  # bytes: a parameter of so many travels alone, without a copy
REDUCE = ("float32", "bfloat16")
FAILED = (
    "Shares: after a pass that has failed, ranks do not know what others have sent.\n"
    "  got another call\n  try to start the job anew"
)


def part(rows: int) -> tuple[slice, float]:
    """Which of the rows of a batch this rank computes, and how much their mean counts in that of
    all rows. Where there are fewer rows than ranks, some compute the first, and it does not count.

    >>> tg.distributed.part(8)
    (slice(0, 8, None), 1.0)
    """
    if rows < 1:
        raise ValueError(f"part: a batch has rows.\n  got {rows}\n  try 1 or more")
    first, stop = rank() * rows // size(), (rank() + 1) * rows // size()
    if first == stop:
        return slice(0, 1), 0.0
    return slice(first, stop), (stop - first) / rows


@dataclass
class _Bucket:
    """Parameters of one owner that travel together, by their numbers"""

    owner: int
    numbers: list[int]
    size: int  # numbers in all
    awaited: int = 0  # gradients that are not complete
    come: list[np.ndarray] = field(default_factory=list)  # where those of other ranks arrive
    packed: np.ndarray | None = None  # where small ones are put together


class Shares:
    """Which rank owns, and so updates, which of the parameters; all ranks give the same ones.

    reduce   "bfloat16" sends gradients in half the bytes; they are added up in float32
    costs    of updating each parameter, by which the parameters are shared out; their sizes, if
             not given
    mine     those that this rank owns: an optimizer is made for these
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        reduce: str = "float32",
        costs: Sequence[float] | None = None,
    ):
        self.params = list(params)
        if reduce not in REDUCE:
            raise ValueError(
                f"Shares: gradients travel in {' or '.join(REDUCE)}.\n  got {reduce!r}\n"
                "  try float32"
            )
        wrong = [p.dtype for p in self.params if p.dtype != np.float32]
        if wrong and size() > 1:
            raise TypeError(
                f"Shares: parameters are float32.\n  got {wrong[0]}\n  try x.astype('float32')"
            )
        if len({id(p) for p in self.params}) < len(self.params):
            raise ValueError(
                "Shares: each parameter stands once in the list.\n"
                "  got one of them twice\n  try model.parameters()"
            )
        for p in self.params:  # messages arrive in the memory of the parameters themselves
            if not p.data.flags.c_contiguous:
                p.data = p.data.copy(order="C")
        self.reduce, self.size, self.rank = reduce, size(), rank()
        self.owners = owners(costs or [p.size for p in self.params], self.size)
        pairs = zip(self.params, self.owners, strict=True)
        self.mine = [p for p, owner in pairs if owner == self.rank]
        self._number = {p: i for i, p in enumerate(self.params)}
        self._buckets = self._filled_buckets() if self.size > 1 else []
        self._bucket_of = {n: b for b in self._buckets for n in b.numbers}
        self._sent: list[Any] = []
        self._coming: list[tuple[_Bucket, list[Any]]] = []
        self._agreed = self._failed = False
        self._versions: list[int] = []  # of `mine`, when all ranks had the same parameters
        if self.size > 1:
            divide(self.params)

    def _filled_buckets(self) -> list[_Bucket]:
        """In the order in which gradients become complete, more or less: from the last backwards"""
        made: list[_Bucket] = []
        open_: dict[int, _Bucket] = {}
        for n in reversed(range(len(self.params))):
            p, owner = self.params[n], self.owners[n]
            if p.data.nbytes >= ENOUGH:
                made.append(_Bucket(owner, [n], p.size))
                continue
            bucket = open_.get(owner)
            if bucket is None or bucket.size * p.data.itemsize >= ENOUGH:
                bucket = open_[owner] = _Bucket(owner, [], 0)
                made.append(bucket)
            bucket.numbers.append(n)
            bucket.size += p.size
        wire = np.uint16 if self.reduce == "bfloat16" else np.float32
        for bucket in made:
            if bucket.owner == self.rank:
                bucket.come = [np.empty(bucket.size, wire) for _ in range(self.size - 1)]
            if len(bucket.numbers) > 1:
                bucket.packed = np.empty(bucket.size, np.float32)
        return made

    # --- gradients --------------------------------------------------------------------------

    def backward(self, loss: Tensor, weight: float | None = None) -> Tensor:
        """loss.backward(), after which the gradients of `mine` are sums over ranks, and the others
        are gone. All ranks call it, with the loss of their rows of the batch; gradients are None
        before. Returns the loss of all rows, without history.

        weight   of this loss in that of all rows, see `part`; 1 / size, if it is not given
        """
        if self.size == 1:
            loss.backward()
            return loss.detach()
        self._check_ready()
        loss = loss * (1 / self.size if weight is None else weight)
        for bucket in self._buckets:
            bucket.awaited = len(bucket.numbers)
        launch(self._begin)
        handles = [p.register_post_accumulate_grad_hook(self._complete) for p in self.params]
        self._failed = True
        try:
            loss.backward()
        finally:
            for handle in handles:
                handle.remove()
        missing = [n for b in self._buckets if b.awaited for n in b.numbers]
        if missing:
            raise RuntimeError(
                "Shares: the backward pass gives each of the parameters a gradient, on each rank.\n"
                f"  got none for number {missing[0]}, of shape {self.params[missing[0]].shape}, on"
                f" rank {self.rank}\n  try Shares of those that the loss depends on"
            )
        launch(self._finish, *gradients_of(self.mine))
        self._failed = False
        for p, owner in zip(self.params, self.owners, strict=True):
            if owner != self.rank:
                p.grad = None
        return all_reduce(loss.detach())

    def _check_ready(self) -> None:
        if self._failed:
            raise RuntimeError(FAILED)
        if any(p.grad is not None for p in self.params):
            raise RuntimeError(
                "Shares: gradients are those of one backward pass.\n"
                "  got parameters that have some already\n  try zero_grad() before"
            )

    def _complete(self, p: Tensor) -> None:
        """The gradient of a parameter is complete: with the others of its bucket it may go."""
        bucket = self._bucket_of[self._number[p]]
        bucket.awaited -= 1
        if bucket.awaited == 0:
            if bucket.owner == self.rank:
                launch(self._progress)
            else:
                own = gradients_of([self.params[n] for n in bucket.numbers])
                launch(self._send, self._buckets.index(bucket), *own)

    def _begin(self) -> None:
        """What others will send to this rank has its places."""
        if not self._agreed:
            self._check_agreement()
        elif self._versions != [p._version[0] for p in self.mine]:
            raise RuntimeError(
                "Shares: after an update each rank gets the parameters of the others.\n"
                f"  got parameters of rank {self.rank} that have changed since gather()\n"
                "  try shares.gather() after the optimizer's step"
            )
        found = world()
        assert found is not None
        if self._sent or self._coming:  # a repeated one has no other memory of it
            raise RuntimeError(FAILED)
        others = [r for r in range(self.size) if r != self.rank]
        for tag, bucket in enumerate(self._buckets):
            if bucket.owner == self.rank:
                come = [found.comm.Irecv(place, r, tag)
                        for r, place in zip(others, bucket.come, strict=True)]  # fmt: skip
                self._coming.append((bucket, come))

    def _send(self, tag: int, *gradients: np.ndarray) -> None:
        found, bucket = world(), self._buckets[tag]
        assert found is not None
        whole = self._packed(bucket, gradients)
        if self.reduce == "bfloat16":
            with watched_by(None):  # this is part of a recorded call already
                whole = to_bfloat16(whole)
        # The arrays stay as they are until all is sent: requests refer to them
        self._sent.append(found.comm.Isend(whole, bucket.owner, tag))
        self._progress()

    def _progress(self) -> None:
        """Messages move on while somebody looks at them."""
        found = world()
        assert found is not None
        found.MPI.Request.Testall(self._sent)

    def _packed(self, bucket: _Bucket, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Arrays of a bucket in one piece"""
        if bucket.packed is None:
            return arrays[0].reshape(-1)
        return np.concatenate([a.reshape(-1) for a in arrays], out=bucket.packed)

    def _finish(self, *gradients: np.ndarray) -> None:
        """Add what others have sent to the gradients of `mine`, in the order of ranks."""
        own = dict(zip((self._number[p] for p in self.mine), gradients, strict=True))
        for bucket, requests in self._coming:
            wait(requests)
            come = [self._float32(place) for place in bucket.come]
            at = 0
            for n in bucket.numbers:
                g = own[n].reshape(-1)
                _add_in_order(g, [c[at : at + g.size] for c in come], self.rank)
                at += g.size
        wait(self._sent)
        self._sent, self._coming = [], []

    def _float32(self, x: np.ndarray) -> np.ndarray:
        if self.reduce != "bfloat16":
            return x
        with watched_by(None):  # this is part of a recorded call already
            return from_bfloat16(x)

    def _check_agreement(self) -> None:
        """All ranks have the same parameters, and the same numbers in them."""
        about = " ".join(f"{p.dtype}{list(p.shape)}" for p in self.params) + self.reduce
        total = 0
        for p in self.params:
            total = zlib.crc32(np.ascontiguousarray(p._data).data, total)
        for what, own in (("parameters of these shapes", about), ("values", str(total))):
            each = told(own)
            others = [r for r, said in enumerate(each) if said != own]
            if others:
                raise RuntimeError(
                    f"Shares: all ranks have the same parameters.\n  got other {what} on rank"
                    f" {others[0]} than on rank {self.rank}\n"
                    "  try the same seed and checkpoint on each, or broadcast() of each parameter"
                )
        self._agreed = True
        self._note_versions()

    def _note_versions(self) -> None:
        self._versions = [p._version[0] for p in self.mine]

    # --- parameters -------------------------------------------------------------------------

    def gather(self) -> None:
        """After the optimizer's step: each parameter as its owner has it."""
        if self.size == 1:
            return
        launch(self._gather, *[p.data for p in self.params])
        launch(self._count_changes)

    def _gather(self, *arrays: np.ndarray) -> None:
        found = world()
        assert found is not None
        requests, come = [], []
        for tag, bucket in enumerate(self._buckets):
            tag += len(self._buckets)
            own = [arrays[n] for n in bucket.numbers]
            if bucket.owner == self.rank:
                whole = self._packed(bucket, own)
                requests += [
                    found.comm.Isend(whole, r, tag) for r in range(self.size) if r != self.rank
                ]
            else:
                whole = own[0].reshape(-1) if bucket.packed is None else bucket.packed
                requests.append(found.comm.Irecv(whole, bucket.owner, tag))
                come.append((bucket, own))
        wait(requests)
        for bucket, own in come:
            if bucket.packed is not None:
                at = 0
                for array in own:
                    flat = array.reshape(-1)
                    flat[:] = bucket.packed[at : at + flat.size]
                    at += flat.size

    def _count_changes(self) -> None:
        for p, owner in zip(self.params, self.owners, strict=True):
            if owner != self.rank:
                p._version[0] += 1
        self._note_versions()

    # --- what owners keep -------------------------------------------------------------------

    def to_first(self, p: Tensor, array: np.ndarray | None) -> np.ndarray | None:
        """An array of the parameter's shape and dtype from its owner, on the first rank; None on
        the others"""
        found, owner = world(), self.owners[self._number[p]]
        if found is None or owner == 0:
            return array if self.rank == 0 else None
        if self.rank == owner:
            assert array is not None
            wait([found.comm.Isend(np.ascontiguousarray(array), 0)])
        if self.rank:
            return None
        come = np.empty(p.shape, p.dtype)
        wait([found.comm.Irecv(come, owner)])
        return come

    def to_owner(self, p: Tensor, array: np.ndarray | None) -> np.ndarray | None:
        """The other way round"""
        found, owner = world(), self.owners[self._number[p]]
        if found is None or owner == 0:
            return array if self.rank == 0 else None
        if self.rank == 0:
            wait([found.comm.Isend(np.ascontiguousarray(array, p.dtype), owner)])
        if self.rank != owner:
            return None
        come = np.empty(p.shape, p.dtype)
        wait([found.comm.Irecv(come, 0)])
        return come


def owners(costs: Sequence[float], ranks: int) -> list[int]:
    """For each cost the rank that bears it: the largest first, each by whom has least so far"""
    load, found = [0.0] * ranks, [0] * len(costs)
    for n in sorted(range(len(costs)), key=lambda n: (-costs[n], n)):
        found[n] = min(range(ranks), key=load.__getitem__)
        load[found[n]] += costs[n]
    return found


def _add_in_order(g: np.ndarray, others: Sequence[np.ndarray], own: int) -> None:
    """g = the sum in the order of ranks, of which `own` has given g"""
    if own:
        total = others[0]
        for other in others[1:own]:
            np.add(total, other, out=total)
        np.add(total, g, out=g)
    for other in others[own:]:
        np.add(g, other, out=g)

"""Random tensors. All take `seed`, a number or a `numpy.random.Generator`: the same seed gives the
same numbers, and a generator goes on from where it is."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_lite.kernels.watch import filled, procedure
from tinygrad_lite.ops.comparisons import lt
from tinygrad_lite.ops.indexing import setitem
from tinygrad_lite.ops.movement import _numbers
from tinygrad_lite.tensor import Tensor, op

Seed = int | np.random.Generator


def rand(
    *shape: Any,
    seed: Seed,
    low: float = 0.0,
    high: float = 1.0,
    dtype: Any = np.float32,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform between low (included) and high (excluded)

    >>> tg.rand(2, seed=0).shape
    (2,)
    """
    return Tensor(filled(_draw, _numbers(shape), dtype, seed, "uniform", low, high), requires_grad)


def randn(
    *shape: Any,
    seed: Seed,
    mean: float = 0.0,
    std: float = 1.0,
    dtype: Any = np.float32,
    requires_grad: bool = False,
) -> Tensor:
    """Normally distributed

    >>> tg.randn(2, seed=0).shape
    (2,)
    """
    return Tensor(filled(_draw, _numbers(shape), dtype, seed, "normal", mean, std), requires_grad)


def randint(low: int, high: int, *shape: Any, seed: Seed, dtype: Any = np.int64) -> Tensor:
    """Integers from low (included) to high (excluded)

    >>> tg.randint(0, 1, (2,), seed=0).tolist()
    [0, 0]
    """
    return Tensor(filled(_draw, _numbers(shape), dtype, seed, "integers", low, high))


# What a generator draws for a shape, with two numbers
DISTRIBUTIONS: dict[str, Callable] = {
    "uniform": lambda rng, low, high, shape: rng.uniform(low, high, shape),
    "normal": lambda rng, mean, std, shape: rng.normal(mean, std, shape),
    "integers": lambda rng, low, high, shape: rng.integers(low, high, shape),
    "log_normal": lambda rng, mean, std, shape: rng.lognormal(mean, std, shape),
    "exponential": lambda rng, rate, _, shape: rng.exponential(1 / rate, shape),
    "geometric": lambda rng, p, _, shape: rng.geometric(p, shape),
    "cauchy": lambda rng, median, scale, shape: median + scale * rng.standard_cauchy(shape),
}


def _draw(out: np.ndarray, seed: Seed, kind: str, first: float, second: float) -> None:
    whole = kind in ("integers", "geometric")
    if out.dtype.kind != "f" and not whole:
        raise TypeError(
            f"{kind}: what is drawn are fractions.\n"
            f"  got dtype {out.dtype}\n  try dtype=numpy.float32, or tg.randint"
        )
    if kind == "integers" and out.dtype.kind in "iu":
        limits = np.iinfo(out.dtype)
        if first < limits.min or second - 1 > limits.max:
            raise ValueError(
                f"randint: what is drawn fits into the dtype, {limits.min} to {limits.max}.\n"
                f"  got {first} to {second} for {out.dtype}\n  try dtype=numpy.int64"
            )
    if kind == "integers" and out.dtype.kind == "f":
        most = 2 ** (np.finfo(out.dtype).nmant + 1)
        if max(abs(first), abs(second - 1)) > most:
            raise ValueError(
                f"randint: {out.dtype} tells whole numbers apart up to {most}.\n"
                f"  got {first} to {second}\n  try dtype=numpy.int64"
            )
    drawn = DISTRIBUTIONS[kind](np.random.default_rng(seed), first, second, out.shape)
    most = np.iinfo(out.dtype).max if out.dtype.kind in "iu" else np.inf
    if kind == "geometric" and np.max(drawn, initial=0) > most:
        raise ValueError(
            "geometric: what is drawn fits into the dtype.\n"
            f"  got {np.max(drawn)} for {out.dtype}\n  try numpy.int64"
        )
    out[...] = drawn
    if kind == "uniform" and first < second:  # what was rounded up
        np.minimum(out, np.nextafter(out.dtype.type(second), out.dtype.type(first)), out=out)


def rand_like(x: Tensor, seed: Seed, dtype: Any = None) -> Tensor:
    """Uniform between 0 and 1, in the shape of x, and its dtype unless one is given

    >>> tg.rand_like(tg.ones(2), seed=0).shape
    (2,)
    """
    return rand(x.shape, seed=seed, dtype=dtype or x.dtype)


def randn_like(x: Tensor, seed: Seed, dtype: Any = None) -> Tensor:
    """Normally distributed, in the shape of x, and its dtype unless one is given

    >>> tg.randn_like(tg.ones(2), seed=0).shape
    (2,)
    """
    return randn(x.shape, seed=seed, dtype=dtype or x.dtype)


def randint_like(x: Tensor, low: int, high: int, seed: Seed, dtype: Any = None) -> Tensor:
    """Integers from low (included) to high (excluded), in the shape of x

    >>> tg.randint_like(tg.ones(2), 0, 1, seed=0).tolist()
    [0.0, 0.0]
    """
    return randint(low, high, x.shape, seed=seed, dtype=dtype or x.dtype)


def randperm(n: int, seed: Seed) -> Tensor:
    """(n,) int64: 0 to n - 1 in random order

    >>> tg.randperm(3, seed=0).sort()[0].tolist()
    [0, 1, 2]
    """
    return Tensor(filled(_shuffle, (n,), np.int64, seed))


def _shuffle(out: np.ndarray, seed: Seed) -> None:
    out[...] = np.random.default_rng(seed).permutation(out.size)


def normal(mean: Any, std: Any, seed: Seed) -> Tensor:
    """Normally distributed, each element with a mean and a standard deviation of its own; Tensors
    or numbers, of which gradients are noted

    >>> tg.normal(0.0, Tensor([0.0, 0.0]), seed=0).tolist()
    [0.0, 0.0]
    """
    shape = np.broadcast_shapes(np.shape(mean), np.shape(std))
    kind = next((t.dtype for t in (mean, std) if isinstance(t, Tensor)), np.float32)
    return randn(shape, seed=seed, dtype=kind) * std + mean


def bernoulli(p: Tensor, seed: Seed) -> Tensor:
    """1 with probability p, else 0, for each element of p

    >>> tg.bernoulli(Tensor([0.0, 1.0]), seed=0).tolist()
    [0.0, 1.0]
    """
    check_probabilities(p.data, "bernoulli")
    return lt(rand(p.shape, seed=seed, dtype=p.dtype), p.detach()).astype(p.dtype)


@op
def multinomial(weights, n, replacement=False, *, seed):
    """(..., V) -> (..., n) int64: n places, drawn in proportion to the weights of a row; each
    once, unless with replacement

    >>> tg.multinomial(Tensor([0.0, 1.0]), 1, seed=0).tolist()
    [1]
    """
    places = np.empty((*weights.shape[:-1], n), np.int64, like=weights)
    _draw_places(places, weights, replacement, seed)
    return places, None


@procedure
def _draw_places(places, weights, replacement, seed):
    possible = np.sum(weights > 0, axis=-1)
    needed = min(1, places.shape[-1]) if replacement else places.shape[-1]
    if not np.all(np.isfinite(weights) & (weights >= 0)) or np.any(possible < needed):
        raise ValueError(
            "multinomial: weights from 0 up, and as many above 0 as places are drawn.\n"
            f"  got weights of shape {weights.shape}, {places.shape[-1]} places\n"
            "  try replacement=True, or fewer places"
        )
    rng = np.random.default_rng(seed)
    shares = weights.astype(np.float64)
    if replacement:
        ends = np.cumsum(shares, -1).reshape(-1, shares.shape[-1])
        drawn = rng.random((len(ends), places.shape[-1])) * ends[:, -1:]
        found = [np.searchsorted(*row, side="right") for row in zip(ends, drawn, strict=True)]
        places[...] = np.reshape(found, places.shape)
        return
    # the first of exponential clocks to ring, each in its own pace  (Efraimidis, Spirakis 2006)
    with np.errstate(divide="ignore"):
        rings = rng.standard_exponential(shares.shape) / shares
    places[...] = np.argsort(rings, axis=-1, kind="stable")[..., : places.shape[-1]]


@procedure
def check_probabilities(p, name):
    if p.size and not (np.min(p) >= 0 and np.max(p) <= 1):
        raise ValueError(
            f"{name}: probabilities lie between 0 and 1.\n"
            f"  got {np.min(p)} to {np.max(p)}\n  try p.sigmoid(), or p.softmax(-1)"
        )


def _refill(name: str, first: float | None, second: float | None) -> Callable:
    def fill(self: Tensor, a: Any = first, b: Any = second, *, seed: Seed) -> Tensor:
        setitem(self, ..., Tensor(filled(_draw, self.shape, self.dtype, seed, name, a, b)))
        return self

    fill.__doc__ = f"Fill the tensor, where it is, from the {name.replace('_', '-')} distribution"
    return fill


# Methods that fill a tensor where it is, and the numbers that a distribution has unless given
REFILLING = {
    "uniform_": _refill("uniform", 0.0, 1.0),
    "normal_": _refill("normal", 0.0, 1.0),
    "log_normal_": _refill("log_normal", 1.0, 2.0),
    "exponential_": _refill("exponential", 1.0, None),
    "geometric_": _refill("geometric", 0.5, None),
    "cauchy_": _refill("cauchy", 0.0, 1.0),
}

"""Random programs: however one is run, it gives the same numbers, or it is refused.

A program is a few ops on the tensors that are there so far, a loss, its gradients, and a step of an
optimizer. It is run as it stands; recorded, over several calls with other inputs; with 1 and with
2 threads; and in float64, which judges the rounding of the others.

    PROGRAMS=2000 pytest tests/test_programs.py                   many
    NUMBA_DISABLE_JIT=1 pytest tests/test_programs.py             without compilation
"""

import contextlib
import os
import sys
from collections.abc import Callable

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_lite as tg
from tinygrad_lite import Tensor, optim
from tinygrad_lite.jit.recording import Recording

EXAMPLES = int(os.environ.get("PROGRAMS", "60"))
N, C = 5, 4  # every tensor of a program has the shape (N, C), (1, C), (N, 1) or ()

UNARY: dict[str, Callable] = {
    "neg": lambda x: -x,
    "half": lambda x: x * 0.5,
    "listed": lambda x: x + [0.5, 1.0, -1.0, 0.25][: x.shape[-1] if x.ndim else 1],
    "tanh": tg.tanh,
    "sigmoid": tg.sigmoid,
    "softplus": tg.softplus,
    "sin": tg.sin,
    "exp": lambda x: x.tanh().exp(),
    "log": lambda x: (x * x + 1).log(),
    "sqrt": lambda x: (x * x + 1).sqrt(),
    "square": lambda x: (x.tanh()) ** 2,
    "relu": tg.relu,
    "gelu": tg.gelu,
    "silu": tg.silu,
    "abs": abs,
    "clip": lambda x: x.clip(-0.5, 0.75),
    "sum": lambda x: x.sum(0, True) if x.ndim else x,
    "mean": lambda x: x.mean(-1, True) if x.ndim else x,
    "var": lambda x: x.var(-1, True, correction=0) if x.ndim else x,
    "max": lambda x: x.max(-1, True) if x.ndim else x,
    "cumsum": lambda x: x.cumsum(0) if x.ndim else x,
    "logsumexp": lambda x: x.logsumexp(-1, True) if x.ndim else x,
    "softmax": lambda x: x.softmax(-1) if x.ndim else x,
    "log_softmax": lambda x: x.log_softmax(0) if x.ndim else x,
    "flip": lambda x: x.flip(0) if x.ndim else x,
    "transposed": lambda x: (x.T @ x).sum() * 0.1 if x.ndim else x,
    "sliced": lambda x: tg.cat([x[1:], x[:1]], 0) if x.ndim else x,
    "gathered": lambda x: x[[0] * len(x)] if x.ndim else x,
    "reshaped": lambda x: x.reshape(-1).reshape(x.shape) if x.ndim else x,
    "tril": lambda x: x.tril() if x.ndim else x,
    "dropped": lambda x: tg.dropout(x, 0.25, 5),
    "total": lambda x: x.sum() * 0.1,
    "masked": lambda x: tg.where(x > 0, x, 0.0),
    "detached": lambda x: x.detach() + x,
}
BINARY: dict[str, Callable] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a.tanh() * b.tanh(),
    "div": lambda a, b: a / (b * b + 1),
    "maximum": tg.maximum,
    "where": lambda a, b: tg.where(a > b, a, b),
}
WEIGHTED: dict[str, Callable] = {  # with the weights (C, C) and (C,), on (.., C)
    "linear": tg.linear,
    "matmul": lambda x, w, b: x @ w + b,
    "layernorm": lambda x, w, b: tg.layernorm(x, b, w[0]),
    "rmsnorm": lambda x, w, b: tg.rmsnorm(x, b),
    "token_shift": lambda x, w, b: tg.token_shift(x, b),
    "embedding": lambda x, w, b: x + tg.embedding(tg.arange(len(x)) - 0, tg.cat([w, w], 0)),
    "attention": lambda x, w, b: tg.scaled_dot_product_attention(
        *[(x * s).reshape(1, 1, *x.shape) for s in (1.0, 0.5, -1.0)], is_causal=True
    ).reshape(x.shape),
    "cross_entropy": lambda x, w, b: tg.cross_entropy(x, (tg.arange(len(x)) - 0) * 0) + x,
}


@st.composite
def programs(draw):
    """(op, operands by number, counted from the newest) for each step; kind of optimizer; zero_grad
    before or after"""
    names = st.sampled_from([*UNARY, *BINARY, *WEIGHTED])
    steps = draw(st.lists(st.tuples(names, st.integers(0, 3), st.integers(0, 3)),
                          min_size=3, max_size=10))  # fmt: skip
    return steps, draw(st.sampled_from(["SGD", "AdamW"])), draw(st.booleans())


class Program:
    """A drawn program on its own weights"""

    def __init__(self, drawn, dtype):
        self.steps, kind, self.zero_first = drawn
        rng = np.random.default_rng(0)
        self.w, self.b = (
            Tensor(rng.standard_normal(s).astype(np.float32).astype(dtype), requires_grad=True)
            for s in ((C, C), (C,))
        )
        settings = {"momentum": 0.9} if kind == "SGD" else {}
        self.optimizer = getattr(optim, kind)([self.w, self.b], lr=0.05, **settings)

    def __call__(self, x, y):
        if self.zero_first:
            self.optimizer.zero_grad()
        known = [x, y, x * 0.5 + y]
        for name, i, j in self.steps:
            a, b = (known[-1 - k % len(known)] for k in (i, j))
            if name in UNARY:
                out = UNARY[name](a)
            elif name in BINARY:
                out = BINARY[name](a, b)
            else:
                whole = a if a.shape == (N, C) else a + x  # every weight meets (N, C)
                out = WEIGHTED[name](whole, self.w, self.b)
            known.append(out)
        loss = (
            (known[-1] * known[-1]).mean() + (self.w * self.w).mean() + (self.b * known[-2]).mean()
        )
        loss.backward()
        norm = optim.clip_grad_norm([self.w, self.b], 1.0)
        self.optimizer.step()
        gradient = self.w.grad * 1
        if not self.zero_first:
            self.optimizer.zero_grad()
        return loss, known[-1], gradient, norm


def inputs(dtype):
    rng = np.random.default_rng(1)
    for _ in range(3):
        yield [Tensor(rng.standard_normal((N, C)).astype(np.float32).astype(dtype)) for _ in "xy"]


def results(drawn, dtype=np.float32, wrap=lambda f: f, threads=1):
    """What each call returns, and the weights at the end"""
    program = Program(drawn, dtype)
    run = wrap(program.__call__)
    before = tg.get_num_threads()
    tg.set_num_threads(threads)
    try:
        found = [np.array(r.numpy()) for pair in inputs(dtype) for r in run(*pair)]
    finally:
        tg.set_num_threads(before)
    return [*found, program.w.numpy().copy(), program.b.numpy().copy()]


def jitted(method):
    return tg.jit(lambda x, y: method(x, y))


@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES <= 60, database=None)
@given(programs())
def test_a_program_gives_the_same_numbers_however_it_is_run(drawn):
    with np.errstate(all="ignore"):
        plain = results(drawn)
        threads = min(2, numba.config.NUMBA_NUM_THREADS)
        for other in (results(drawn, wrap=jitted), results(drawn, threads=threads),
                      results(drawn, wrap=jitted, threads=threads)):  # fmt: skip
            for a, b in zip(plain, other, strict=True):
                np.testing.assert_array_equal(a, b)
                assert a.dtype == b.dtype
        exact = results(drawn, np.float64)
    assert all(a.dtype == np.float32 for a in plain if a.ndim)
    for a, b in zip(plain[:4], exact[:4], strict=True):  # before steps go apart at kinks
        np.testing.assert_allclose(a, b, rtol=3e-3, atol=3e-3)


@contextlib.contextmanager
def planted(monkeypatch, mistake):
    """A mistake in the engine"""
    if mistake == "a key without grad mode":
        monkeypatch.setattr(sys.modules["tinygrad_lite.jit"], "is_grad_enabled", lambda: True)
    else:
        monkeypatch.setattr(Recording, "fits", lambda self: True)
    yield


@pytest.mark.parametrize("mistake", ["a key without grad mode", "nothing is checked at a replay"])
def test_planted_mistakes_are_found(monkeypatch, mistake):
    w = Tensor(np.ones(3, np.float32), requires_grad=True)

    def plain(x):
        y = (w * x).sum()
        if tg.is_grad_enabled():
            y.backward()
        return y

    def scenario():
        function = tg.jit(plain)
        x = Tensor(np.ones(3, np.float32))
        for change in ("", "data", "grad"):
            with tg.no_grad() if change == "grad" else contextlib.nullcontext():
                if change == "data":
                    w.data = w.data * 2
                w.grad = None
                value = function(x).item()
                found = None if w.grad is None else w.grad.numpy().copy()
                w.grad = None
                assert value == plain(x).item()
                np.testing.assert_array_equal(found, None if w.grad is None else w.grad.numpy())

    scenario()
    with planted(monkeypatch, mistake), pytest.raises(AssertionError):
        scenario()

"""Calls that are written down: the same numbers, and memory that lives as long as they do."""

import gc
import sys

import numba
import numpy as np
import pytest

import tinygrad_lite as tg
from gpt.config import GPTConfig, TrainConfig
from gpt.presets import PRESETS
from gpt.training.state import TrainState
from tinygrad_lite.fused.activations import relu_forward
from tinygrad_lite.jit.recording import Recording
from tinygrad_lite.kernels.adding import added
from tinygrad_lite.kernels.chain import Chain
from tinygrad_lite.kernels.compile import CHUNKS, kernel

RNG = np.random.default_rng(0)


def calls_of_relu(x, y, z, threads):
    """y = relu(x); z = y + 1; y = relu(z)"""
    relu_forward(np.empty(1, np.float32), np.ones(1, np.float32))  # compiled
    kernel = relu_forward.entry
    return [
        (kernel, (CHUNKS, threads, y, x)),
        (kernel, (CHUNKS, threads, z, y)),
        (np.add, (y, np.float32(1), z)),
        (kernel, (CHUNKS, threads, y, z)),
    ]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [0, 1, 5, 100_003])
def test_a_chain_does_what_its_calls_do(size, threads):
    x, y, z = (RNG.standard_normal(size).astype(np.float32) for _ in range(3))
    made = Chain(calls_of_relu(x, y, z, threads))
    for _ in range(3):
        x[...] = RNG.standard_normal(size)
        made()
        np.testing.assert_array_equal(y, np.maximum(x, 0) + 1)


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_kernels_that_follow_each_other_are_one_call():
    calls = calls_of_relu(*(np.ones(3, np.float32) for _ in range(3)), 1)
    assert len(Chain(calls).calls) == 3


def test_a_chain_keeps_its_memory_and_lets_it_go():
    x = np.full(1000, -3.0, np.float32)
    y = np.empty_like(x)
    count = sys.getrefcount(x)
    made = Chain(calls_of_relu(x, y, np.empty_like(x), 1))  # nobody else knows the last
    gc.collect()
    for _ in range(1000):
        RNG.standard_normal(1000)
        made()
    np.testing.assert_array_equal(y, 1)
    assert sys.getrefcount(x) > count
    del made
    gc.collect()
    assert sys.getrefcount(x) == count


@kernel
def line(chunk, out, x, factors):
    if chunk == 0:
        for i in range(x.size):
            out[i] = x[i] * factors[0] + factors[1]


@pytest.mark.filterwarnings("ignore::numba.core.errors.NumbaPendingDeprecationWarning")
@pytest.mark.parametrize("factors", [[2.0, 3.0], (2.0, 3.0), (np.float32(2), np.float32(3))])
def test_what_is_no_array_and_no_number_is_called_as_ever(factors):
    @tg.op
    def on_a_line(x):
        out = np.empty_like(x)
        line(out, x, factors)
        return out, None

    del tg.tensor.REGISTRY["on_a_line"]
    f = tg.jit(lambda x: on_a_line(x * 1))
    for _ in range(50):
        x = RNG.standard_normal(5).astype(np.float32)
        np.testing.assert_allclose(f(x).data, 2 * x + 3, rtol=1e-6)


def test_a_replay_is_the_function():
    w = tg.Tensor(RNG.standard_normal((64, 64)), dtype=np.float32)

    def f(x):
        return tg.linear(tg.relu(tg.linear(x, w)), w).softmax()

    g = tg.jit(f)
    for _ in range(4):
        x = tg.Tensor(RNG.standard_normal((50, 64)), dtype=np.float32)
        np.testing.assert_array_equal(f(x).data, g(x).data)


LAYOUTS = {
    "of one layout": lambda x: (x, x[::-1].copy()),
    "transposed": lambda x: (x, np.asfortranarray(x)),
    "every other": lambda x: (x[::2], x[1::2]),
    "broadcast": lambda x: (x, x[0]),
    "of two dtypes": lambda x: (x, x.astype(np.float64)),
    "integers": lambda x: (x.astype(np.int32), x.astype(np.int32)),
    "nothing": lambda x: (x[:0], x[:0]),
    "one number": lambda x: (x[0, 0], x[1, 1]),
    "without axes": lambda x: (x[0, 0].reshape(()), x[1, 1].reshape(())),
    "infinite": lambda x: (x / 0, -x / 0),
    "negative zeros": lambda x: (x * 0, -x * 0),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 3), (200, 300)])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_sums_are_those_of_numpy(layout, shape):
    """Alone, watched, and in a recording"""
    with np.errstate(all="ignore"):
        a, b = LAYOUTS[layout](RNG.standard_normal(shape).astype(np.float32))
        expected = np.add(a, b)
    found = [added(a, b)]
    with tg.kernels.watch.watched_by(tg.kernels.watch.Watcher()):
        found.append(added(a, b))
    f = tg.jit(lambda x, y: x + y)
    found += [f(tg.Tensor(a), tg.Tensor(b)).numpy() for _ in range(2)]
    for value in found:
        assert (value.dtype, value.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(value, expected)
        np.testing.assert_array_equal(np.signbit(value), np.signbit(expected))


@pytest.mark.parametrize("n", [10, 100_000])
def test_a_sum_goes_where_it_is_told(n):
    """Also to memory that an operand shares"""
    for a, b, out in ((0, 1, 0), (0, 0, 0), (0, 1, 2)):
        rows = RNG.standard_normal((3, n)).astype(np.float32)
        expected = rows[a] + rows[b]
        assert added(rows[a], rows[b], out=rows[out]) is not None
        np.testing.assert_array_equal(rows[out], expected)
    with pytest.raises(ValueError, match="read-only"):
        added(rows[0], rows[1], out=np.frombuffer(rows[2].tobytes(), np.float32))
    row = RNG.standard_normal(n + 1).astype(np.float32)
    expected = row[1:] + row[:-1]
    added(row[1:], row[:-1], out=row[1:])
    np.testing.assert_array_equal(row[1:], expected)


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_a_step_of_the_default_model_is_a_few_native_calls():
    """Python checks the two indices, sets the gradient of the loss and the norm's sums, and writes
    down the settings of three optimizers"""
    recipe = PRESETS["shakespeare"]
    options = {**recipe.model, "vocab_size": 65, "n_embd": 32, "block_size": 8}
    state = TrainState(GPTConfig(**options), TrainConfig(**recipe.train))
    windows = RNG.integers(0, 65, (4, 9))
    recordings = []
    with pytest.MonkeyPatch.context() as patch:
        finish = Recording.finish
        patch.setattr(Recording, "finish", lambda self: (finish(self), recordings.append(self)))
        *_, scale = state.compute_gradients(windows[:, :-1], windows[:, 1:])
        state.update(scale)
    gradients, update = (
        [getattr(call, "__name__", "") for call, _ in recording.chain.calls]
        for recording in recordings
    )
    assert len(gradients) <= 10
    assert gradients.count("_walk") == 4
    assert len(update) <= 15
    assert update.count("_walk") == 3

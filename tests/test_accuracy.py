"""float32 results against float64 ones, over all magnitudes, in units of the last place (ulps)."""

import numpy as np
import pytest

import tinygrad_lite as tg
from tinygrad_lite import Tensor
from tinygrad_lite.kernels.compile import kernel
from tinygrad_lite.kernels.rows import dot, total
from tinygrad_lite.kernels.simd import exp, log1p
from tinygrad_lite.kernels.sums import cumsum, sum_axes, sum_rows

ULP = 2.0**-23
SMALLEST = 2.0**-126  # normal number in float32: what is less may become 0
INF, NAN = np.inf, np.nan


def every(low, high, step):
    """float32 numbers between two of the same sign: each, but for `step` - 1 left out after it"""
    ends = np.array([low, high], np.float32).view(np.int32)
    first, last = min(ends), max(ends)
    return np.append(np.arange(first, last, step, np.int32), last).view(np.float32)


def ulps(got, expected):
    """How many ulps of the exact result apart, at most; where that is a normal number"""
    expected = np.asarray(expected, np.float64)
    fair = np.isfinite(expected) & (np.abs(expected) > 1.01 * SMALLEST)
    unit = np.spacing(np.abs(expected[fair]).astype(np.float32)).astype(np.float64)
    return np.max(np.abs(np.asarray(got)[fair].astype(np.float64) - expected[fair]) / unit)


def value_and_gradient(function, x, g=None):
    x = Tensor(x, requires_grad=True)
    y = function(x)
    y.backward(g)
    return y.numpy(), x.grad.numpy()


@kernel
def exp_kernel(task, y, x):
    for i in range(x.size):
        y[i] = exp(x[i])


@kernel
def log1p_kernel(task, y, x):
    for i in range(x.size):
        y[i] = log1p(x[i])


@kernel
def reductions_kernel(task, totals, dots, x, y):
    for i in range(len(x)):
        totals[i], dots[i] = total(x[i]), dot(x[i], y[i])


def test_exp_is_exact_over_the_whole_range():
    x = np.concatenate([every(1e-30, 88.72283, 501), every(-1e-30, -87.33654, 501)])
    y = np.empty_like(x)
    exp_kernel(y, x)
    assert ulps(y, np.exp(x.astype(np.float64))) < 1.5
    edges = np.array([NAN, INF, -INF, 88.8, -87.4, -1e30, 0.0, -0.0], np.float32)
    y = np.empty_like(edges)
    exp_kernel(y, edges)
    np.testing.assert_array_equal(y, np.array([NAN, INF, 0, INF, 0, 0, 1, 1], np.float32))


def test_log1p_is_exact_between_0_and_1():
    x = every(1e-37, 1, 501)
    y = np.empty_like(x)
    log1p_kernel(y, x)
    assert ulps(y, np.log1p(x.astype(np.float64))) < 2


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x > 0, 1, e) / (1 + e)


def twice_u(x):
    return 2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)


# Value and derivative in float64, the ulps that each may be off, and from where to where it is
# judged: near a zero of a derivative it is small by cancellation, and far out the argument of the
# exponential is rounded.
ACTIVATIONS = {
    "sigmoid": (tg.sigmoid, sigmoid, lambda x: sigmoid(x) * sigmoid(-x), 3, 5, (-87, 1e8)),
    "softplus": (
        tg.softplus, lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), sigmoid, 2, 3,
        (-87, 1e8),
    ),
    "silu": (
        tg.silu, lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x)), 4, 6,
        (-1.0, 1e8),
    ),
    "silu far out": (
        tg.silu, lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x)), 4, 6,
        (-87, -2.0),
    ),
    "gelu_tanh": (
        lambda x: tg.gelu(x, "tanh"),
        lambda x: x * sigmoid(twice_u(x)),
        lambda x: sigmoid(twice_u(x)) * (1 + x * sigmoid(-twice_u(x))
            * 2 * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)),
        3, 5, (-0.5, 1e8),
    ),
    "gelu_tanh far out": (
        lambda x: tg.gelu(x, "tanh"),
        lambda x: x * sigmoid(twice_u(x)),
        lambda x: sigmoid(twice_u(x)) * (1 + x * sigmoid(-twice_u(x))
            * 2 * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)),
        100, 100, (-7, -1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_exact_over_the_whole_range(name):
    function, value, derivative, of_value, of_gradient, (low, high) = ACTIVATIONS[name]
    parts = [(low, -1e-30), (1e-30, high)] if high > 0 else [(low, high)]
    x = np.concatenate([every(*part, 4001) for part in parts])
    y, dx = value_and_gradient(function, x, np.ones_like(x))
    exact = x.astype(np.float64)
    assert ulps(y, value(exact)) < of_value
    assert ulps(dx, derivative(exact)) < of_gradient


def test_activations_at_the_edges():
    x = np.array([NAN, INF, -INF, 0.0, 200, -200], np.float32)
    y, dx = value_and_gradient(tg.sigmoid, x, np.ones_like(x))
    np.testing.assert_array_equal(y, np.float32([NAN, 1, 0, 0.5, 1, 0]))
    np.testing.assert_array_equal(dx, np.float32([NAN, 0, 0, 0.25, 0, 0]))
    y, dx = value_and_gradient(tg.softplus, x, np.ones_like(x))
    np.testing.assert_array_equal(y, np.float32([NAN, INF, 0, np.log(2), 200, 0]))
    np.testing.assert_array_equal(dx, np.float32([NAN, 1, 0, 0.5, 1, 0]))


def exact_log_softmax(x):
    """log softmax, softmax, and 1 - softmax where x is largest, of x (N, C) in float64"""
    below = x - x.max(-1, keepdims=True)
    exps = np.exp(below)
    others = exps.copy()
    others[np.arange(len(x)), x.argmax(-1)] = 0
    others = others.sum(-1, keepdims=True)
    return below - np.log1p(others), exps / (1 + others), others / (1 + others)


@pytest.mark.parametrize("classes", [3, 65, 700])
@pytest.mark.parametrize("spread", [1e-30, 1e-3, 1.0, 10.0, 1e4, 1e8])
@pytest.mark.parametrize("offset", [0.0, 100.0, 1e6, 1e8])
def test_log_softmax_and_cross_entropy_are_exact_at_every_magnitude(classes, spread, offset):
    rng = np.random.default_rng(classes)
    x = (rng.standard_normal((50, classes)) * spread + offset).astype(np.float32)
    rows, targets = np.arange(50), rng.integers(0, classes, 50)
    exact, p, rest = exact_log_softmax(x.astype(np.float64))
    # A difference of logits is a float32: it is off by half an ulp, and so are its exponentials.
    far = np.abs(x - x.max(-1, keepdims=True)).astype(np.float64)
    near = np.minimum(far, 88)
    second = np.sort(near)[:, 1:2]  # most of what the largest does not have

    y, dy = value_and_gradient(tg.log_softmax, x, np.eye(classes, dtype=np.float32)[targets])
    room = 2 * ULP * (1 + np.where(near == 0, second, 0)) * np.abs(exact)
    assert (np.abs(y - exact) <= room + 1e-30).all()
    expected = np.eye(classes)[targets] - p
    assert (np.abs(dy - expected) <= 4 * ULP * (1 + near) * p + ULP).all()

    losses = np.array([tg.cross_entropy(x[i], targets[i]).item() for i in range(0, 50, 7)])
    exact_losses = -exact[rows, targets][::7]
    assert (np.abs(losses - exact_losses) <= 2 * ULP * (1 + near[::7].max()) * exact_losses).all()

    _, dx = value_and_gradient(lambda x: tg.cross_entropy(x, targets), x)
    expected, is_top = p.copy(), far[rows, targets] == 0
    expected[rows, targets] = np.where(is_top, -rest[:, 0], p[rows, targets] - 1)
    fair = np.abs(expected) > 1e-35
    room = 4 * ULP * (1 + np.where(near == 0, second, near)) * np.abs(expected)
    assert (np.abs(50 * dx - expected) <= room)[fair].all()


@pytest.mark.parametrize(
    ("row", "loss", "gradient"),
    [
        ([1e8, 1e8, 1e8 - 8], 0.6933149, [-0.50008386, 0.49991614, 1.6770319e-04]),
        ([0, -INF, 1], 1.3132617, [-0.7310586, 0, 0.7310586]),
        ([0, -30, -40], 9.358048e-14, [-9.358048e-14, 9.357623e-14, 4.2483543e-18]),
        ([-INF, -INF, 3], INF, [-1, 0, 1]),
        ([1e38, -1e38, 0], 0, [0, 0, 0]),
        ([-INF, -INF, -INF], NAN, [NAN, NAN, NAN]),
        ([NAN, 0, 1], NAN, [NAN, NAN, NAN]),
        ([0, NAN, 1], NAN, [NAN, NAN, NAN]),
        ([INF, 0, 1], NAN, [NAN, NAN, NAN]),
    ],
)
@pytest.mark.parametrize("width", [3, 600])
def test_cross_entropy_at_the_edges(row, loss, gradient, width):
    """As PyTorch has it, also with classes whose logit is -inf in blocks before and behind"""
    x = np.full((1, width), -INF, np.float32)
    x[0, -3:] = row
    value, dx = value_and_gradient(lambda x: tg.cross_entropy(x, np.array([width - 3])), x)
    np.testing.assert_allclose(value, np.float32(loss), rtol=2 * ULP)
    np.testing.assert_allclose(dx[0, -3:], np.float32(gradient), rtol=4 * ULP)
    np.testing.assert_allclose(tg.log_softmax(x).numpy()[0, -3], np.float32(-loss), rtol=2 * ULP)


@pytest.mark.parametrize("size", [1.0, 30.0, 1e3, 1e4])
def test_attention_has_the_gradients_of_its_weights_for_large_scores(size):
    rng = np.random.default_rng(0)
    # Small integers, so that scores, up to size, are exact in float32.
    q = (rng.integers(-4, 5, (1, 1, 20, 8)) * size / 16).astype(np.float32)
    k = rng.integers(-4, 5, (1, 1, 20, 8)).astype(np.float32)
    k[:, :, 1::2] = k[:, :, ::2]  # equal scores share the weight
    v, g = (rng.standard_normal((1, 1, 20, 8)).astype(np.float32) for _ in range(2))
    scores = (q.astype(np.float64) @ k.astype(np.float64).swapaxes(2, 3)) / 8
    _, p, _ = exact_log_softmax(scores[0, 0])
    tensors = [Tensor(a, requires_grad=True) for a in (q, k, v)]
    tg.scaled_dot_product_attention(*tensors, scale=1 / 8).backward(g)
    np.testing.assert_allclose(tensors[2].grad.numpy()[0, 0], p.T @ g[0, 0], rtol=1e-5, atol=2e-6)


def off(got, expected):
    return np.max(np.abs(np.asarray(got, np.float64) / expected - 1))


def test_sums_of_four_million_numbers():
    tenth, n = np.float32(0.1), 4_000_000
    x = np.full((n, 2), tenth)
    expected = n * np.float64(tenth)
    assert off(sum_axes(x, (0,)), expected) < 1e-7
    assert off(sum_axes(x.T, (1,)), expected) < 1e-7
    assert off(sum_axes(x, (0, 1)), 2 * expected) < 1e-7
    assert off(Tensor(x).sum(0).numpy(), expected) < 1e-7
    assert off(Tensor(x).mean(0).numpy(), np.float64(tenth)) < 1e-7
    assert off(sum_rows(x), expected) < 1e-7
    bias = Tensor(np.zeros(2, np.float32), requires_grad=True)
    (bias + x).backward(x)
    assert off(bias.grad.numpy(), expected) < 1e-7
    counts = np.arange(1, n + 1)[:, None] * np.float64(tenth)
    for axis in (0, 1):
        running = cumsum(x if axis == 0 else x.T, axis)
        assert off(running if axis == 0 else running.T, counts) < 1e-7
    y, dx = value_and_gradient(lambda x: x.cumsum(0), x, x)
    assert off(y, counts) < 1e-7
    assert off(dx, counts[::-1]) < 1e-7


@pytest.mark.parametrize(
    "shape", [(), (5,), (0, 3), (3, 0), (40, 700), (7, 60, 31), (2, 3, 999, 4)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_sums_over_any_axes_in_any_order_of_memory(shape, dtype):
    x = (np.random.default_rng(0).standard_normal(shape) * 100).astype(dtype)
    views = [x, x.T, np.flip(x), x[..., ::2] if x.ndim else x, np.broadcast_to(x, (9, *shape))]
    for view in views:
        for mask in range(2**view.ndim):
            axes = tuple(i for i in range(view.ndim) if mask >> i & 1)
            for keepdims in (False, True):
                got = sum_axes(view, axes, keepdims)
                expected = np.sum(view, axes, np.float64, keepdims=keepdims)
                assert got.shape == expected.shape
                assert got.dtype == dtype
                room = np.sum(np.abs(view), axes, np.float64, keepdims=keepdims)
                assert (np.abs(got - expected) <= 4 * ULP * room).all()
        for axis in range(view.ndim):
            for step in (1, -1):
                turned = np.flip(view, axis) if step < 0 else view
                expected = np.cumsum(turned.astype(np.float64), axis)
                expected = np.flip(expected, axis) if step < 0 else expected
                got = cumsum(view, axis, reverse=step < 0)
                np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 511, 512, 513, 1024, 4097, 1_000_000])
def test_reductions_of_rows_of_any_length(n):
    x = np.random.default_rng(n).random((2, n), np.float32)
    y = np.full((2, n), np.float32(0.1))
    totals, dots = np.empty(2, np.float32), np.empty(2, np.float32)
    reductions_kernel.run(1, 1, totals, dots, x, y)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(totals, wide.sum(1), rtol=5e-7)
    np.testing.assert_allclose(dots, (wide * np.float64(y[0, :1])).sum(1), rtol=5e-7)


def test_gradients_of_norms_over_many_rows():
    n, tenth = 400_000, np.float32(0.1)
    x = np.tile(np.array([1.0, -1.0], np.float32), (n, 2))
    g = np.full_like(x, tenth)
    w, b = (Tensor(np.ones(4, np.float32), requires_grad=True) for _ in range(2))
    tg.layernorm(x, w, b, eps=0.0).backward(g)
    expected = n * np.float64(tenth)
    assert off(b.grad.numpy(), expected) < 5e-7
    assert off(np.abs(w.grad.numpy()), expected) < 5e-7
    w.grad = None
    tg.rmsnorm(x, w, eps=0.0).backward(g)
    assert off(np.abs(w.grad.numpy()), expected) < 5e-7


def test_threads_do_not_change_a_bit():
    rng = np.random.default_rng(0)
    wide, long = (rng.standard_normal(s).astype(np.float32) for s in ((300, 700), (70_000, 3)))
    targets = rng.integers(0, 700, 300)

    def everything():
        results = []
        for x in (wide, long):
            results += [sum_axes(x, (0,)), sum_axes(x, (1,)), sum_axes(x, (0, 1)), cumsum(x, 0)]
            for function in (tg.sigmoid, tg.softplus, tg.log_softmax):
                results += value_and_gradient(function, x, x)
            w = Tensor(x[0], requires_grad=True)
            tg.layernorm(x, w, w).backward(x)
            tg.rmsnorm(x, w).backward(x)
            results.append(w.grad.numpy())
        results += value_and_gradient(lambda x: tg.cross_entropy(x, targets), wide)
        return results

    before = tg.get_num_threads()
    try:
        runs = []
        for threads in sorted({1, before}):
            tg.set_num_threads(threads)
            runs.append(everything())
    finally:
        tg.set_num_threads(before)
    for arrays in zip(*runs, strict=True):
        assert all((a == arrays[0]).all() for a in arrays)

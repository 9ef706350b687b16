"""Fused ops equal their composed twins, built from primitives, at awkward sizes."""

import numpy as np
import pytest

import tinygrad_lite as tg
from tinygrad_lite import Tensor
from tinygrad_lite.ops.movement import causal_mask

SIZES = [1, 7, 129]


def layernorm(x, w, b):
    centred = x - x.mean(-1, True)
    return centred * (centred * centred).mean(-1, True).__add__(1e-5).rsqrt() * w + b


def rmsnorm(x, w):
    return x * ((x * x).mean(-1, True) + 1e-6).rsqrt() * w


def softmax(x):
    e = (x - x.max(-1, True).detach()).exp()
    return e / e.sum(-1, True)


def attention(q, k, v):
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    return softmax(causal_mask(scores)) @ v


def cross_entropy(x):
    rows = np.arange(x.shape[0])
    return -(softmax(x).log()[rows, rows % x.shape[1]]).mean()


TWINS = {
    "linear": (tg.linear, lambda x, w, b: x @ w.T + b, lambda n: [(3, n), (5, n), (5,)]),
    "layernorm": (tg.layernorm, layernorm, lambda n: [(3, n), (n,), (n,)]),
    "rmsnorm": (tg.rmsnorm, rmsnorm, lambda n: [(3, n), (n,)]),
    "token_shift": (
        tg.token_shift,
        lambda x, w: x + x.pad(((0, 0), (1, 0), (0, 0)))[:, :-1] * w,
        lambda n: [(3, 5, n), (n,)],
    ),
    "softmax": (tg.softmax, softmax, lambda n: [(3, n)]),
    "log_softmax": (tg.log_softmax, lambda x: softmax(x).log(), lambda n: [(3, n)]),
    "gelu_tanh": (
        lambda x: tg.gelu(x, "tanh"),
        lambda x: 0.5 * x * (1 + (0.7978845608 * (x + 0.044715 * x * x * x)).tanh()),
        lambda n: [(n,)],
    ),
    "silu": (tg.silu, lambda x: x * x.sigmoid(), lambda n: [(n,)]),
    "relu_squared": (tg.relu_squared, lambda x: x.relu() * x.relu(), lambda n: [(n,)]),
    "cross_entropy": (
        lambda x: tg.cross_entropy(x, np.arange(x.shape[0]) % x.shape[1]),
        cross_entropy,
        lambda n: [(n, 5)],
    ),
    "embedding": (
        lambda w: tg.embedding(np.arange(20) % len(w), w),
        lambda w: w[np.arange(20) % len(w)],
        lambda n: [(n, n)],
    ),
    "attention": (
        lambda q, k, v: tg.scaled_dot_product_attention(q, k, v, is_causal=True),
        attention,
        lambda n: [(2, 3, n, 8)] * 3,
    ),
    "attention_wide": (
        lambda q, k, v: tg.scaled_dot_product_attention(q, k, v, is_causal=True),
        attention,
        lambda n: [(1, 1, 65, n)] * 3,
    ),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", TWINS)
def test_fused_equals_composed(name, size):
    fused, composed, shapes = TWINS[name]
    rng = np.random.default_rng(size)
    arrays = [rng.standard_normal(shape) for shape in shapes(size)]
    results = []
    for function in (fused, composed):
        inputs = [Tensor(a, requires_grad=True) for a in arrays]
        out = function(*inputs)
        out.backward(np.random.default_rng(1).standard_normal(out.shape))
        results.append([out.numpy(), *[x.grad.numpy() for x in inputs]])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


def test_float32_exp_is_exact_to_the_last_bits():
    x = np.linspace(-87, 88, 20_001, dtype=np.float32)
    logits = np.stack([x, np.zeros_like(x)], axis=1)
    p = tg.softmax(Tensor(logits)).numpy()[:, 0]
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-x.astype(np.float64))), rtol=5e-7, atol=1e-37)


def test_masks_of_minus_infinity_and_nans():
    x = np.array([[0.0, -np.inf], [np.nan, 1.0]], np.float32)
    p = tg.softmax(Tensor(x)).numpy()
    assert p[0].tolist() == [1, 0]
    assert np.isnan(p[1]).all()


def test_large_logits_do_not_overflow():
    x = Tensor(np.array([[1e4, 0.0]], np.float32), requires_grad=True)
    loss = tg.cross_entropy(x, np.array([1]))
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    assert np.isfinite(x.grad.numpy()).all()


def test_attention_with_dropout_keeps_the_mean():
    x = tg.randn(1, 2, 16, 8, seed=0)
    plain = tg.scaled_dot_product_attention(x, x, x, is_causal=True).numpy()
    rng = np.random.default_rng(0)
    drawn = [
        tg.scaled_dot_product_attention(x, x, x, True, dropout_p=0.2, seed=rng).numpy()
        for _ in range(400)
    ]
    np.testing.assert_allclose(np.mean(drawn, axis=0), plain, atol=0.25)
    assert np.abs(np.mean(drawn, axis=0) - plain).mean() < 0.03


def test_threads_do_not_change_a_bit():
    q, k, v = (tg.randn(3, 5, 70, 16, seed=i).numpy() for i in range(3))
    results = []
    before = tg.get_num_threads()
    try:
        for threads in {1, before}:
            tg.set_num_threads(threads)
            leaves = [Tensor(x, requires_grad=True) for x in (q, k, v)]
            out = tg.scaled_dot_product_attention(*leaves, is_causal=True)
            out.backward(q)
            results.append([out.numpy(), *[x.grad.numpy() for x in leaves]])
    finally:
        tg.set_num_threads(before)
    for arrays in zip(*results, strict=True):
        assert all((a == arrays[0]).all() for a in arrays)


def test_a_weight_that_embeds_and_reads_out_gets_the_sum_of_both_gradients():
    rng = np.random.default_rng(0)
    index, weights = np.array([[0, 3, 3], [1, 0, 4]]), rng.standard_normal((6, 5))
    scale = tg.Tensor(rng.standard_normal((2, 3, 6)))

    def tied(w):
        return (tg.linear(tg.embedding(index, w), w) * scale).sum()

    def apart(w):  # the same from primitives
        one_hot = tg.one_hot(tg.Tensor(index), 6).astype("float64")
        return (((one_hot @ w) @ w.transpose(0, 1)) * scale).sum()

    assert tg.check_gradients(tied, weights) < 1e-6
    gradients = []
    for function in (tied, apart):
        w = tg.Tensor(weights, requires_grad=True)
        for _ in range(2):  # also on top of a gradient that is there
            function(w).backward()
        gradients.append(w.grad.numpy())
    np.testing.assert_allclose(*gradients, rtol=1e-12, atol=1e-12)


def test_rotary_takes_angles_for_each_sequence():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 4, 2, 6)).astype(np.float32)
    angles = [tg.rotary_angles(4, 6, start=start) for start in (0, 5, 11)]
    cos, sin = (np.stack(a) for a in zip(*angles, strict=True))
    together = tg.rotary(tg.Tensor(x), cos, sin).numpy()
    for i, alone in enumerate(angles):
        expected = tg.rotary(tg.Tensor(x[i : i + 1]), *alone).numpy()[0]
        np.testing.assert_array_equal(together[i], expected)


@pytest.mark.parametrize("rows", [3, 9])
@pytest.mark.parametrize(("of_x", "of_w"), [("float32", "float64"), ("float64", "float32")])
def test_linear_computes_in_the_wider_dtype_and_gives_gradients_back_in_each(rows, of_x, of_w):
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(shape) for shape in ((rows, 5), (4, 5), (4,)))
    x_ = tg.Tensor(x.astype(of_x), requires_grad=True)
    w_, b_ = (tg.Tensor(a.astype(of_w), requires_grad=True) for a in (w, b))
    y = tg.linear(x_, w_, b_) + tg.linear(x_, w_, b_)
    y.sum().backward()
    assert y.dtype == np.float64
    np.testing.assert_allclose(y.numpy(), 2 * (x @ w.T + b), rtol=1e-5, atol=1e-5)
    assert w_.grad.dtype == of_w
    np.testing.assert_allclose(w_.grad.numpy(), 2 * np.ones((4, rows)) @ x, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(b_.grad.numpy(), np.full(4, 2.0 * rows), rtol=1e-5)

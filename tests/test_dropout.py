"""Dropout: what is dropped follows from a key and a place; in attention as outside of it."""

import itertools

import numba
import numpy as np
import pytest
from references import np_dropout

import tinygrad_lite as tg
from tinygrad_lite import Tensor

RNG = np.random.default_rng(0)
SHAPES = [(), (0,), (1,), (7,), (3, 0), (0, 3), (2, 3, 5), (4, 1), (1, 70)]
LENGTHS = [(1, 1), (5, 5), (70, 70), (3, 67), (64, 64), (129, 140)]
interpreted = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="too many numbers for Python")


@interpreted
@pytest.mark.parametrize("p", [0.01, 0.2, 0.5, 0.9])
def test_the_share_of_what_is_dropped_is_p(p):
    shape = (1000, 1000)
    zero = tg.dropout(tg.ones(shape), p, 1).numpy() == 0
    deviations = (zero.mean() - p) / np.sqrt(p * (1 - p) / zero.size)
    assert abs(deviations) < 5
    for axis in (0, 1):  # no row and no column has more of it than chance gives
        shares = (zero.mean(axis) - p) / np.sqrt(p * (1 - p) / 1000)
        assert np.abs(shares).max() < 6
        assert 0.9 < shares.var() < 1.1


@interpreted
def test_places_know_nothing_of_each_other():
    one, other = (tg.dropout(tg.ones(1024, 1024), 0.5, seed).numpy() == 0 for seed in (1, 2))
    signs, others = 2.0 * one - 1, 2.0 * other - 1
    limit = 6 / np.sqrt(one.size)
    assert abs((signs * others).mean()) < limit
    for down, right in itertools.product((0, 1, 2, 7, 64), repeat=2):
        if down or right:
            assert abs((signs[down:, right:] * signs[: 1024 - down, : 1024 - right]).mean()) < limit
    # Patterns of eight neighbours are as frequent as each other
    counts = np.bincount(np.packbits(one), minlength=256)
    expected = counts.sum() / 256
    assert ((counts - expected) ** 2 / expected).sum() < 255 + 6 * np.sqrt(2 * 255)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_dropped_is_what_the_formula_says(shape, dtype):
    x = Tensor(RNG.standard_normal(shape).astype(dtype), requires_grad=True)
    y = tg.dropout(x, 0.4, 3)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.numpy(), np_dropout(x.numpy(), 0.4, 3), rtol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np_dropout(np.ones(shape), 0.4, 3), rtol=1e-6)


def test_layouts_make_no_difference():
    x = RNG.standard_normal((6, 10)).astype(np.float32)
    expected = np_dropout(x, 0.3, 5)
    for same in (np.asfortranarray(x), x[::-1][::-1], np.repeat(x, 2, axis=1)[:, ::2]):
        np.testing.assert_allclose(tg.dropout(Tensor(same), 0.3, 5).numpy(), expected, rtol=1e-6)
    assert tg.dropout(Tensor([2, 2, 2, 2]), 0.3, 5).dtype == np.float32  # not cut off to 2
    assert np.isnan(tg.dropout(Tensor([np.nan] * 50), 0.5, 0).numpy()).all()  # nothing is hidden


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_a_probability_of_any_kind_is_that_number(kind):
    ones = np.ones((40, 50))
    expected = np_dropout(ones, float(kind(0.1)), 3)
    np.testing.assert_allclose(tg.dropout(Tensor(ones), kind(0.1), 3).numpy(), expected)


def test_a_generator_goes_on_and_a_number_does_not():
    x, rng = tg.ones(200), np.random.default_rng(4)
    drawn = [tg.dropout(x, 0.5, rng).tolist() for _ in range(3)]
    assert len({*map(tuple, drawn)}) == 3
    rng = np.random.default_rng(4)
    assert [tg.dropout(x, 0.5, rng).tolist() for _ in range(3)] == drawn
    assert tg.dropout(x, 0.5, 4).tolist() == drawn[0]
    rng = np.random.default_rng(4)
    recorded = tg.jit(lambda x: tg.dropout(x, 0.5, rng))
    assert [recorded(x).tolist() for _ in range(3)] == drawn


@pytest.mark.parametrize("p", [-0.1, 1.0, np.nan, "0.1", None])
def test_probabilities_are_checked(p):
    x = tg.ones(1, 1, 2, 4)
    with pytest.raises(ValueError, match="probability"):
        tg.dropout(x, p, 0)
    with pytest.raises(ValueError, match="probability"):
        tg.scaled_dot_product_attention(x, x, x, dropout_p=p, seed=0)


def heads(time, keys, dtype=np.float64, batch=2):
    shapes = [(batch, 3, n, 8) for n in (time, keys, keys)]
    return [RNG.standard_normal(shape).astype(dtype) for shape in shapes]


def attended(arrays, g, p, seed=7, composed=False, causal=True):
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    out = tg.scaled_dot_product_attention(
        *leaves, is_causal=causal, dropout_p=p, seed=seed, return_weights=composed
    )
    out = out[0] if composed else out
    out.backward(g)
    return [out.numpy(), *[leaf.grad.numpy() for leaf in leaves]]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("time", "keys"), LENGTHS)
def test_attention_drops_the_weights_that_dropout_drops(time, keys, causal):
    for p in (0.1, 0.6):
        arrays, g = heads(time, keys), RNG.standard_normal((2, 3, time, 8))
        fused = attended(arrays, g, p, causal=causal)
        composed = attended(arrays, g, p, composed=True, causal=causal)
        for one, other in zip(fused, composed, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-12)
        assert np.abs(fused[0] - attended(arrays, g, 0.0, causal=causal)[0]).max() > 1e-3


def test_gradients_of_attention_with_dropout_are_differences():
    arrays = heads(6, 6)

    def loss(*leaves):
        out = tg.scaled_dot_product_attention(*leaves, is_causal=True, dropout_p=0.3, seed=2)
        return (out * out).sum()

    tg.check_gradients(loss, *arrays)


def test_attention_with_dropout_can_be_differentiated_twice():
    q, k, v = heads(5, 5)

    def slope(composed):
        def loss(q):
            out = tg.scaled_dot_product_attention(
                q, k, v, True, dropout_p=0.3, seed=2, return_weights=composed
            )
            out = out[0] if composed else out
            return (out * out).sum()

        return tg.hessian_vector_product(loss, Tensor(q), Tensor(k)).numpy()

    np.testing.assert_allclose(slope(False), slope(True), atol=1e-12)
    dropped = tg.grad(lambda x: (tg.dropout(x, 0.5, 1) ** 3).sum())
    x = RNG.standard_normal(30)
    twice = tg.grad(lambda x: dropped(x).sum())(Tensor(x)).numpy()
    factors = np_dropout(np.ones(30), 0.5, 1)
    np.testing.assert_allclose(twice, 6 * x * factors**3)


def test_threads_and_parts_of_a_batch_drop_the_same():
    arrays, g = heads(33, 33, np.float32, batch=5), RNG.standard_normal((5, 3, 33, 8))
    x, rng, before = RNG.standard_normal((5, 4, 30)), np.random.default_rng, tg.get_num_threads()
    whole, y = attended(arrays, g, 0.4), tg.dropout(Tensor(x), 0.4, rng(9)).numpy()
    tg.set_num_threads(1)
    try:
        for one, other in zip(attended(arrays, g, 0.4), whole, strict=True):
            np.testing.assert_array_equal(one, other)
    finally:
        tg.set_num_threads(before)
    for part in (slice(0, 2), slice(2, 3), slice(3, 5)):
        with tg.rows_drawn(part.start, part.stop):
            found = attended([a[part] for a in arrays], g[part], 0.4)
            np.testing.assert_array_equal(tg.dropout(Tensor(x[part]), 0.4, rng(9)).numpy(), y[part])
        for one, other in zip(found, whole, strict=True):
            np.testing.assert_array_equal(one, other[part])
    for drops in (lambda: tg.dropout(tg.ones(4, 3), 0.5, 0), lambda: attended(arrays, g, 0.5)):
        with (
            tg.rows_drawn(0, 2),
            pytest.raises(ValueError, match="first axis is that of the batch"),
        ):
            drops()
    after, plain = (np.random.default_rng(1) for _ in range(2))
    with tg.rows_drawn(0, 2), pytest.raises(ValueError, match="first axis"):
        tg.dropout(tg.ones(4, 3), 0.5, after)
    assert after.random() == plain.random()  # what was refused has drawn nothing
    ones = tg.ones(100, 40, 3)
    y = tg.dropout(ones, 0.5, 1).numpy()
    with tg.rows_drawn(np.int8(98), np.int8(100)):
        np.testing.assert_array_equal(tg.dropout(ones[98:], 0.5, 1).numpy(), y[98:])


def test_one_axis_in_parts_drops_the_same():
    x = tg.ones(50)
    y = tg.dropout(x, 0.5, 3).tolist()
    with tg.rows_drawn(20, 50):
        assert tg.dropout(x[20:], 0.5, 3).tolist() == y[20:]

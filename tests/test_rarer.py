"""Linear algebra, statistics, special functions and random numbers at their edges: what the rows of
rarer_rows.py, whose inputs are kind, do not reach."""

import numpy as np
import pytest

import tinygrad_lite as tg
from tinygrad_lite import Tensor, linalg


def leaf(x):
    return Tensor(np.asarray(x, np.float64), requires_grad=True)


def test_a_determinant_has_its_cofactors_as_gradient_also_where_it_is_zero():
    x = leaf([[1, 2, 3], [2, 4, 6], [1, 0, 5]])
    linalg.det(x).backward()
    minors = [
        [(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(x.numpy(), i, 0), j, 1))
         for j in range(3)] for i in range(3)
    ]  # fmt: skip
    np.testing.assert_allclose(x.grad.numpy(), minors, atol=1e-12)


def test_decompositions_give_back_what_they_took_apart():
    x = np.random.default_rng(0).standard_normal((2, 4, 3))
    u, s, v = linalg.svd(Tensor(x), full_matrices=False)
    np.testing.assert_allclose((u * s.unsqueeze(-2) @ v).numpy(), x, atol=1e-12)
    for matrix in (x, x.swapaxes(1, 2)):
        q, r = linalg.qr(Tensor(matrix))
        np.testing.assert_allclose((q @ r).numpy(), matrix, atol=1e-12)
        np.testing.assert_allclose(np.tril(r.numpy(), -1), 0, atol=1e-12)
    w, vectors = linalg.eigh(Tensor(x @ x.swapaxes(1, 2)))
    again = vectors * w.unsqueeze(-2) @ vectors.transpose()
    np.testing.assert_allclose(again.numpy(), x @ x.swapaxes(1, 2), atol=1e-12)
    back = linalg.pinv(Tensor(x)) @ Tensor(x)
    np.testing.assert_allclose(back.numpy(), np.broadcast_to(np.eye(3), (2, 3, 3)), atol=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: linalg.inv(tg.ones(2, 3)),
        lambda: linalg.solve(tg.eye(3), tg.ones(2, 1)),
        lambda: linalg.inv(tg.zeros(2, 2)),
        lambda: linalg.svd(tg.ones(3, 2, requires_grad=True)),
        lambda: linalg.qr(tg.ones(3, 2, requires_grad=True), "complete"),
        lambda: tg.cross(tg.ones(2), tg.ones(2)),
        lambda: tg.outer(tg.ones(2, 2), tg.ones(2)),
        lambda: tg.tensordot(tg.ones(2, 3), tg.ones(2, 3), 1),
        lambda: tg.quantile(tg.ones(3), 1.5),
        lambda: tg.quantile(tg.ones(0), 0.5),
        lambda: tg.median(tg.ones(0, 2), 0),
        lambda: tg.histc(Tensor([1.0, np.inf])),
        lambda: tg.masked_scatter(tg.zeros(3), [True, True, False], tg.ones(1)),
        lambda: tg.multinomial(tg.zeros(3), 1, seed=0),
        lambda: tg.multinomial(Tensor([1.0, 0.0]), 2, seed=0),
        lambda: tg.bernoulli(Tensor([1.5]), 0),
        lambda: tg.polygamma(-1, tg.ones(1)),
        lambda: tg.im2col(tg.ones(1, 1, 2, 2), 3),
        lambda: tg.grid_sample(tg.ones(1, 1, 2, 2), tg.ones(1, 2, 2, 3)),
        lambda: tg.hsplit(tg.ones(2, 3), 2),
        lambda: tg.randint(0, 300, 4, seed=0, dtype=np.uint8),
        lambda: Tensor([1, 2]).bincount([1.0]),
        lambda: tg.embedding_bag([0, 1], tg.ones(2, 3), [1, 2]),
        lambda: tg.embedding_bag([0, 1], tg.ones(2, 3)),
        lambda: tg.embedding_bag([[0, 1]], tg.ones(2, 3), per_sample_weights=tg.ones(1, 2)),
        lambda: tg.channel_shuffle(tg.ones(1, 3), 2),
    ],
)
def test_what_makes_no_sense_is_refused(call):
    with pytest.raises(ValueError, match=r"\n  try |Singular"):
        call()


def test_nan_is_the_median_where_it_is_and_skipped_where_it_is_not_wanted():
    x = Tensor([3.0, np.nan, 1.0, 2.0])
    assert np.isnan(tg.median(x).item())
    assert tg.nanmedian(x).item() == 2
    assert np.isnan(tg.quantile(x, 0.5).item())
    assert tg.nanquantile(x, 0.5).item() == 2
    assert np.isnan(tg.nanquantile(Tensor([np.nan]), 0.5).item())


def test_a_share_that_is_learned_has_the_slope_between_its_neighbours():
    q = leaf([0.1, 0.9])
    tg.quantile(leaf([0.0, 1.0, 5.0]), q).sum().backward()
    np.testing.assert_allclose(q.grad.numpy(), [2 * 1.0, 2 * 4.0])


def test_a_norm_that_is_zero_has_no_slope_whatever_its_power():
    for p in (-np.inf, -2, -0.5, 0, 0.5, 1, 2, 3):
        x = leaf([0.0, 0.0])
        y = x.norm(p)
        y.backward()
        np.testing.assert_array_equal([y.item(), *x.grad.numpy()], 0)


def test_shares_of_the_normal_distribution_go_there_and_back():
    p = np.array([1e-12, 0.02, 0.5, 0.975])
    np.testing.assert_allclose(tg.ndtr(tg.ndtri(Tensor(p))).numpy(), p, rtol=1e-4)
    np.testing.assert_array_equal(
        tg.ndtri(Tensor(np.array([0, 1], np.uint8))).numpy(), [-np.inf, np.inf]
    )
    x = leaf([1.0, 0.5])
    tg.entr(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), -np.log([1.0, 0.5]) - 1)
    y = tg.entr(Tensor([0.0, 0.5, -1.0]))
    np.testing.assert_allclose(y.numpy(), [0, 0.5 * np.log(2), -np.inf], rtol=1e-6)
    np.testing.assert_array_equal(
        tg.xlog1py(Tensor([0.0, 0.0]), Tensor([-1.0, np.nan])).numpy(), [0, np.nan]
    )


def test_special_functions_at_their_edges():
    edges = Tensor([0.0, -1.0, np.inf, np.nan])
    np.testing.assert_array_equal(tg.lgamma(edges).numpy(), [np.inf, np.inf, np.inf, np.nan])
    np.testing.assert_array_equal(tg.digamma(edges).numpy(), [-np.inf, np.nan, np.inf, np.nan])
    np.testing.assert_array_equal(tg.polygamma(1, edges).numpy(), [np.inf, np.inf, 0, np.nan])
    found = tg.erfinv(Tensor([-1.0, 1.0, 1.5, 0.0])).numpy()
    np.testing.assert_array_equal(found, [-np.inf, np.inf, np.nan, 0])
    x = np.concatenate([np.linspace(-0.999999, 0.999999, 99), [1e-300, 1 - 2**-53]])
    np.testing.assert_allclose(tg.erf(tg.erfinv(x)).numpy(), x, rtol=1e-15)


def test_draws_have_the_shares_that_were_asked_for():
    shares = np.array([0.1, 0.0, 0.6, 0.3])
    drawn = tg.multinomial(Tensor(shares * 7), 20_000, replacement=True, seed=1)
    np.testing.assert_allclose(drawn.bincount(None, 4).numpy() / 20_000, shares, atol=0.02)
    once = tg.multinomial(Tensor(np.tile(shares, (4_000, 1))), 3, seed=2).numpy()
    assert np.all(np.sort(once, 1) == [0, 2, 3])
    np.testing.assert_allclose(np.mean(once[:, 0] == 2), 0.6, atol=0.03)
    np.testing.assert_allclose(
        tg.bernoulli(tg.full((9_999,), 0.3), 0).mean().item(), 0.3, atol=0.02
    )
    x = tg.zeros(20_000)
    for fill, mean in (
        (lambda: x.exponential_(2.0, seed=0), 0.5),
        (lambda: x.geometric_(0.25, seed=0), 4.0),
        (lambda: x.uniform_(1, 3, seed=0), 2.0),
        (lambda: x.normal_(5.0, 2.0, seed=0), 5.0),
    ):
        assert fill() is x
        np.testing.assert_allclose(x.mean().item(), mean, rtol=0.05)


def test_fractions_are_not_drawn_into_integers():
    whole = Tensor([0, 0, 0])
    for call in (
        lambda: whole.uniform_(seed=0),
        lambda: tg.rand_like(whole, 0),
        lambda: tg.randn(2, seed=0, dtype=np.int64),
    ):
        with pytest.raises(TypeError, match="fractions"):
            call()
    assert whole.geometric_(0.9, seed=0).dtype == np.int64


def test_solutions_of_two_dtypes_have_gradients_in_these():
    a = Tensor(np.eye(2, dtype=np.float32) * 2, requires_grad=True)
    b = leaf([1.0, 2.0])
    x = linalg.solve(a, b)
    x.sum().backward()
    assert (x.dtype, a.grad.dtype, b.grad.dtype) == (np.float64, np.float32, np.float64)
    assert linalg.solve(a, [1, 2]).dtype == np.float32


def test_alpha_dropout_keeps_mean_and_variance():
    x = tg.randn(50_000, seed=0)
    for y in (tg.alpha_dropout(x, 0.3, 1), tg.feature_alpha_dropout(x.reshape(1000, 50), 0.3, 1)):
        np.testing.assert_allclose([y.mean().item(), y.std().item()], [0, 1], atol=0.03)


def test_columns_of_patches_are_a_convolution_and_go_back():
    x, w = tg.randn(2, 3, 6, 5, seed=0), tg.randn(4, 3, 3, 2, seed=1)
    how = dict(dilation=(1, 2), padding=(1, 2), stride=(2, 1))
    columns = tg.im2col(x, (3, 2), **how)
    y = (w.reshape(4, -1) @ columns).reshape(tg.conv2d(x, w, **how).shape)
    np.testing.assert_allclose(y.numpy(), tg.conv2d(x, w, **how).numpy(), atol=1e-5)
    counts = tg.col2im(tg.im2col(tg.ones(1, 1, 6, 5), (3, 2), **how), (6, 5), (3, 2), **how)
    again = tg.col2im(columns, (6, 5), (3, 2), **how)
    np.testing.assert_allclose(again.numpy(), (x * counts).numpy(), atol=1e-5)


def test_a_grid_of_its_own_places_gives_the_image():
    x = tg.randn(1, 2, 4, 5, seed=0)
    down, across = np.linspace(-1, 1, 4), np.linspace(-1, 1, 5)
    grid = np.stack(np.meshgrid(across, down), -1)[None].astype(np.float32)
    for mode in ("bilinear", "nearest", "bicubic"):
        y = tg.grid_sample(x, Tensor(grid), mode, align_corners=True)
        np.testing.assert_allclose(y.numpy(), x.numpy(), atol=1e-5)

"""The packed matrix product: any shape, either operand transposed, any number of threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_lite as tg
from tinygrad_lite.kernels import gemm as g
from tinygrad_lite.kernels import tile

SIZES = st.sampled_from([0, 1, 2, 5, 7, 15, 17, 64, 97, 129, 260])


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    sizes=st.tuples(st.integers(1, 3), SIZES, SIZES, SIZES),
    transposed=st.tuples(st.booleans(), st.booleans()),
    extra=st.sampled_from(["none", "bias", "accumulate"]),
    double=st.booleans(),
)
def test_agrees_with_numpy(sizes, transposed, extra, double):
    batch, m, n, k = sizes
    dtype = np.float64 if double else np.float32
    rng = np.random.default_rng(m + n + k)
    a, b = rng.standard_normal((batch, m, k)), rng.standard_normal((batch, k, n))
    bias, before = rng.standard_normal(n), rng.standard_normal((batch, m, n))
    expected = a @ b + {"none": 0, "bias": bias, "accumulate": before}[extra]
    a, b = (np.swapaxes(x, 1, 2) if t else x for x, t in zip((a, b), transposed, strict=True))
    a, b = np.ascontiguousarray(a, dtype), np.ascontiguousarray(b, dtype)
    out = before.astype(dtype) if extra == "accumulate" else np.full((batch, m, n), np.nan, dtype)
    g.gemm(
        out,
        a,
        b,
        bias=bias.astype(dtype) if extra == "bias" else None,
        transpose_a=transposed[0],
        transpose_b=transposed[1],
        accumulate=extra == "accumulate",
    )
    tolerance = 1e-11 if double else 2e-4
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("transposed", [False, True])
def test_several_panels_and_depths(transposed):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((1, 1000, 33)), rng.standard_normal((1, 1000, 500))
    out = np.empty((1, 33, 500))
    expected = np.swapaxes(a, 1, 2) @ b
    if not transposed:
        a = np.ascontiguousarray(np.swapaxes(a, 1, 2))
    np.testing.assert_allclose(g.gemm(out, a, b, transpose_a=transposed), expected, rtol=1e-10)


@pytest.mark.parametrize("shape", [(65, 129, 300), (1, 500, 64)])
def test_threads_do_not_change_a_bit(shape):
    m, n, k = shape
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((1, m, k), (1, k, n)))
    results = []
    before = tg.get_num_threads()
    try:
        for threads in {1, before}:
            tg.set_num_threads(threads)
            results.append(g.gemm(np.empty((1, m, n), np.float32), a, b))
    finally:
        tg.set_num_threads(before)
    assert all((r == results[0]).all() for r in results)


def test_products_in_several_python_threads_at_once():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 1, 130, 130))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: g.gemm(np.empty((1, 130, 130)), a, b), range(40)))
    np.testing.assert_allclose(results, np.stack([a @ b] * 40), rtol=1e-11, atol=1e-11)


def test_nan_and_infinity_stay_visible():
    a, b = np.ones((1, 8, 8), np.float32), np.ones((1, 8, 8), np.float32)
    a[0, 2, 3] = np.nan
    b[0, 4, 5] = np.inf
    out = g.gemm(np.empty_like(a), a, b)[0]
    assert np.isnan(out[2]).all()
    assert np.isinf(out[0, 5])
    assert np.isfinite(out[0, :5]).all()


def test_the_python_twins_say_the_same():
    rng = np.random.default_rng(0)
    width, depth, ldc = tile.COLUMNS_FLOAT64, 5, 40
    b, a = rng.standard_normal(depth * width), rng.standard_normal(100)
    c, expected = np.zeros(20 * ldc), np.zeros(20 * ldc)
    tile.tile_in_python(3)(c, 2, ldc, a, 1, 7, 2, b, 0, depth, False)
    for i in range(3):
        for j in range(width):
            expected[2 + i * ldc + j] = sum(
                a[1 + i * 7 + k * 2] * b[k * width + j] for k in range(depth)
            )
    np.testing.assert_allclose(c, expected)
    packed = np.zeros(depth * width)
    tile.copy_in_python(tile.columns_of)(packed, 0, np.arange(500.0), 3, 50, 1, depth)
    assert packed[width] == 53
    turned = np.zeros(tile.SQUARE * width)
    tile.turn_columns_in_python(turned, 0, np.arange(1000.0), 3, 50, tile.SQUARE)
    assert (turned[1], turned[width]) == (53, 4)
    strips = np.zeros(2 * depth * tile.ROWS)
    tile.copy_in_python(lambda array: tile.ROWS)(strips, 0, np.arange(500.0), 3, 50, 2, depth)
    assert strips[tile.ROWS] == 53
    assert strips[depth * tile.ROWS] == 3 + tile.ROWS
    counters = np.array([4])
    assert (tile.take_in_python(counters, 0), counters[0]) == (4, 5)

"""Weights in eight bits: what they round, what they refuse, the same bits on each CPU."""

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest

import tinygrad_lite as tg
from gpt.config import GPTConfig
from gpt.model import GPT
from gpt.writing.sampling import Sampling, generate
from tinygrad_lite.fused.linear import to_bfloat16
from tinygrad_lite.kernels.cpu import has_int8_products
from tinygrad_lite.kernels.int8 import from_int8, quantized, to_int8

ROOT = Path(__file__).parent.parent


def test_weights_stored_in_int8_change_little():
    model = GPT(GPTConfig(23, n_layer=2, n_head=2, n_embd=32, block_size=9, bias=True), seed=1)
    for p in model.parameters():
        p.data += 0.3 * np.random.default_rng(p.size).standard_normal(p.shape).astype(np.float32)
    prompt = np.array([3, 1, 4, 1, 5])
    with tg.no_grad():
        exact = model.eval().next_logits(prompt[None]).numpy()
        model.int8()
        whole = model.next_logits(prompt[None]).numpy()
        cache = model.new_cache(1)
        for token in prompt:
            logits = model.next_logits(np.array([[token]]), cache).numpy()
            cache.lengths.data[:] += 1
    for rounded in (logits, whole):
        assert 0 < np.abs(rounded - exact).max() < 0.02 * np.abs(exact).max()
    assert not any(p.ndim == 2 for p in model.parameters())
    stored = [b for _, b in model.named_buffers() if b.dtype == np.int8]
    assert len(stored) == 2 * 6 + 1 + 1 - 1 + (model.config.position == "learned")


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="plain Python cannot be recorded")
def test_a_model_in_int8_writes():
    config = GPTConfig(23, n_layer=2, n_head=2, n_embd=32, block_size=9)
    model, greedy = GPT(config, seed=1).int8(), Sampling(temperature=0)
    cached, whole = (list(generate(model, np.array([3, 1]), 12, greedy, cache=c)) for c in (1, 0))
    assert len(cached) == 12
    assert cached == whole


@pytest.mark.parametrize("columns", [32, 64, 96, 1024, 3072])
@pytest.mark.parametrize("count", [1, 3, 4, 5, 9])
def test_products_of_int8_weights_are_those_of_rounded_weights(columns, count):
    rng = np.random.default_rng(columns)
    w = rng.standard_normal((21, columns)).astype(np.float32) * rng.uniform(0, 9, (21, 1))
    w[3], w[5, :32], w[6] = 0, 0, 1e-30
    x = rng.standard_normal((count, columns)).astype(np.float32)
    packed = to_int8(w.astype(np.float32))
    scale = np.abs(w.reshape(21, -1, 32)).max(-1, keepdims=True) / 127
    rounded = from_int8(packed)
    assert (np.abs(rounded - w).reshape(21, -1, 32) <= 0.501 * scale).all()
    y = tg.linear(tg.Tensor(x), tg.Tensor(packed)).numpy()
    few = from_int8(quantized(x)) if count <= 4 else x
    np.testing.assert_allclose(y, few @ rounded.T, rtol=2e-5, atol=2e-4)
    for part in (packed[:, ::2], packed[::-1], packed[:, ::-1]):
        np.testing.assert_array_equal(from_int8(part), from_int8(part.copy()))
    index = np.array([[0, 20], [7, 7]])
    np.testing.assert_array_equal(tg.embedding(index, tg.Tensor(packed)).numpy(), rounded[index])
    g = tg.Tensor(x, requires_grad=True)
    tg.linear(g, tg.Tensor(packed)).sum().backward()
    np.testing.assert_allclose(g.grad.numpy()[0], rounded.sum(0), rtol=1e-4, atol=1e-2)


def test_scales_whose_product_is_too_large_do_no_harm():
    """Infinity times a sum of 0 would not be a number"""
    x, w = np.zeros((2, 1, 64), np.float32)
    x[0, 0], w[0, 9] = 1e38, 1e35
    x[0, 40], w[0, 40] = 2, 3
    assert tg.linear(tg.Tensor(x), tg.Tensor(to_int8(w))).numpy() == pytest.approx(6)
    for large, small in ((1e35, 1e-35), (1e-35, 1e35)):
        w, x = np.full((1, 96), large, np.float32), np.full((1, 96), small, np.float32)
        assert tg.linear(tg.Tensor(x), tg.Tensor(to_int8(w))).numpy() == pytest.approx(96)
    with pytest.raises(ValueError, match="at most 1e"):
        to_int8(np.full((1, 32), 1.1e35, np.float32))


def test_a_product_with_int8_weights_does_not_depend_on_the_threads():
    rng = np.random.default_rng(0)
    packed = to_int8(rng.standard_normal((500, 512)).astype(np.float32))
    x, found = tg.Tensor(rng.standard_normal((2, 512)).astype(np.float32)), []
    for threads in {1, tg.get_num_threads()}:
        before = tg.get_num_threads()
        tg.set_num_threads(threads)
        found.append(tg.linear(x, tg.Tensor(packed)).numpy())
        tg.set_num_threads(before)
    assert all((f == found[0]).all() for f in found)


PRODUCTS = """
import sys
import numpy as np
from tinygrad_lite.kernels.cpu import has_int8_products
from tinygrad_lite.kernels.int8 import BLOCK, SCALE
from tinygrad_lite.fused.linear import few_rows_int8
assert has_int8_products() == (sys.argv[1] == "True")
rng = np.random.default_rng(0)
numbers, shape = np.array([-127, -126, -1, 0, 5, 127], np.int8), (5, SCALE + BLOCK)
x, w = (rng.choice(numbers, (n, *shape)) for n in (3, 90))
for packed in (x, w):
    packed[..., :SCALE] = rng.uniform(0, 1e-3, (*packed.shape[:2], 1)).astype("<f4").view(np.int8)
y = np.empty((3, 90), np.float32)
few_rows_int8(y, x, w, np.empty(0, np.float32))
print(y.tobytes().hex())
"""


@pytest.mark.skipif(not has_int8_products(), reason="the CPU adds products of int8 one by one")
def test_products_in_int8_have_the_same_bits_on_every_cpu():
    features = numba.config.CPU_FEATURES or llvm.get_host_cpu_features().flatten()
    without = ",".join(f"-{f[1:]}" if "vnni" in f else f for f in features.split(","))
    found = []
    for has, wanted in ((True, features), (False, without)):
        environment = {**os.environ, "NUMBA_CPU_FEATURES": wanted, "NUMBA_CPU_NAME": "generic"}
        done = subprocess.run(
            [sys.executable, "-c", PRODUCTS, str(has)], env=environment, cwd=ROOT,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found.append(done.stdout)
    assert len(found[0]) > 1000
    assert found[0] == found[1]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_never_rounded_to_eight_bits(wrong):
    x = np.ones((2, 96), np.float32)
    x[1, 40] = wrong
    packed = tg.Tensor(to_int8(np.eye(96, dtype=np.float32)))
    y = tg.linear(tg.Tensor(x), packed).numpy()
    assert (y[0] == 1).all()
    assert np.isnan(y[1]).all()


def test_a_matrix_of_small_integers_is_no_matrix_in_eight_bits():
    w = np.arange(3 * 36, dtype=np.int8).reshape(3, 36)
    x = np.ones((2, 36), np.float32)
    assert (tg.linear(tg.Tensor(x), tg.Tensor(w)).numpy() == w.sum(1, dtype=int)).all()
    assert (tg.embedding(np.array([2, 0]), tg.Tensor(w)).numpy() == w[[2, 0]]).all()
    for no_matrix in (np.float32(1), np.ones(36, np.float32), np.ones((3, 2, 32), np.int8)):
        with pytest.raises(ValueError, match=r"\n  try a matrix"):
            tg.linear(tg.Tensor(x), tg.Tensor(no_matrix))
        with pytest.raises(TypeError, match="the weight is"):
            tg.embedding(np.array([0]), tg.Tensor(no_matrix))


def test_what_eight_bits_cannot_hold_is_refused():
    layer = tg.nn.Linear(32, 3, rng=0)
    layer.weight.data[1, 2] = np.inf
    with pytest.raises(ValueError, match="must be finite"):
        layer.int8()
    assert layer.weight.dtype == np.float32
    narrow = tg.nn.Linear(33, 3, rng=0).int8()
    assert narrow.weight.dtype == np.uint16
    with pytest.raises(ValueError, match=r"try x \(..., 32\)"):
        tg.linear(tg.ones(2, 36), tg.Tensor(to_int8(np.ones((3, 32), np.float32))))
    x = tg.Tensor(np.ones((2, 32)))  # float64
    assert tg.linear(x, tg.Tensor(to_int8(np.ones((3, 32), np.float32)))).dtype == np.float64


def test_stored_weights_take_other_dtypes_of_x_and_must_be_matrices():
    half = tg.Tensor(to_bfloat16(np.ones((3, 32), np.float32)))
    y = tg.linear(tg.Tensor(np.ones((2, 32))), half)
    assert y.dtype == np.float64
    assert (y.numpy() == 32).all()
    for shape in ((3,), (3, 2, 2)):
        with pytest.raises(TypeError, match="the weight is"):
            tg.embedding(tg.Tensor(np.array([0])), tg.Tensor(np.zeros(shape, np.uint16)))


def test_a_width_of_other_than_whole_blocks_is_refused():
    with pytest.raises(ValueError, match="multiple of 32"):
        to_int8(np.ones((3, 33), np.float32))

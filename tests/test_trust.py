"""Operands, gradients, state and modules are right, or refused: what strangers found."""

import copy
import math
import pickle

import numpy as np
import pytest

import tinygrad_lite as tg
from tinygrad_lite import Tensor, nn, optim

F32 = np.float32


def ones(*shape):
    return np.ones(shape, F32)


def test_a_gradient_has_the_shape_of_its_tensor():
    w = Tensor(ones(1000), requires_grad=True)
    with pytest.raises(ValueError, match="grad: a gradient has the shape"):
        w.grad = Tensor(ones(3))
    w.grad = Tensor(ones(1000))
    w.grad.data = ones(3)
    for step in (optim.SGD([w]).step, optim.Adam([w]).step):
        with pytest.raises(ValueError, match="one shape and one dtype"):
            step()
    np.testing.assert_array_equal(w.numpy(), ones(1000))


def test_state_of_another_shape_or_dtype_is_refused():
    w = Tensor(ones(10), requires_grad=True)
    adam = optim.Adam([w])
    state = adam.state_dict()
    for wrong in (np.zeros(3, F32), np.zeros(10)):
        with pytest.raises(ValueError, match=r"0\.m is"):
            adam.load_state_dict({**state, "0.m": wrong})
    with pytest.raises(ValueError, match=r"0\.v is missing"):
        adam.load_state_dict({"steps": state["steps"], "0.m": state["0.m"]})
    w.data = w.data.astype("f8")
    w.grad = Tensor(np.ones(10))
    with pytest.raises(ValueError, match="one shape and one"):
        adam.step()


def test_a_cache_knows_its_room():
    cache = tg.KVCache(layers=1, batch=1, size=4, heads=1, head_size=2)
    q = Tensor(np.ones((1, 1, 1, 2), F32))
    with tg.no_grad():
        attend = tg.jit(lambda q: cache.attend(0, q, q, q))
        for _ in range(4):
            attend(q)
            cache.lengths.data[:] += 1
        with pytest.raises(ValueError, match="room for 4 positions"):
            attend(q)
        with pytest.raises(ValueError, match="KVCache: q, k and v are"):
            cache.attend(0, Tensor(np.ones((1, 2, 1, 2), F32)), q, q)


def test_operands_of_fused_ops_are_checked():
    x = Tensor(ones(2, 3))
    with pytest.raises(ValueError, match="bias as long as its first"):
        tg.linear(x, Tensor(ones(4, 3)), Tensor(ones(1)))
    with pytest.raises(ValueError, match="layernorm: weight and bias"):
        tg.layernorm(x, Tensor(ones(3)), Tensor(ones(1)))
    for half in (np.float16,):
        with pytest.raises(TypeError, match="float32 and float64"):
            tg.layernorm(Tensor(ones(2, 3).astype(half)), Tensor(ones(3)))
    y = Tensor(ones(2, 3).astype(np.float16)) @ Tensor(ones(3, 2).astype(np.float16))
    assert y.dtype == np.float16


def test_attention_of_mixed_dtypes():
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((1, 2, 64, 64)) for _ in range(3))
    mixed = tg.scaled_dot_product_attention(Tensor(q.astype(F32)), Tensor(k), Tensor(v))
    whole = tg.scaled_dot_product_attention(
        Tensor(q.astype(F32).astype("f8")), Tensor(k), Tensor(v)
    )
    np.testing.assert_array_equal(mixed.numpy(), whole.numpy())


def test_masks_of_attention():
    rng = np.random.default_rng(0)
    q, k, v = (Tensor(rng.standard_normal((1, 2, 5, 4)).astype(F32)) for _ in range(3))
    causal = tg.scaled_dot_product_attention(q, k, v, is_causal=True).numpy()
    allowed = np.tril(np.ones((5, 5), bool))
    added = np.where(allowed, 0, -np.inf).astype(F32)
    for mask in (allowed, added, Tensor(added)):
        masked = tg.scaled_dot_product_attention(q, k, v, attn_mask=mask).numpy()
        np.testing.assert_allclose(masked, causal, rtol=1e-5, atol=1e-6)


def test_integers_into_fused_ops():
    i = Tensor(np.arange(6).reshape(2, 3))
    f = i.astype(F32)
    w = Tensor(ones(3))
    for function in (lambda x: tg.layernorm(x, w), lambda x: tg.cross_entropy(x, np.array([0, 1])),
                     lambda x: tg.linear(x, Tensor(ones(2, 3))), tg.softmax, tg.gelu,
                     tg.rmsnorm):  # fmt: skip
        np.testing.assert_array_equal(function(i).numpy(), function(f).numpy())
        assert function(i).dtype == np.float32


def test_data_that_changes_before_backward_is_refused():
    w, x = Tensor(ones(3), requires_grad=True), Tensor(ones(3))
    for changed in (w, x):
        y = (x * w).sum()
        changed.data += 1
        with pytest.raises(RuntimeError, match="data must not change between"):
            y.backward()
    y = (x * w).sum()
    w.grad = Tensor(ones(3))
    optim.SGD([w]).step()
    with pytest.raises(RuntimeError, match="data must not change between"):
        y.backward()


def test_scalars_are_weak_and_lists_take_the_dtype():
    x = Tensor(ones(2))
    c = Tensor(np.array([True, False]))
    for y in (x * np.sqrt(0.5), x * [1.0, 2.0], tg.where(c, 1.0, 0.0), x + 1, x / np.float64(3),
              x * Tensor(np.arange(2)), x ** np.float64(2), tg.maximum(x, 0.5), np.float64(2) * x,
              x.clip(np.float64(0), 1), tg.where(c, x, 0.0), x * Tensor(np.float64(2.0)),
              Tensor(np.arange(2)) * 0.5, Tensor(np.arange(2)) / 2):  # fmt: skip
        assert y.dtype == np.float32
    assert (Tensor(np.arange(2)) * [1, 2]).dtype == np.int64
    assert tg.where(c, 1, 0).dtype == np.int64


def test_corners_of_derivatives():
    def gradient(function, *values):
        x = Tensor(np.array(values, F32), requires_grad=True)
        function(x).sum().backward()
        return x.grad.numpy().tolist()

    assert gradient(lambda x: x**0, 0.0, 2.0) == [0, 0]
    assert gradient(lambda x: x ** Tensor([0.0, 2.0]), 0.0, 3.0) == [0, 6]
    with np.errstate(invalid="ignore"):
        assert math.isnan(gradient(lambda x: Tensor([-2.0]) ** x, 2.0)[0])
    assert gradient(lambda x: Tensor([0.0]) ** x, 2.0) == [0]
    assert gradient(lambda x: x.clip(0.0, 1.0), -1.0, 0.0, 0.5, 1.0, 2.0) == [0, 1, 1, 1, 0]
    assert gradient(lambda x: x.std(), 3.0, 3.0, 3.0) == [0, 0, 0]


def test_integers_at_their_limits():
    assert Tensor(np.array([-2147483648, 5], np.int32)).min().item() == -2147483648
    assert Tensor(np.array([0, 5, 9], np.uint8)).min().item() == 0
    total = Tensor(np.array([1, 2], np.uint8)).sum()
    assert (total - 10).item() == -7


def test_einsum_checks_its_letters():
    with pytest.raises(ValueError, match="a letter stands for axes of one length"):
        tg.einsum("ij,ji->", ones(2, 3), ones(2, 3))
    with pytest.raises(ValueError, match="a letter stands for axes of one length"):
        tg.einsum("ij,ij->i", ones(2, 6), ones(3, 4))


def test_the_first_number_that_is_not_finite_is_named():
    x = Tensor(np.array([1.0, 0.0], F32), requires_grad=True)
    with tg.find_mistakes():
        with pytest.raises(
            ArithmeticError, match=r"-inf \(1 of 2\) from log at .*test_trust.py:\d"
        ):
            (x + 0).log()
        y = (x.sqrt() * 2).sum()
        with pytest.raises(ArithmeticError, match=r"inf .* from the gradient of sqrt at .*test_tr"):
            y.backward()
        masked = tg.softmax(x.masked_fill(np.array([True, False]), -np.inf))  # on purpose: passes
        masked.sum().backward()


def test_a_change_of_data_is_named_in_whatever_way_it_is_made():
    w = Tensor(ones(3), requires_grad=True)
    with tg.find_mistakes():
        y = (w * 2 * w).sum()
        w.data[0] = 5
        with pytest.raises(RuntimeError, match=r"other data \(3,\) in an operand of mul at .*:\d+"):
            y.backward()


def test_sequential_takes_modules_only():
    with pytest.raises(TypeError, match="each part is a module"):
        nn.Sequential(nn.Linear(2, 2, rng=0), tg.relu)
    with pytest.raises(TypeError, match="each part is a module"):
        nn.Sequential([nn.Linear(2, 2, rng=0)])


def test_parameters_have_memory_of_their_own():
    initial = ones(3)
    a, b = nn.Parameter(initial), nn.Parameter(initial)
    a.data += 1
    np.testing.assert_array_equal(b.numpy(), ones(3))
    np.testing.assert_array_equal(initial, ones(3))


def test_plain_tensors_are_not_trained_and_buffers_are_kept():
    class Scaled(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(ones(2))
            self.table = nn.Buffer(ones(3))
            self.note = Tensor(ones(4), requires_grad=True)

    module = Scaled()
    assert [n for n, _ in module.named_parameters()] == ["weight"]
    assert list(module.state_dict()) == ["weight", "table"]
    with pytest.raises(ValueError, match="table is missing; extra is not part"):
        module.load_state_dict({"weight": ones(2), "extra": ones(1)})
    module.load_state_dict({"weight": 2 * ones(2), "extra": ones(1)}, strict=False)
    np.testing.assert_array_equal(module.weight.numpy(), 2 * ones(2))


def test_optimizers_take_leaves_and_groups():
    w, v = Tensor(ones(2), requires_grad=True), Tensor(ones(2), requires_grad=True)
    with pytest.raises(ValueError, match="got the result of mul"):
        optim.SGD([w * 0.1])
    opt = optim.SGD([{"params": [w], "lr": 0.5}, {"params": [v]}], lr=0.25)
    w.grad, v.grad = Tensor(ones(2)), Tensor(ones(2))
    opt.step()
    np.testing.assert_array_equal(w.numpy(), 0.5 * ones(2))
    np.testing.assert_array_equal(v.numpy(), 0.75 * ones(2))
    with pytest.raises(ValueError, match="got 'momentun'"):
        optim.SGD([{"params": [w], "momentun": 0.5}])


def test_small_things():
    loss = Tensor(1.23456)
    assert f"{loss:.2f}" == "1.23"
    np.testing.assert_array_equal(np.asarray(Tensor([1.0, 2.0])), [1, 2])
    with pytest.raises(TypeError, match="without axes"):
        list(Tensor(3.0))
    assert len(list(Tensor(ones(3, 2)))) == 3
    assert isinstance(nn.ReLU(), nn.ReLU)
    assert nn.LayerNorm(64, 1e-6).eps == 1e-6
    layer = nn.Sequential(nn.Linear(3, 2, rng=0), nn.ReLU())
    assert "Linear" in repr(layer)
    assert "weight=[2, 3]" in repr(layer)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(other[0].weight.numpy(), layer[0].weight.numpy())
        other[0].weight.data += 1
        assert not np.array_equal(other[0].weight.numpy(), layer[0].weight.numpy())
        assert isinstance(other[0].weight, nn.Parameter)
        assert other[0].weight.requires_grad
    assert "ops" not in tg.__all__
    assert {"Tensor", "nn", "jit"} <= set(tg.__all__)
    x = Tensor([2.0], requires_grad=True)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8


def test_indices_may_change_after_the_forward_pass():
    x = Tensor(np.zeros((4, 3), F32), requires_grad=True)
    t = np.zeros(4, np.int64)
    loss, rows = tg.cross_entropy(x, t), tg.embedding(t, x).sum()
    t[:] = 10**10
    loss.backward()
    rows.backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_a_cache_whose_parts_were_replaced_is_refused():
    cache, q = tg.KVCache(1, 4, 8, 2, 4), Tensor(ones(4, 2, 1, 4))
    for name, wrong in (("lengths", np.zeros(1, np.int64)), ("lengths", np.zeros(4)),
                        ("values", np.zeros((1, 4, 2, 3, 4), F32))):  # fmt: skip
        other = copy.deepcopy(cache)
        getattr(other, name).data = wrong
        with pytest.raises(ValueError, match="KVCache: q, k and v are"):
            other.attend(0, q, q, q)


def test_memory_that_must_not_be_written_to_is_refused():
    w = Tensor(np.frombuffer(b"\0" * 8, F32), requires_grad=True)
    w.grad = Tensor(ones(2))
    with pytest.raises(ValueError, match="may be written to"):
        optim.SGD([w], lr=0.1).step()


def test_backward_refuses_only_what_it_speaks_of():
    a, b = Tensor(ones(2), requires_grad=True), Tensor(ones(2), requires_grad=True)
    opt = optim.SGD([a, b], lr=0.1)
    of_b, of_a = (b * b).sum(), (a * a).sum()
    of_a.backward()
    opt.step()
    of_b.backward()
    y = (a + b).sum()
    b.data = b.data - 0.1
    y.backward()


def test_a_whole_step_may_be_searched_for_mistakes():
    w = Tensor([1.0], requires_grad=True)
    opt = optim.AdamW([w])
    with tg.find_mistakes():
        tg.where(np.array([True]), w, np.float32(-np.inf)).sum().backward()
        optim.clip_grad_norm([w], 0.5)
        opt.step()


def test_a_number_may_be_used_many_times():
    x = Tensor(2.0, requires_grad=True)
    y = x * 1
    (y + y + y + y * y).backward()
    assert x.grad.item() == 7

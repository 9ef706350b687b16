"""The tape: what is recorded, in which order gradients flow, what is freed, what errors say."""

import gc
import weakref

import numpy as np
import pytest

import tinygrad_lite as tg
from tinygrad_lite import Tensor
from tinygrad_lite.tensor import REGISTRY


def leaf(*values):
    return Tensor(np.array(values, np.float64), requires_grad=True)


def test_a_polynomial_by_hand():
    x = leaf(2.0, 3.0)
    (x**3 + 2 * x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [3 * 4 + 2, 3 * 9 + 2])


def test_dtypes_pass_through():
    assert Tensor([1.0, 2.0]).dtype == np.float32
    assert Tensor(1.5).dtype == np.float32
    for dtype in (np.float64, np.float32, np.int64, np.int32, np.uint8, np.bool_):
        assert Tensor(np.zeros(2, dtype)).dtype == dtype
    x = Tensor(np.zeros(2, np.float32))
    assert (x * 2.0).dtype == np.float32
    assert (1 / (x + 1)).dtype == np.float32
    assert (Tensor(np.array([3, 4])) / 2).dtype == np.float32


def test_arrays_and_tensors_mix_on_both_sides():
    x = leaf(1.0, 2.0)
    for y in (np.array([3.0, 4.0]) + x, np.array([3.0, 4.0]) @ x, 1 - x, 2**x, x * [1.0, 2.0]):
        assert isinstance(y, Tensor)
        assert y.requires_grad


def test_comparisons_give_booleans_without_history():
    x = leaf(1.0, -1.0)
    assert (x > 0).numpy().tolist() == [True, False]
    assert not (x > 0).requires_grad
    assert len({x, x}) == 1


def test_gradients_accumulate_over_uses_and_over_calls():
    x = leaf(1.0, 2.0)
    (x + x + x * x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [4, 6])
    x.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [5, 7])


def test_leaves_do_not_share_their_gradients():
    a, b = leaf(1.0), leaf(2.0)
    g = np.ones(1)
    (a + b).backward(g)
    a.grad.numpy()[:] = 7
    assert b.grad.numpy() == 1
    assert g == 1


def test_a_leaf_that_is_its_own_result():
    x = leaf(3.0)
    x.backward()
    assert x.grad.item() == 1


def test_deep_chains_are_no_problem():
    x = leaf(1.0)
    y = x
    for _ in range(10_000):
        y = y + 0.001
    y.backward()
    assert x.grad.item() == 1


def test_diamonds_visit_each_node_once():
    x = leaf(1.0)
    y = x
    for _ in range(60):  # 2**60 paths
        y = (y + y) * 0.5
    y.backward()
    assert x.grad.item() == pytest.approx(1)


def test_backward_frees_what_it_used():
    x = leaf(*np.linspace(0, 1, 1000))
    y = x.exp()
    kept = weakref.ref(y.data)
    loss = y.sum()
    del y
    gc.disable()
    try:
        assert kept() is not None
        loss.backward()
        assert kept() is None
    finally:
        gc.enable()


def test_no_reference_cycles():
    x = leaf(*np.linspace(0, 1, 1000))
    y = (x.exp() * x).softmax()
    kept = weakref.ref(y)
    gc.disable()
    try:
        del y
        assert kept() is None
    finally:
        gc.enable()


def test_no_grad_records_nothing_and_nests():
    x = leaf(1.0)
    with tg.no_grad():
        with tg.no_grad():
            pass
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    assert not x.detach().requires_grad


def test_frozen_leaves_get_no_gradient():
    x, w = leaf(1.0, 2.0), Tensor(np.array([3.0, 4.0]))
    (x * w).sum().backward()
    assert w.grad is None


def test_own_ops_can_be_added():
    @tg.op
    def cube(x):
        return x**3, lambda g: (g * 3 * x * x,)

    try:
        assert tg.check_gradients(cube, np.array([1.0, -2.0])) < 1e-5
        x = leaf(2.0)
        cube(x).backward()
        assert x.grad.item() == 12
    finally:
        del REGISTRY["cube"]


def test_tensors_may_be_given_by_name():
    x, w, b = leaf(1.0, 3.0), leaf(1.0, 1.0), leaf(0.0, 0.0)
    tg.layernorm(x, weight=w, bias=b).sum().backward()
    np.testing.assert_allclose(b.grad.numpy(), [1, 1])


def test_mixed_precision_gradients_have_their_leaf_dtype():
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    (x * np.ones(2)).sum().backward()
    assert x.grad.dtype == np.float32


def test_var_of_too_few_elements_warns_like_numpy():
    with pytest.warns(RuntimeWarning):
        assert np.isnan(leaf(1.0).var().item())


def test_seeds_decide_random_tensors():
    assert (tg.randn(3, 2, seed=1).numpy() == tg.randn((3, 2), seed=1).numpy()).all()
    assert (tg.rand(5, seed=1).numpy() != tg.rand(5, seed=2).numpy()).any()
    assert tg.randint(2, 5, 100, seed=0).numpy().min() == 2
    rng = np.random.default_rng(0)
    assert (tg.randn(4, seed=rng).numpy() != tg.randn(4, seed=rng).numpy()).any()


def test_constructors():
    assert tg.zeros(2, 3).shape == (2, 3)
    assert tg.ones((2, 3)).dtype == np.float32
    assert tg.full((2,), 7.0).numpy().tolist() == [7, 7]
    assert tg.arange(3).numpy().tolist() == [0, 1, 2]
    assert tg.arange(0.0, 1.0, 0.5).dtype == np.float32
    assert tg.eye(2).numpy().tolist() == [[1, 0], [0, 1]]
    assert tg.linspace(0, 1, 3).numpy().tolist() == [0, 0.5, 1]
    assert tg.zeros_like(tg.ones(2)).numpy().tolist() == [0, 0]
    assert tg.ones_like(tg.zeros(2)).numpy().tolist() == [1, 1]


ERRORS = {
    "each computed result": lambda: twice(),
    "only a tensor with one element has": lambda: leaf(1.0, 2.0).exp().backward(),
    "only a tensor with one element is": lambda: leaf(1.0, 2.0).item(),
    "nothing that this tensor": lambda: Tensor([1.0]).backward(),
    "the gradient has the shape": lambda: leaf(1.0).exp().backward(np.ones(2)),
    "only floating-point": lambda: Tensor(np.array([1]), requires_grad=True),
    "cannot forget": lambda: setattr(leaf(1.0).exp(), "requires_grad", False),
    "must be real numbers": lambda: Tensor(["a"]),
    "matmul: the last axis": lambda: tg.ones(2, 3) @ tg.ones(2, 3),
    "einsum: the formula names": lambda: tg.einsum("ij->i", tg.ones(2)),
    "cat: at least one": lambda: tg.cat([]),
    "cat: each tensor": lambda: tg.cat([tg.ones(2), tg.ones(2, 2)], 1),
    "gather: x has": lambda: tg.ones(2, 2).gather(0, np.array([0])),
    "gather: every index": lambda: tg.ones(2).gather(0, np.array([-1])),
    "arange: no step": lambda: tg.arange(0, 3, 0),
    "masked_fill: the value must fit": lambda: tg.arange(2).masked_fill(True, 0.5),
    "masked_fill: the value": lambda: tg.ones(2).masked_fill(True, 1j),
    "masked_fill": lambda: tg.ones(2).masked_fill(True, np.array(1j)),
    "split: the sizes must add up": lambda: tg.ones(4).split([1, 2]),
    "split: a part has": lambda: tg.ones(4).split(0),
    "chunk: at least one": lambda: tg.ones(4).chunk(0),
    "pad: there is a width": lambda: tg.ones(4).pad([1]),
    "pad: the mode": lambda: tg.ones(4).pad([(1, 1)], mode="symmetric"),
    "pad: no more": lambda: tg.ones(4).pad([(-5, 0)]),
    "pad: no more is cut": lambda: tg.ones(4).pad([(4, 0)], mode="reflect"),
    "bitwise_and: integers": lambda: tg.ones(2) & 1,
    "floor_div: an integer": lambda: tg.arange(2) // 0,
    "remainder: an integer": lambda: tg.arange(2) % tg.arange(2),
    "fmod: an integer": lambda: tg.fmod(tg.arange(2), 0),
    "scatter: x has": lambda: tg.scatter(tg.ones(2, 2), 0, np.array([0]), 1.0),
    "scatter: every index": lambda: tg.scatter(tg.ones(2), 0, np.array([2]), 1.0),
    "scatter_reduce: the reduction": lambda: tg.scatter_reduce(
        tg.ones(2), 0, np.array([1]), tg.ones(1), "max"
    ),
    "topk: there are": lambda: tg.topk(tg.ones(2), 3),
    "kthvalue: k lies": lambda: tg.ones(2).kthvalue(0),
    "unflatten: the sizes": lambda: tg.ones(6).unflatten(0, (4, -1)),
    "narrow: the part": lambda: tg.ones(6).narrow(0, 4, 3),
    "unfold: a window": lambda: tg.ones(6).unfold(0, 7, 1),
    "diag: x is": lambda: tg.diag(tg.ones(1, 1, 1)),
    "rot90: two axes": lambda: tg.ones(2, 2).rot90(1, (0, -2)),
    "meshgrid: indexing": lambda: tg.meshgrid(tg.ones(2), indexing="yx"),
    "prelu: there is": lambda: tg.prelu(tg.ones(2, 3), tg.ones(2)),
    "glu: the axis": lambda: tg.glu(tg.ones(3)),
    "assignment: what is learned": lambda: leaf(1.0).zero_(),
    "assignment: gradients go": lambda: tg.ones(2, 2)[0].copy_(leaf(1.0)),
    "assignment: fractions": lambda: tg.arange(2).fill_(0.5),
    "clip: at least one limit": lambda: tg.ones(4).clip(),
    "one_hot: every class": lambda: tg.one_hot(np.array([3]), 3),
    "gelu: there is an exact form": lambda: tg.gelu(tg.ones(1), "sigmoid"),
    "layernorm: weight and bias have": lambda: tg.layernorm(tg.ones(2, 3), tg.ones(2)),
    "rmsnorm: the weight has": lambda: tg.rmsnorm(tg.ones(2, 3), tg.ones(2)),
    "token_shift: x is": lambda: tg.token_shift(tg.ones(2, 3), tg.ones(2)),
    "linear: the last axis": lambda: tg.linear(tg.ones(2, 3), tg.ones(2, 2)),
    "rotary: x is": lambda: tg.rotary(tg.ones(1, 2, 1, 3), *tg.rotary_angles(2, 4)),
    "dropout: the probability": lambda: tg.dropout(tg.ones(2), 1.0, 0),
    "embedding: every index": lambda: tg.embedding(np.array([2]), tg.ones(2, 2)),
    "embedding: the index holds": lambda: tg.embedding(np.array([1.0]), tg.ones(2, 2)),
    "cross_entropy: every target": lambda: tg.cross_entropy(tg.ones(1, 2), np.array([2])),
    "cross_entropy: there is one": lambda: tg.cross_entropy(tg.ones(1, 2), np.array([[1]])),
    "scaled_dot_product_attention: q is": lambda: tg.scaled_dot_product_attention(
        *[tg.ones(1, 2, 3)] * 3
    ),
    "set_num_threads": lambda: tg.set_num_threads(0),
}


def twice():
    y = leaf(1.0).exp()
    y.backward()
    y.backward()


@pytest.mark.parametrize("beginning", ERRORS)
def test_errors_say_what_was_given_and_what_to_try(beginning):
    kinds = (ValueError, TypeError, RuntimeError, IndexError, ZeroDivisionError)
    with pytest.raises(kinds, match=beginning) as error:
        ERRORS[beginning]()
    assert "\n  got " in str(error.value)
    assert "\n  try " in str(error.value)


def test_a_vjp_with_a_wrong_shape_is_refused():
    @tg.op
    def broken(x):
        return x + 1, lambda g: (g.sum(),)

    try:
        with pytest.raises(RuntimeError, match="vjp: a gradient has the shape of its operand"):
            broken(leaf(1.0, 2.0)).sum().backward()
    finally:
        del REGISTRY["broken"]


def test_check_gradients_names_the_argument():
    with pytest.raises(AssertionError, match=r"argument 1, shape \(2,\)"):
        tg.check_gradients(lambda a, b: a + b.detach() * 2, np.ones(2), np.ones(2))

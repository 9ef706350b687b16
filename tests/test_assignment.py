"""x[index] = value, and the methods that change their tensor where it is."""

import numpy as np
import pytest

import tinygrad_lite as tg
from tinygrad_lite import Tensor


def test_without_gradients_data_changes_where_it_is():
    x = tg.zeros(2, 3)
    row = x[1]
    x[0, 1:] = 5
    row[2] = tg.Tensor(7.0)
    x[np.array([True, False])] += 1
    np.testing.assert_array_equal(x.numpy(), [[1, 6, 6], [0, 0, 7]])
    assert row.numpy()[2] == 7
    assert x.is_leaf


def test_values_have_gradients_where_the_tensor_had_none():
    x, v = tg.zeros(2, 3), Tensor([1.0, 2.0, 3.0], requires_grad=True)
    x[1] = v * 2
    x[0, 0] = v[2]
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.numpy(), [[3, 0, 0], [2, 4, 6]])
    np.testing.assert_array_equal(v.grad.numpy(), [8, 16, 24 + 6])


def test_what_was_replaced_has_no_gradient():
    v = Tensor(np.ones(3, np.float32), requires_grad=True)
    x = v * 3
    x[1] = 10.0
    x.sum().backward()
    np.testing.assert_array_equal(v.grad.numpy(), [3, 0, 3])


def test_of_values_for_one_place_the_last_counts():
    x, v = tg.zeros(3), Tensor([1.0, 2.0, 3.0], requires_grad=True)
    x[np.array([1, 1, 0])] = v
    x.sum().backward()
    np.testing.assert_array_equal(x.numpy(), [3, 2, 0])
    np.testing.assert_array_equal(v.grad.numpy(), [0, 1, 1])


def test_a_change_between_forward_and_backward_is_noticed():
    x = tg.ones(3)
    w = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = (w * x).sum()
    x[0] = 5
    with pytest.raises(RuntimeError, match="data must not change"):
        y.backward()


def test_a_change_of_a_view_is_noticed():
    x = tg.ones(2, 3)
    w = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    y = (w * x).sum()
    x[0][1] = 5
    with pytest.raises(RuntimeError, match="data must not change"):
        y.backward()


@pytest.mark.parametrize("function", [tg.exp, tg.tanh, tg.softmax, tg.sqrt, tg.cumprod])
def test_a_change_of_a_result_that_its_derivative_needs_is_noticed(function):
    w = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = function(w)
    with tg.no_grad():
        y[0] = 5
    with pytest.raises(RuntimeError, match="data must not change"):
        y.sum().backward()


def test_a_change_of_a_result_that_its_derivative_does_not_need_is_none_of_its_business():
    w = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = w * 2
    with tg.no_grad():
        y[0] = 5
    y.sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), [2, 2, 2])


def test_what_is_learned_changes_in_no_grad():
    w = Tensor([1.0, 2.0], requires_grad=True)
    before = (w * w).sum()
    with tg.no_grad():
        w[0] = 3
        w.mul_(2)
    np.testing.assert_array_equal(w.numpy(), [6, 4])
    assert w.is_leaf
    assert w.requires_grad
    with pytest.raises(RuntimeError, match="data must not change"):
        before.backward()


def test_gradients_do_not_go_into_a_view():
    """Neither in a recording"""
    v = Tensor(1.0, requires_grad=True)

    def into_a_view(v):
        x = tg.zeros(2, 2)
        x[0][1] = v
        return x

    for function in (into_a_view, tg.jit(into_a_view)):
        with pytest.raises(RuntimeError, match="assignment: gradients go to a whole tensor"):
            function(v)
    x = tg.linear(tg.ones(2, 3), tg.ones(4, 3))  # in other memory than what it was computed from
    x[0, 1] = v
    x.sum().backward()
    assert v.grad.item() == 1


def test_under_jit():
    @tg.jit
    def function(v, n):
        x, count = tg.zeros(3), tg.zeros(3)
        x[1] = v[0] * n[0]
        count[0] = n[1]
        count.add_(1)
        y = (x * x).sum() + count.sum()
        y.backward()
        return y, x

    for step in range(1, 4):
        v = Tensor([2.0], requires_grad=True)
        n = Tensor(np.array([step, 2 * step], np.float32))
        y, x = function(v, n)
        assert y.item() == (2 * step) ** 2 + 2 * step + 3
        np.testing.assert_array_equal(x.numpy(), [0, 2 * step, 0])
        assert v.grad.item() == 2 * 2 * step * step


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x: x.add_(1), [0, 3]),
        (lambda x: x.sub_(tg.Tensor([1.0, 2.0])), [-2, 0]),
        (lambda x: x.mul_(3), [-3, 6]),
        (lambda x: x.div_(2), [-0.5, 1]),
        (lambda x: x.clip_(0, 1), [0, 1]),
        (lambda x: x.relu_(), [0, 2]),
        (lambda x: x.masked_fill_(x < 0, 9), [9, 2]),
        (lambda x: x.zero_(), [0, 0]),
        (lambda x: x.fill_(4), [4, 4]),
        (lambda x: x.copy_(tg.Tensor([7.0])), [7, 7]),
        (lambda x: x.scatter_add_(0, np.array([1]), tg.ones(1)), [-1, 3]),
    ],
)
def test_methods_that_change_their_tensor(change, expected):
    x = Tensor([-1.0, 2.0])
    other = x.detach()
    assert change(x) is x
    np.testing.assert_array_equal(x.numpy(), expected)
    np.testing.assert_array_equal(other.numpy(), expected)


def test_dtypes():
    x = tg.arange(3)
    assert x.float().dtype == np.float32
    assert x.float().float() is not x
    assert x.long() is x
    assert x.to(tg.ones(1)).dtype == np.float32
    assert x.bool().numpy().tolist() == [False, True, True]
    assert (x / 2).int().numpy().tolist() == [0, 0, 1]
    w = Tensor([1.0], requires_grad=True)
    w.double().sum().backward()
    assert w.grad.dtype == np.float32

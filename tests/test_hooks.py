"""Hooks on leaves: called when a gradient is complete, no sooner and no later."""

import numpy as np
import pytest

import tinygrad_lite as tg
from tinygrad_lite import Tensor


def leaf(*values):
    return Tensor(list(map(float, values)), requires_grad=True)


def test_a_hook_is_called_once_a_pass_with_the_whole_gradient():
    a, b, seen = leaf(1, 2), leaf(3, 4), []
    handle = a.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    (a * b + a * a).sum().backward()  # three uses
    assert seen == [[5.0, 8.0]]
    (a * b).sum().backward()
    assert seen[1:] == [[8.0, 12.0]]  # added up
    handle.remove()
    (a * b).sum().backward()
    assert len(seen) == 2


def test_hooks_come_while_the_rest_of_the_pass_is_still_to_come():
    first, last, seen = leaf(1, 2), leaf(3, 4), []
    last.register_post_accumulate_grad_hook(lambda t: seen.append(first.grad is None))
    (first.exp() * last).sum().backward()
    assert seen == [True]


def test_a_leaf_behind_a_branch_without_gradient_still_gets_its_hook():
    """The node of its last use is passed over: no gradient arrives there"""
    a, b, seen = leaf(1, 2), leaf(3, 4), []
    a.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    unused = a * 2

    @tg.op
    def first_alone(x, y):
        return x + y, lambda g: (g, None)

    first_alone(a * b, unused).sum().backward()
    assert seen == [[3.0, 4.0]]


def test_the_same_gradients_with_and_without_hooks_and_with_their_own_gradients():
    def gradients(hooked, **how):
        a, b = leaf(1, 2), leaf(3, 4)
        if hooked:
            for x in (a, b):
                x.register_post_accumulate_grad_hook(lambda t: None)
        with tg.create_graph():
            (a.exp() * b * a).sum().backward(**how)
        return a.grad.tolist(), b.grad.tolist()

    assert gradients(True) == gradients(False) == gradients(True, create_graph=True)


def test_gradients_of_wanted_inputs_call_no_hooks():
    a, seen = leaf(1, 2), []
    a.register_post_accumulate_grad_hook(seen.append)
    tg.gradients((a * a).sum(), a)
    assert not seen
    assert a.grad is None


def test_under_jit_what_a_hook_computes_is_repeated():
    a = leaf(1, 2)
    a.register_post_accumulate_grad_hook(lambda t: setattr(t, "grad", t.grad * 2))

    @tg.jit
    def step(x):
        a.grad = None
        (a * x).sum().backward()

    for n in (1.0, 2.0, 3.0):
        step(np.full(2, n, np.float32))
        assert a.grad.tolist() == [2 * n, 2 * n]


def test_only_leaves_with_gradients_have_hooks():
    for x in (Tensor([1.0]), leaf(1) * 2):
        with pytest.raises(RuntimeError, match="a leaf that requires gradients"):
            x.register_post_accumulate_grad_hook(print)

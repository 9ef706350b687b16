"""What the engine says to those who are one step off, and what it takes of PyTorch's habits."""

import numpy as np
import pytest

import tinygrad_lite as tg
from tinygrad_lite import nn, optim


def test_an_op_returns_its_value_and_its_vjp():
    @tg.op
    def doubled(x):
        return np.stack([x, x])

    del tg.tensor.REGISTRY["doubled"]
    with pytest.raises(TypeError, match="got ndarray from doubled"):
        doubled(tg.Tensor([1.0, 2.0]))


@pytest.mark.parametrize("vjp", [lambda g: g, lambda g: ()])
def test_a_vjp_returns_a_gradient_for_each_operand(vjp):
    @tg.op
    def same(x):
        return x, vjp

    del tg.tensor.REGISTRY["same"]
    y = same(tg.ones(2, requires_grad=True)).sum()
    with pytest.raises(TypeError, match=r"from same of 1 operands[\s\S]*with a comma"):
        y.backward()


class Running(nn.Module):
    def __init__(self):
        self.weight = nn.Parameter(np.ones(2))
        self.mean = nn.Buffer(np.zeros(2))


def test_a_buffer_stays_one_and_a_parameter_is_replaced_by_one():
    module = Running()
    module.mean = 0.5 * module.mean + tg.ones(2)
    assert list(module.state_dict()) == ["weight", "mean"]
    with pytest.raises(TypeError, match="got a Tensor for 'weight' of Running"):
        module.weight = module.weight * 2
    module.weight = nn.Parameter(np.zeros(2))
    assert len(module.parameters()) == 1


@pytest.mark.parametrize("kept", [list, tuple, lambda parts: dict(enumerate(parts))])
def test_modules_in_a_list_are_refused(kept):
    module = Running()
    module.parts = kept([nn.Linear(2, 2, rng=0)])
    with pytest.raises(TypeError, match=r"'parts' of Running[\s\S]*nn.ModuleList"):
        module.parameters()


def test_in_place_operators_change_what_is_learned_where_it_is():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    kept = w.data
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    with tg.no_grad():
        before = w
        w -= 0.5 * w.grad
    assert w is before
    assert w.data is kept
    assert w.requires_grad
    np.testing.assert_array_equal(w.data, [0.0, 0.0])
    with pytest.raises(RuntimeError, match="data must not change"):
        loss.backward()
    with pytest.raises(RuntimeError, match=r"got sub for a tensor with requires_grad"):
        w -= 1.0
    x = y = tg.ones(2)
    x += 1  # a result of its own, as everywhere in the engine
    np.testing.assert_array_equal(y.data, [1.0, 1.0])


def test_in_place_operators_in_a_recording():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)

    @tg.jit
    def step(x):
        loss = (w * x).sum()
        loss.backward()
        with tg.no_grad():
            weight = w
            weight -= w.grad
        w.grad = None
        return loss

    for x in (1.0, 2.0, 4.0):
        step(tg.full(2, x))
    np.testing.assert_array_equal(w.data, [-6.0, -5.0])


@pytest.mark.parametrize("name", ["sum", "mean", "max", "argmax", "softmax", "std", "cumsum"])
def test_dim_is_another_name_of_axis(name):
    x = tg.Tensor(np.arange(6.0, dtype=np.float32).reshape(2, 3))
    one, other = getattr(x, name)(dim=1), getattr(x, name)(axis=1)
    np.testing.assert_array_equal(one.data, other.data)
    assert tg.cat([x, x], dim=1).shape == (2, 6)


def test_lists_are_operands_too():
    assert tg.cross_entropy([[0.0, 0.0]], [1]).item() == pytest.approx(np.log(2))
    assert tg.softmax([0.0, 0.0]).dtype == np.float32
    assert tg.embedding([1, 0], tg.Tensor([[1.0], [2.0]])).tolist() == [[2.0], [1.0]]


def test_what_stands_in_the_wrong_place():
    layer = nn.Linear(2, 2, rng=0)
    for params in (layer, layer.weight):
        with pytest.raises(TypeError, match=r"the parameters come in a list"):
            optim.SGD(params)
    with pytest.raises(TypeError, match="got str in place of the dictionary"):
        tg.save_state(layer.state_dict(), "weights.safetensors")
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\)"):
        nn.Dropout(1.5, rng=0)


def test_what_replaces_an_attribute_of_a_module_is_of_its_kind():
    module = Running()
    module.layer = nn.Linear(2, 2, rng=0)
    for name, value in (("weight", np.zeros(2)), ("weight", 2.0), ("weight", module.mean),
                        ("layer", tg.ones(2)), ("layer", np.zeros(2))):  # fmt: skip
        with pytest.raises(TypeError, match=f"got a .* for '{name}' of Running"):
            setattr(module, name, value)
    with pytest.raises(TypeError, match="does not keep what it was computed from"):
        module.mean = module.weight * 2
    module.mean = module.mean.data * 0.9
    assert "mean" in module.state_dict()
    module.layer = module.mean = module.weight = None
    assert module.state_dict() == {}


def test_a_list_of_parts_that_are_attributes_too_is_fine():
    module = Running()
    module.first = nn.Linear(2, 2, rng=0)
    module.order = [module.first, module.weight]
    assert len(module.parameters()) == 3
    module.deep = {"a": [[nn.Linear(2, 2, rng=0)]]}
    with pytest.raises(TypeError, match="'deep' of Running"):
        module.train()


def test_what_is_learned_keeps_its_shape():
    p = nn.Parameter(np.arange(9.0).reshape(3, 3))
    with tg.no_grad():
        with pytest.raises(ValueError, match=r"got \(3,\) of matmul"):
            p @= tg.ones(3)
        with pytest.raises(ValueError, match=r"got \(2, 3, 3\) of add"):
            p += tg.ones(2, 3, 3)


@pytest.mark.parametrize(
    "use",
    [
        lambda a: tg.softmax([a, a]),
        lambda a: tg.exp([a, 1.0]),
        lambda a: tg.maximum(tg.ones(2), [[a, 2.0]]),
        lambda a: tg.Tensor([a, 1.0]),
    ],
)
def test_a_list_of_tensors_does_not_lose_gradients(use):
    with pytest.raises(TypeError, match="got a list with a Tensor"):
        use(tg.Tensor(1.0, requires_grad=True))


def test_axis_and_dim_are_one():
    with pytest.raises(TypeError, match="two names of one argument"):
        tg.ones(2, 3).sum(axis=0, dim=1)


@pytest.mark.parametrize(
    "view",
    [
        lambda w: w.detach().reshape(12),
        lambda w: w.detach().T,
        lambda w: w.detach()[1:],
        lambda w: w.detach().squeeze().chunk(2)[0],
    ],
)
def test_a_view_of_what_was_detached_changes_with_it(view):
    w = tg.ones(3, 4, requires_grad=True)
    h = view(w)
    q = tg.ones(h.shape, requires_grad=True)
    loss = (h * q).sum()
    with tg.no_grad():
        w *= 3
    with pytest.raises(RuntimeError, match="data must not change"):
        loss.backward()

"""Derivatives of derivatives: each op's second by finite differences of the first, and functions of
functions against what is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import ROWS
from test_ops import EXAMPLES, is_operand, prepared

import tinygrad_lite as tg
from tinygrad_lite import Tensor, nn
from tinygrad_lite.twins import ONCE, TWINS

SMOOTH = [name for name, row in ROWS.items() if row.smooth]
FEWER = settings(EXAMPLES, max_examples=6)
# Rows of which an op with a first derivative only is a part
NOT_TWICE = {"multiplied", "extreme_at"}


def slope_along(row, inputs, seed=1):
    """The function of a row's operands: the derivative of a random projection of the row's result
    along random directions, with its history"""

    def function(*operands):
        rng = np.random.default_rng(seed)
        with tg.create_graph():
            leaves = [
                x * 1 if x.requires_grad else Tensor(x.numpy(), requires_grad=True)
                for x in operands
            ]
            rest = iter(leaves)
            given = [next(rest) if is_operand(x) else x for x in inputs]
            out = row.function(*given)
            if not out.requires_grad:
                return sum(((x * 0).sum() for x in leaves), Tensor(np.zeros(())))
            u = Tensor(rng.standard_normal(out.shape).astype(out.dtype))
            slopes = tg.gradients((out * u).sum(), leaves, create_graph=True)
            total = sum(((x * 0).sum() for x in leaves), Tensor(np.zeros(())))
            for slope in slopes:
                v = Tensor(rng.standard_normal(slope.shape).astype(slope.dtype))
                total = total + (slope * v).sum()
            return total

    return function


@pytest.mark.parametrize("name", [name for name in SMOOTH if name not in NOT_TWICE])
@FEWER
@given(data=st.data())
def test_second_derivatives_agree_with_finite_differences_of_the_first(name, data):
    row = ROWS[name]
    inputs = prepared(row, row.inputs(data.draw))
    operands = [x.astype(np.float64) for x in inputs if is_operand(x)]
    if operands:
        tg.check_gradients(slope_along(row, inputs), *operands, directions=1, h=1e-5)


@pytest.mark.parametrize("name", [name for name in SMOOTH if name not in NOT_TWICE])
@FEWER
@given(data=st.data())
def test_first_derivatives_with_history_are_the_same(name, data):
    row = ROWS[name]
    inputs = prepared(row, row.inputs(data.draw))
    for kind in (np.float32, np.float64):
        operands = [Tensor(x.astype(kind), requires_grad=True) for x in inputs if is_operand(x)]
        rest = iter(operands)
        with tg.create_graph():
            out = row.function(*[next(rest) if is_operand(x) else x for x in inputs])
        if not out.requires_grad:
            return
        u = Tensor(np.random.default_rng(0).standard_normal(out.shape).astype(out.dtype))
        plain, told = (tg.gradients(out, operands, u, create_graph=c) for c in (False, True))
        for a, b in zip(plain, told, strict=True):
            assert a.dtype == b.dtype
            tolerance = 2e-4 if kind == np.float32 else 1e-9
            np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", NOT_TWICE)
def test_an_op_with_a_first_derivative_only_says_so(name):
    x = Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    reduce = "prod" if name == "multiplied" else "amax"
    with tg.create_graph():
        y = tg.scatter_reduce(x, 0, np.array([0, 2]), x[:2] * 2, reduce).sum()
    with pytest.raises(RuntimeError, match=f"{name} has a first derivative only") as error:
        y.backward(create_graph=True)
    assert ONCE[name] in str(error.value)


def test_every_twin_is_of_an_op():
    assert set(TWINS) | set(ONCE) <= set(tg.tensor.REGISTRY)


def test_what_was_computed_outside_is_refused():
    x = Tensor([1.0], requires_grad=True)
    y = (x * x).sum()
    with pytest.raises(RuntimeError, match=r"an op must have kept its operands") as error:
        y.backward(create_graph=True)
    assert "try with tg.create_graph()" in str(error.value)


def test_backward_with_history():
    x = Tensor([1.0, 2.0], requires_grad=True)
    with tg.create_graph():
        (x**3).sum().backward(create_graph=True)
    slope, x.grad = x.grad, None
    np.testing.assert_allclose(slope.numpy(), [3, 12])
    slope.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [6, 12])


def test_gradients_of_any_order():
    f = lambda x: (x.sin() * x).sum()  # noqa: E731
    x = np.array(0.7)
    first, second, third = tg.grad(f), tg.grad(tg.grad(f)), tg.grad(tg.grad(tg.grad(f)))
    assert first(x).item() == pytest.approx(np.sin(x) + x * np.cos(x))
    assert second(x).item() == pytest.approx(2 * np.cos(x) - x * np.sin(x))
    assert third(x).item() == pytest.approx(-3 * np.sin(x) - x * np.cos(x))
    assert not third(x).requires_grad


def test_value_and_grad_of_several_arguments():
    f = lambda a, b, n: (a * b).sum() * n  # noqa: E731
    a, b = np.arange(3.0), np.ones(3)
    value, (da, db) = tg.value_and_grad(f, (0, 1))(a, b, 2)
    assert value.item() == 6
    np.testing.assert_array_equal(da.numpy(), 2 * b)
    np.testing.assert_array_equal(db.numpy(), 2 * a)
    leaf = Tensor(a, requires_grad=True)
    tg.grad(f)(leaf, b, 1)
    assert leaf.grad is None
    tg.grad(lambda x: f(x, leaf, 1))(b)
    assert leaf.grad is None


A = np.random.default_rng(0).standard_normal((3, 4))


def test_jacobians_and_products():
    f = lambda x: (Tensor(A) @ x).tanh()  # noqa: E731
    x, v, u = (np.random.default_rng(n).standard_normal(4) for n in (1, 2, 3))
    exact = (1 - np.tanh(A @ x) ** 2)[:, None] * A
    np.testing.assert_allclose(tg.jacobian(f)(x).numpy(), exact)
    out, pull = tg.vjp(f, x)
    np.testing.assert_allclose(out.numpy(), np.tanh(A @ x))
    np.testing.assert_allclose(pull(u[:3]).numpy(), u[:3] @ exact)
    np.testing.assert_allclose(pull(u[:3]).numpy(), u[:3] @ exact)
    out, push = tg.jvp(f, (x,), (v,))
    np.testing.assert_allclose(push.numpy(), exact @ v)


def test_hessians():
    def f(x):
        return (x[0] ** 2 * x[1] ** 3 + (x * x).sum().exp()) * 1.0

    x = np.array([0.3, -0.5])
    e = np.exp(x @ x)
    exact = np.array([[2 * x[1] ** 3, 6 * x[0] * x[1] ** 2], [0, 6 * x[0] ** 2 * x[1]]])
    exact[1, 0] = exact[0, 1]
    exact = exact + e * (2 * np.eye(2) + 4 * np.outer(x, x))
    np.testing.assert_allclose(tg.hessian(f)(x).numpy(), exact)
    v = np.array([1.0, 2.0])
    np.testing.assert_allclose(tg.hessian_vector_product(f, x, v).numpy(), exact @ v)
    third = tg.jacobian(tg.hessian(f))(x)
    assert third.shape == (2, 2, 2)
    np.testing.assert_allclose(third.numpy(), third.numpy().transpose(2, 0, 1), atol=1e-12)


def test_a_gradient_in_a_loss_trains_under_jit_too():
    """What is learned has the gradient of a penalty on gradients"""

    def made():
        rng = np.random.default_rng(0)
        return nn.Sequential(nn.Linear(2, 8, rng=rng), nn.Tanh(), nn.Linear(8, 1, rng=rng))

    def step(model, x):
        with tg.create_graph():
            x = x * 1
            (slope,) = tg.gradients(model(x).sum(), [x], create_graph=True)
            loss = ((slope * slope).sum(1).sqrt() - 1).square().mean()
        loss.backward()
        return loss

    x = np.random.default_rng(1).standard_normal((5, 2)).astype(np.float32)
    plain, recorded = made(), made()
    fast = tg.jit(lambda given: step(recorded, given))
    for _ in range(3):
        given = Tensor(x, requires_grad=True)
        a = step(plain, given)
        b = fast(Tensor(x, requires_grad=True))
        assert a.item() == b.item()
        for p, q in zip(plain.parameters(), recorded.parameters(), strict=True):
            assert (p.grad is None) == (q.grad is None)
            if p.grad is not None:
                np.testing.assert_array_equal(p.grad.numpy(), q.grad.numpy())
        plain.zero_grad()
        recorded.zero_grad()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tg.grad(lambda x: x * 2)(np.ones(2)), "gives a Tensor with one number"),
        (lambda: tg.grad(lambda x: x.sum(), 1)(np.ones(2)), "each number is that of an argument"),
        (lambda: tg.grad(lambda x: x.sum())(np.arange(2)), "only floating-point arguments"),
        (lambda: tg.jvp(lambda x: x, (np.ones(2),), (np.ones(3),)), "a tangent for each argument"),
        (
            lambda: tg.gradients(Tensor(np.ones(2), requires_grad=True) * 2, []),
            "only a tensor with one element",
        ),
        (
            lambda: tg.gradients(Tensor(np.ones(2), requires_grad=True) * 2, [], np.ones(3)),
            "has the shape of the tensor",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises((ValueError, TypeError), match=message) as error:
        call()
    assert "\n  try " in str(error.value)


# --- NumPy's functions ---------------------------------------------------------------------------


def test_numpy_functions_of_tensors_are_ops():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = np.exp(x) + np.sum(np.where(x > 1, x, 0)) + np.array([1.0, 2.0], np.float32) * x
    assert isinstance(y, Tensor)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [np.e + 1, np.exp(2) + 4], rtol=1e-6)
    assert isinstance(np.concatenate([x, x]), Tensor)
    assert np.shape(x) == (2,)


def test_numpy_functions_that_would_lose_gradients_are_refused():
    x = Tensor([1.0, 2.0], requires_grad=True)
    for call in (lambda: np.cbrt(x), lambda: np.median(x), lambda: np.linalg.norm(x)):
        with pytest.raises(TypeError, match="would lose the gradients"):
            call()
    assert np.median(x.detach()) == 1.5
    array = np.ones(2, np.float32)
    with pytest.raises(TypeError, match="a result with Tensors is a Tensor"):
        array += x


def test_gradients_compute_only_what_leads_to_an_input():
    called = []

    @tg.op
    def _seen(x, w):
        def vjp(g):
            return (lambda: called.append("x") or g * w), (lambda: called.append("w") or g * x)

        return x * w, vjp

    x, w = (tg.Tensor([2.0, 3.0], requires_grad=True) for _ in range(2))
    (dx,) = tg.gradients(_seen(x, w.exp()).sum(), [x])
    np.testing.assert_allclose(dx.numpy(), np.exp([2, 3]), rtol=1e-6)
    assert called == ["x"]
    middle = x.exp()
    found = tg.gradients(_seen(middle, w).sum(), [middle, x])  # one leads to the other
    np.testing.assert_allclose(found[0].numpy(), w.numpy())
    np.testing.assert_allclose(found[1].numpy(), (w * middle).numpy(), rtol=1e-6)
    with tg.create_graph():
        (dx,) = tg.gradients((x * w).sum() + (w * w).sum(), [x], create_graph=True)
    dx.sum().backward()  # its history knows w, which was not asked for
    np.testing.assert_array_equal(w.grad.numpy(), [1, 1])
    assert x.grad is None


def test_a_recording_with_second_derivatives_and_a_tensor_from_outside_is_made_once():
    runs, outside = [], tg.Tensor([1.0, 2.0])
    w = tg.Tensor([3.0, 4.0], requires_grad=True)

    @tg.jit
    def step(x):
        runs.append(1)
        with tg.create_graph():
            x = tg.Tensor(x, requires_grad=True)
            (dx,) = tg.gradients((x * x * outside * w).sum(), [x], create_graph=True)
            loss = (dx * dx).sum()
        w.grad = None
        loss.backward()
        return loss

    x = tg.Tensor([0.5, 0.25])
    first = step(x).item()
    for _ in range(3):
        assert step(x).item() == first
    assert len(runs) == 1
    outside.data = outside.data * 2  # and noticed
    assert step(x).item() == pytest.approx(4 * first, rel=1e-6)
    assert len(runs) == 2


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0, -0.5])
def test_leaky_relu_of_any_order_and_slope(slope):
    edges = np.float32([-np.inf, np.inf, np.nan])
    with np.errstate(invalid="ignore"):
        expected = np.where(edges > 0, edges, np.float32(slope) * edges)
    np.testing.assert_array_equal(tg.leaky_relu(edges, slope).numpy(), expected)
    x = tg.Tensor([-2, -0.0, 0, 3, 1e-30], requires_grad=True)
    with tg.create_graph():
        y = tg.leaky_relu(x, slope)
        (dx,) = tg.gradients((y * y).sum(), [x], create_graph=True)
    (second,) = tg.gradients(dx.sum(), [x])
    expected = np.where(x.numpy() > 0, 2, 2 * slope * slope)
    np.testing.assert_allclose(second.numpy(), expected, rtol=1e-6)
    np.testing.assert_array_equal(tg.leaky_relu([-1, 2], slope).numpy(), np.float32([-slope, 2]))

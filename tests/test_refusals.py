"""What would be broadcast, wrapped around, shared or counted where nobody meant it: refused, or
done as it should be."""

import numpy as np
import pytest

import tinygrad_lite as tg
from tinygrad_lite import Tensor, nn, optim

X = tg.arange(6.0).reshape(2, 3)
REFUSED = {
    "weights each with each": lambda: tg.binary_cross_entropy(
        Tensor([0.5, 0.9]), Tensor([0.0, 1.0]), weight=Tensor([[1.0], [0.0]])
    ),
    "weights of logits": lambda: tg.binary_cross_entropy_with_logits(
        Tensor([0.5, 0.9]), Tensor([0.0, 1.0]), weight=Tensor([[1.0], [0.0]])
    ),
    "weights of what is true": lambda: tg.binary_cross_entropy_with_logits(
        Tensor([0.5, 0.9]), Tensor([0.0, 1.0]), pos_weight=Tensor([[1.0], [2.0]])
    ),
    "weights of labels": lambda: tg.multilabel_soft_margin_loss(X, X, tg.ones(4, 1, 1)),
    "a column of class weights": lambda: nn.CrossEntropyLoss(weight=np.float32([[3.0], [1.0]]))(
        Tensor([[2.0, 0.0], [0.0, 0.0]]), Tensor([0, 1])
    ),
    "too many class weights": lambda: tg.nll_loss(X, Tensor([0, 1]), tg.ones(4)),
    "one weight for all smoothed": lambda: tg.cross_entropy(
        X, Tensor([0, 0]), weight=tg.ones(1), label_smoothing=0.1
    ),
    "one weight for all probabilities": lambda: tg.cross_entropy(X, X / 15, weight=tg.ones(1)),
    "class weights of a margin": lambda: tg.multi_margin_loss(X, Tensor([0, 1]), weight=tg.ones(4)),
    "variances each with each": lambda: tg.gaussian_nll_loss(
        Tensor([0.0, 1.0]), Tensor([0.0, 0.0]), Tensor([[1.0], [2.0]])
    ),
    "a negative variance": lambda: tg.gaussian_nll_loss(
        Tensor([0.0, 1.0]), Tensor([0.0, 0.0]), Tensor([-1.0, 1.0])
    ),
    "one target for two rows": lambda: tg.multi_margin_loss(X, Tensor([1])),
    "one row of labels for two": lambda: tg.multilabel_margin_loss(X, Tensor([[1, -1, -1]])),
    "labels without a batch": lambda: tg.multilabel_margin_loss(X, Tensor([1, -1, -1])),
    "numbers as a mask": lambda: tg.masked_select(Tensor([10.0, 20.0]), Tensor([1, 0])),
    "numbers as a mask of places": lambda: tg.masked_scatter(
        tg.zeros(3), Tensor([2, 0, 1]), tg.ones(3)
    ),
    "numbers as a mask of scores": lambda: tg.scaled_dot_product_attention(
        *3 * [tg.ones(1, 1, 2, 4)], attn_mask=Tensor(np.tril(np.ones((2, 2), int)))
    ),
    "a new axis like an old one": lambda: tg.ones(2, 3).expand(-1, 2, 3),
    "an axis too far to select": lambda: X.select(2, 1),
    "an axis too far to take differences": lambda: tg.diff(X, axis=2),
    "an axis too far to join": lambda: X.flatten(2),
    "axes joined backwards": lambda: X.flatten(1, 0),
    "an axis too far to turn": lambda: X.rot90(1, (0, 3)),
    "an axis too far to multiply": lambda: tg.tensordot(X, X, ([2], [0])),
    "an axis too far to norm": lambda: tg.linalg.matrix_norm(X, axis=(0, 3)),
    "an axis too far to scale": lambda: tg.renorm(X, 2, 2, 1.0),
    "an axis too far to put": lambda: tg.select_scatter(X, tg.zeros(3), 2, 0),
    "the triangle of a row": lambda: tg.tril(tg.ones(3)),
    "the other triangle of a row": lambda: tg.triu(tg.ones(3)),
    "the trace of a batch": lambda: tg.ones(2, 2, 2).trace(),
    "a block of a batch": lambda: tg.block_diag(tg.ones(2, 2, 2)),
    "a table as an index": lambda: tg.index_select(X, 0, Tensor([[0, 1]])),
    "a mask as an index": lambda: tg.index_select(X, 0, Tensor([True, False])),
    "one number for a slice": lambda: tg.select_scatter(tg.zeros(2, 3), tg.ones(1), 0, 0),
    "one row for a slice": lambda: tg.slice_scatter(tg.zeros(3, 3), tg.ones(3), 0, 1),
    "one number for a diagonal": lambda: tg.diagonal_scatter(tg.zeros(3, 3), Tensor([7.0])),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_be_taken_for_something_else_is_refused(what):
    with pytest.raises((ValueError, TypeError), match=r"\n  got |for array of dimension"):
        REFUSED[what]()


def test_weights_for_the_last_axes_are_taken():
    x, t = X / 6, (X > 2).float()
    weight = Tensor([1.0, 0.0, 2.0])
    losses = tg.binary_cross_entropy(x, t, reduction="none").numpy()
    weighted = tg.binary_cross_entropy(x, t, weight, reduction="none")
    np.testing.assert_allclose(weighted.numpy(), losses * weight.numpy(), rtol=1e-6)
    one = tg.gaussian_nll_loss(x, t, tg.full((2, 1), 2.0), reduction="none").numpy()
    for var in (tg.full((2,), 2.0), tg.full((2, 3), 2.0), 2.0):
        assert (tg.gaussian_nll_loss(x, t, var, reduction="none").numpy() == one).all()


def test_probabilities_in_an_array_are_turned_as_a_tensors_are():
    x, p = Tensor([[[2.0, 0.0], [0.0, 0.0]]]), np.float32([[[1, 1], [0, 0]]])
    loss = nn.CrossEntropyLoss()
    assert loss(x, p).item() == loss(x, Tensor(p)).item() == pytest.approx(0.41, abs=1e-3)


def test_a_list_of_places_may_be_changed_afterwards():
    for take in (lambda x, i: x[i], lambda x, i: tg.take(x, i), lambda x, i: x[None][0, i]):
        x, i = Tensor([1.0, 2.0, 3.0], requires_grad=True), [0, 1]
        y = take(x, i)
        i[0] = 2
        y.sum().backward()
        assert x.grad.tolist() == [1, 1, 0]
    assert tg.ones(3)[[]].shape == (0,)


def test_what_is_repeated_or_turned_is_a_copy():
    for copy in (
        lambda x: x.tile(1, 1), lambda x: x.repeat(1, 1, 1),
        lambda x: x.rot90(0, (0, 1)), lambda x: x.rot90(4, (0, 1)), lambda x: x.sum_to_size(1, 3),
    ):  # fmt: skip
        x = tg.ones(1, 3)
        y = copy(x)
        x.add_(1)
        assert (y.numpy() == 1).all()
    x = tg.ones()
    y = tg.logcumsumexp(x, 0)
    x.add_(1)
    assert y.item() == 1


def test_an_axis_without_elements_is_cut_into_parts_without_elements():
    assert [y.shape for y in tg.zeros(0, 3).split(2)] == [(0, 3)]
    assert [y.shape for y in tg.zeros(0, 3).chunk(2)] == [(0, 3)] * 2


def test_halves_are_added_in_more_than_halves():
    h = Tensor(np.full(4, 3e4, np.float16))
    assert h.mean().item() == 3e4
    assert h.var().item() == 0
    assert Tensor(np.float16([300, 400])).norm().item() == 500
    assert Tensor(np.float16([-300, 300])).std().item() == pytest.approx(424.3, rel=1e-3)
    assert h.mean().dtype == h.norm().dtype == np.float16


def test_nan_stays():
    nan = Tensor([[[float("nan")]]])
    out, _ = nn.RNN(1, 1, nonlinearity="relu", rng=0)(nan)
    assert np.isnan(out.numpy()).all()
    assert np.isnan(tg.threshold(nan, 0.1, 20.0).numpy()).all()
    assert tg.threshold(Tensor([0.1, 0.2]), 0.1, 20.0).tolist() == pytest.approx([20.0, 0.2])


def test_a_matrix_is_no_batch_of_vectors_where_matrices_are_expected():
    a = tg.stack([tg.eye(2), tg.eye(2) * 2])
    b = Tensor([[1.0, 2.0], [3.0, 4.0]])
    wanted = np.stack([b.numpy(), b.numpy() / 2])
    for x in (tg.linalg.solve_triangular(a, b, upper=True),
              tg.linalg.cholesky_solve(b, tg.linalg.cholesky(a))):  # fmt: skip
        np.testing.assert_allclose(x.numpy(), wanted, rtol=1e-6)
    rows = tg.linalg.solve(a.transpose(), b, left=False)  # a row of b for each matrix
    np.testing.assert_allclose(rows.numpy(), tg.linalg.solve(a, b).numpy(), rtol=1e-6)


def test_what_is_stored_in_bfloat16_is_not_taken_for_numbers():
    state = {k: v.numpy().copy() for k, v in nn.Linear(4, 3, rng=0).bfloat16().state_dict().items()}
    plain = nn.Linear(4, 3, rng=1)
    with pytest.raises(ValueError, match="uint16 in the file and float32"):
        plain.load_state_dict(state)
    plain.weight.data[...] = 1
    with pytest.raises(ValueError, match="float32 in the file and uint16"):
        nn.Linear(4, 3, rng=0).bfloat16().load_state_dict(plain.state_dict())
    nn.Linear(4, 3, rng=2).bfloat16().load_state_dict(state)


@pytest.mark.parametrize("makes", [nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.GLU])
def test_modules_know_both_names_of_an_axis(makes):
    x = tg.arange(4.0).reshape(2, 2)
    assert (makes(dim=0)(x).numpy() == makes(axis=0)(x).numpy()).all()


def test_a_scheduler_does_not_overwrite_what_another_has_set():
    weights = optim.SGD([Tensor([0.0], requires_grad=True)], lr=1.0)
    first = optim.ConstantLR(weights, 0.1, 2)
    second = optim.ExponentialLR(weights, 0.9)
    second.step()
    assert weights.lr == pytest.approx(0.1 * 0.9)
    with pytest.raises(RuntimeError, match="by one scheduler alone"):
        first.step()


@pytest.mark.parametrize("later_first", [False, True])
def test_schedulers_in_a_row_begin_with_the_optimizers_rate(later_first):
    weights = optim.SGD([Tensor([0.0], requires_grad=True)], lr=1.0)
    if later_first:
        after = optim.ConstantLR(weights, 0.1, 2)
        before = optim.ExponentialLR(weights, 0.5)
    else:
        before = optim.ExponentialLR(weights, 0.5)
        after = optim.ConstantLR(weights, 0.1, 2)
    both = optim.SequentialLR(weights, [before, after], [2])
    seen = []
    for _ in range(5):
        seen.append(weights.lr)
        both.step()
    assert seen == pytest.approx([1.0, 0.5, 0.1, 0.1, 1.0])


def test_a_step_that_is_refused_is_not_counted():
    w = Tensor([1.0], requires_grad=True)
    adam = optim.Adam([w], lr=0.1)
    w.grad = Tensor([1.0])
    data = w.data
    w.data = np.array([1.0])
    with pytest.raises(ValueError, match="one dtype"):
        adam.step()
    assert adam.steps == 0
    w.data = data
    adam.step()
    assert w.tolist() == pytest.approx([0.9])


def test_lists_as_indices_are_part_of_what_is_recorded():
    x = tg.arange(3.0)
    for take in (lambda x: x[[2, 0]], lambda x: x[[True, False, True]], lambda x: x[[[]]],
                 lambda x: tg.index_select(x, 0, [2, 0])):  # fmt: skip
        step = tg.jit(take)
        for _ in range(2):
            assert step(x).tolist() == take(x).tolist()


def test_matrices_of_a_batch_have_second_derivatives():
    a, b = tg.stack([tg.eye(2), tg.eye(2) * 2]), Tensor([[1.0, 2.0], [3.0, 4.0]])
    twice = tg.hessian(lambda b: (tg.linalg.solve_triangular(a, b * b, upper=True)).sum())(b)
    assert tg.allclose(twice.reshape(4, 4), tg.eye(4) * 3.0)
    solved = np.linalg.solve(a, b)
    np.testing.assert_allclose(solved.numpy(), np.linalg.solve(a.numpy(), b.numpy()), rtol=1e-6)


def test_variances_of_channels_and_of_all():
    x, t = tg.ones(2, 3, 4), tg.zeros(2, 3, 4)
    one = tg.gaussian_nll_loss(x, t, 2.0).item()
    for shape in ((2, 3, 4), (2, 3), (2, 3, 1), (2, 1, 4), (1, 3, 4)):
        assert tg.gaussian_nll_loss(x, t, tg.full(shape, 2.0)).item() == pytest.approx(one)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("store", ["bfloat16", "int8"])
def test_recurrent_layers_read_stored_weights(kind, store):
    x = tg.rand(5, 2, 32, seed=0) - 0.5
    layer = kind(32, 32, rng=0)
    plain = layer(x)[0].numpy()
    stored = getattr(layer, store)()(x)[0].numpy()
    assert 0 < np.abs(stored - plain).max() < 0.02


def test_stored_weights_are_multiplied_by_layers_alone():
    layer = nn.Linear(32, 3, rng=0)
    for stored in (layer.bfloat16().weight, nn.Linear(32, 3, rng=0).int8().weight):
        with pytest.raises((TypeError, ValueError), match=r"read by linear alone|the last axis"):
            tg.ones(2, 32) @ stored.transpose()
    with pytest.raises(TypeError, match="read by linear alone"):
        tg.einsum("ni,oi->no", tg.ones(2, 32), layer.weight)
    x, v = tg.rand(2, 32, seed=1), tg.rand(2, 32, seed=2)
    _, along = tg.jvp(layer, (x,), (v,))
    np.testing.assert_allclose(along.numpy(), (layer(v) - layer.bias).numpy(), atol=1e-5)


def test_operands_by_name_keep_what_is_said_after_them():
    x, w = tg.rand(2, 4, seed=0), tg.ones(4)
    assert tg.layernorm(x, weight=w, eps=10.0).tolist() == tg.layernorm(x, w, eps=10.0).tolist()
    assert tg.sum(x=x, keepdim=True).shape == (1, 1)
    assert tg.isclose(x, b=x + 0.5, atol=1.0).all().item()

    @tg.op
    def scaled(x, w=None, b=None, times=1.0):
        w, b = (0 if a is None else a for a in (w, b))
        return (x + w + b) * times, lambda g: (g * times, None, g * times)

    try:
        b = Tensor([1.0], requires_grad=True)
        y = scaled(Tensor([2.0]), b=b, times=10.0)
        y.backward()
    finally:
        tg.tensor.REGISTRY.pop("scaled")
    assert (y.item(), b.grad.item()) == (30, 10)


def test_variables_that_a_recorded_function_changes_are_those_of_each_call():
    scope = {"n": 0, "tg": tg}
    exec("@tg.jit\ndef f(x):\n    global n\n    n += 1\n    return x * n", scope)
    assert [scope["f"](Tensor([1.0])).item() for _ in range(3)] == [1, 2, 3]
    assert scope["n"] == 3
    kept = first = tg.zeros(1)

    @tg.jit
    def add(x):
        nonlocal kept
        kept = kept + x
        return kept

    assert add(Tensor([1.0])).item() == 1
    with pytest.raises(RuntimeError):
        add(Tensor([1.0]))
    assert first.item() == 0


def test_numpys_functions_take_its_arguments():
    assert np.prod(Tensor(np.array([10**10, 10**10])), dtype=np.float64).item() == 1e20
    assert np.sum(Tensor(np.full(2, 4e4, np.float16)), dtype=np.float32).item() == 80_000
    assert np.sum(Tensor(np.float32([2**24, 1])), dtype=np.float64).item() == 2**24 + 1
    assert np.nan_to_num(Tensor([float("nan")]), True).item() == 0
    with pytest.raises(TypeError, match="copy=False"):
        np.nan_to_num(Tensor([1.0]), copy=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: np.copyto(t, 0.0),
        lambda t: np.put(t, [0], 5.0),
        lambda t: np.putmask(t, np.array([True, False]), 5.0),
        lambda t: np.multiply.at(t, [0], 5.0),
        lambda t: np.copyto(dst=t, src=0.0),
        lambda t: np.fill_diagonal(a=t.reshape(1, 2), val=5.0),
        lambda t: Tensor(t).fill_(5.0),
    ],
)
def test_what_numpy_changes_in_place_is_noticed(change):
    w, t = Tensor([1.0, 1.0], requires_grad=True), Tensor([2.0, 2.0])
    y = (w * t).sum()
    change(t)
    with pytest.raises(RuntimeError, match="data must not change"):
        y.backward()


def test_a_scheduler_steps_in_a_recorded_function():
    w = Tensor([1.0], requires_grad=True)
    sgd = optim.SGD([w], lr=1.0)
    halves = optim.ExponentialLR(sgd, 0.5)

    @tg.jit
    def step(x):
        sgd.zero_grad()
        loss = (w * x).sum()
        loss.backward()
        sgd.step()
        halves.step()
        return loss

    for _ in range(5):
        step(Tensor([1.0]))
    assert (sgd.lr, halves.last_epoch) == (0.5**5, 5)
    assert w.item() == pytest.approx(1 - (1 + 0.5 + 0.25 + 0.125 + 0.0625))


@pytest.mark.parametrize("t_mult", [0.5, 0, 1.5])
def test_restarts_come_after_whole_steps(t_mult):
    with pytest.raises(ValueError, match="whole numbers"):
        optim.CosineAnnealingWarmRestarts(optim.SGD([tg.ones(1)], lr=1.0), 5, t_mult)


@pytest.mark.parametrize("most", [1.0, 1000.0])
def test_clipping_a_gradient_that_has_a_history_is_noticed_where_it_changes(most):
    x = Tensor([2.0], requires_grad=True)
    with tg.create_graph():
        (x**3).sum().backward(create_graph=True)
        p = (x.grad * x.grad).sum()
        optim.clip_grad_norm([x], most)
        if most > 12:
            assert tg.gradients(p, [x])[0].item() == 2 * 12 * 12
        else:
            with pytest.raises(RuntimeError, match="data must not change"):
                tg.gradients(p, [x])


def test_the_sum_over_no_axes_is_a_copy():
    for size in (100, 10_000):
        x = tg.ones(size)
        x.sum(axis=()).mul_(0)
        assert x.sum().item() == size


def test_what_was_pooled_has_about_the_size_that_the_indices_speak_of():
    y, i = tg.max_pool2d(tg.arange(16.0).reshape(1, 1, 4, 4), 2, return_indices=True)
    with pytest.raises(ValueError, match="less than a stride"):
        tg.max_unpool2d(y, i, 2, output_size=(8, 8))
    y, i = tg.max_pool2d(tg.arange(25.0).reshape(1, 1, 5, 5), 2, return_indices=True)
    assert tg.max_unpool2d(y, i, 2, output_size=(5, 5)).sum().item() == y.sum().item()


def test_variables_that_are_only_written_record_nothing_anew():
    last, calls = None, []

    @tg.jit
    def step(x):
        nonlocal last
        calls.append(1)
        last = x * 2
        return x * 3

    for n in range(3):
        assert step(Tensor([float(n)])).item() == 3 * n
    assert len(calls) == 1
    assert last is not None


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layers_that_read_stored_weights_have_tangents(kind):
    x, v = tg.rand(3, 2, 32, seed=0), tg.rand(3, 2, 32, seed=1)
    layer = kind(32, 32, rng=0)
    tangents = [tg.jvp(lambda x: layer(x)[0], (x,), (v,))[1].numpy()]
    layer.bfloat16()
    tangents.append(tg.jvp(lambda x: layer(x)[0], (x,), (v,))[1].numpy())
    assert 0 < np.abs(tangents[0] - tangents[1]).max() < 0.05


def test_schedulers_in_a_row_are_of_one_optimizer_and_in_their_order():
    def made():
        return optim.SGD([Tensor([0.0], requires_grad=True)], lr=1.0)

    sgd = made()
    three = [optim.ConstantLR(sgd, 0.5) for _ in range(3)]
    for milestones in ([5, 2], [2, 2]):
        with pytest.raises(ValueError, match="comes after the one before"):
            optim.SequentialLR(sgd, three, milestones)
    with pytest.raises(ValueError, match="those of its optimizer"):
        optim.SequentialLR(sgd, [*three[:2], optim.ConstantLR(made(), 0.5)], [1, 2])


@pytest.mark.parametrize("most", [-1.0, float("nan")])
def test_a_largest_norm_is_no_negative_number(most):
    x = Tensor([1.0], requires_grad=True)
    x.sum().backward()
    with pytest.raises(ValueError, match="the largest norm is not negative"):
        optim.clip_grad_norm([x], most)
    assert x.grad.item() == 1


def test_a_place_before_the_first_is_no_matter_of_the_table():
    with pytest.raises(IndexError, match="counted from 0"):
        nn.Embedding(4, 2, rng=0)(np.array([-1]))

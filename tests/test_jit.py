"""Recorded functions: a replay with other values gives the bits of the function itself."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import ROWS

import tinygrad_lite as tg
from gpt.config import GPTConfig
from gpt.model import GPT
from tinygrad_lite import Tensor, nn, optim

RNG = np.random.default_rng(0)


def is_operand(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def as_leaves(x):
    """Arrays that are no operands, as Tensors that were there before: a recording knows them"""
    if isinstance(x, np.ndarray):
        return Tensor(x.astype(np.float32) if is_operand(x) else x)
    return tuple(map(as_leaves, x)) if isinstance(x, tuple) else x


# Ops of which the work, or a shape, depends on numbers, and what they answer
NOT_RECORDED = {"matrix_exp": "must not look at numbers", "counted": "does not depend on data"}


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.smooth])
@settings(max_examples=4, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_every_op_replays(name, data):
    row = ROWS[name]
    inputs = [x.astype(np.float32) if is_operand(x) else x for x in row.inputs(data.draw)]
    rest_of_inputs = [x if is_operand(x) else as_leaves(x) for x in inputs]

    def function(*operands):
        leaves = [Tensor(x, requires_grad=True) for x in operands]
        rest = iter(leaves)
        out = row.function(*[next(rest) if is_operand(x) else x for x in rest_of_inputs])
        if isinstance(out, list | tuple):
            out = out[0]
        (out * out).sum().backward()
        return out, *[leaf.grad for leaf in leaves if leaf.grad is not None]

    replayed = tg.jit(function)
    operands = [x for x in inputs if is_operand(x)]
    masks = [x for x in inputs if isinstance(x, np.ndarray) and x.dtype == bool]
    if masks and name != "masked_scatter":
        with pytest.raises(RuntimeError, match="shape of a result must not depend on data"):
            replayed(*operands)
        return
    if name in NOT_RECORDED:
        with pytest.raises(RuntimeError, match=NOT_RECORDED[name]):
            replayed(*operands)
        return
    replayed(*operands)
    others = [x * np.float32(0.9) for x in operands]
    got = [np.array(t.numpy()) for t in replayed(*others)]
    for a, b in zip(got, function(*others), strict=True):
        np.testing.assert_array_equal(a, b.numpy())


def steps(function_of, n=6):
    """Losses and final parameters of a GPT trained by function_of(step)"""
    config = GPTConfig(vocab_size=11, n_layer=2, n_head=2, n_embd=16, block_size=8, dropout=0.1,
                       position="rotary", qk_norm=True)  # fmt: skip
    model = GPT(config, seed=3)
    matrices = [p for n, p in model.named_parameters() if n.startswith("blocks.") and p.ndim == 2]
    rest = [p for p in model.parameters() if not any(p is m for m in matrices)]
    optimizers = [optim.Muon(matrices), optim.AdamW(rest)]

    def step(tokens, targets):
        loss = model.loss(tokens, targets)
        loss.backward()
        norm = optim.clip_grad_norm(model.parameters(), 0.1)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return loss, norm

    run = function_of(step)
    rng = np.random.default_rng(5)
    losses = []
    for i in range(n):
        for optimizer in optimizers:
            optimizer.lr = 0.01 / (i + 1)
        tokens = rng.integers(0, 11, (3, 9))
        losses.append([float(x) for x in run(tokens[:, :-1], tokens[:, 1:])])
        noise = [np.full(n, np.nan, np.float32) for n in (48, 192, 768) for _ in range(50)]
        del noise  # whoever uses memory that a replay needs shows here
    return losses, [p.numpy().copy() for p in model.parameters()]


def test_a_training_step_replays_with_dropout_muon_and_new_learning_rates():
    plain, replayed = steps(lambda f: f), steps(tg.jit)
    assert plain[0] == replayed[0]
    for a, b in zip(plain[1], replayed[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_shapes_and_settings_are_recorded_anew():
    calls = []

    @tg.jit
    def scaled(x, by):
        calls.append(x.shape)
        return x * by

    for shape, by in (((2,), 3), ((2,), 3), ((2,), 4), ((3,), 3), ((2,), 4)):
        x = Tensor(RNG.standard_normal(shape).astype(np.float32))
        np.testing.assert_array_equal(scaled(x, by).numpy(), x.numpy() * by)
    assert calls == [(2,), (2,), (3,)]


def recordings_of(function):
    """The recordings of a jitted function"""
    cells = (c.cell_contents for c in function.__closure__)
    known = next(c for c in cells if isinstance(c, dict))
    return [r.recording for recorded in known.values() for r in recorded]


def test_memory_is_used_again_and_nothing_is_allocated():
    @tg.jit
    def deep(x):
        for _ in range(50):
            x = x * 0.5 + 1
        return x

    x = Tensor(np.ones(1 << 16, np.float32))
    deep(x)
    (recording,) = recordings_of(deep)
    buffers = {id(a.base) for _, arguments in recording.calls for a in arguments
               if isinstance(a, np.ndarray)}  # fmt: skip
    assert len(buffers) <= 5
    np.testing.assert_array_equal(deep(x).numpy(), deep.__wrapped__(x).numpy())


def test_gradients_add_up_over_calls_and_may_be_replaced():
    w = Tensor(np.ones(3, np.float32), requires_grad=True)

    @tg.jit
    def loss(x):
        y = (w * x).sum()
        y.backward()
        return y

    for n in (1, 2, 3):
        loss(np.full(3, n, np.float32))
    np.testing.assert_array_equal(w.grad.numpy(), [6, 6, 6])
    w.grad = Tensor([1.0, 2.0, 3.0])
    loss(np.ones(3, np.float32))
    np.testing.assert_array_equal(w.grad.numpy(), [2, 3, 4])
    w.grad = None
    loss(np.full(3, 2, np.float32))
    np.testing.assert_array_equal(w.grad.numpy(), [2, 2, 2])


def test_other_data_in_a_leaf_counts():
    w = Tensor(np.ones(3, np.float32), requires_grad=True)
    frozen = Tensor(np.ones(3, np.float32))
    product = tg.jit(lambda x: (w * x + frozen * x).sum())
    assert product(np.ones(3, np.float32)).item() == 6
    w.data = np.zeros(3, np.float32)
    assert product(np.ones(3, np.float32)).item() == 3
    frozen.data = np.full(3, 2, np.float32)
    assert product(np.ones(3, np.float32)).item() == 6
    frozen.data[...] = 0
    assert product(np.ones(3, np.float32)).item() == 0


def test_an_index_out_of_range_is_found_in_a_replay_too():
    table = Tensor(np.ones((4, 2), np.float32), requires_grad=True)
    look_up = tg.jit(lambda index: tg.embedding(index, table))
    look_up(np.array([1, 2]))
    with pytest.raises(IndexError, match="got 1 to 4"):
        look_up(np.array([1, 4]))


def test_a_recording_inside_another_is_part_of_it():
    inner = tg.jit(lambda x: x * 2)
    outer = tg.jit(lambda x: inner(x) + 1)
    for n in (1.0, 2.0):
        assert outer(Tensor([n])).item() == 2 * n + 1


def test_variables_from_outside_are_noticed():
    x, y = Tensor(np.ones((4, 3), np.float32)), Tensor(np.zeros((4, 1), np.float32))
    runs = []

    @tg.jit
    def step(x, y):
        runs.append(1)
        opt.zero_grad()
        loss = tg.mse_loss(model(x), y) * scale
        loss.backward()
        opt.step()
        return loss

    scale, kept = 1.0, []
    for fold in range(3):  # of which each is kept: its Tensors live on
        model = nn.Linear(3, 1, rng=fold)
        opt = optim.SGD(model.parameters(), lr=0.1)
        kept.append(model)
        for _ in range(4):
            before = tg.mse_loss(model(x), y).item()
            assert step(x, y).item() == pytest.approx(before, rel=1e-6)
    assert len(runs) == 3
    scale = 2.0
    before = tg.mse_loss(model(x), y).item()
    assert step(x, y).item() == pytest.approx(2 * before, rel=1e-6)
    scale = float("2")  # another object, the same number
    step(x, y)
    assert len(runs) == 4


def test_a_function_that_is_recorded_in_vain_says_so():
    square = tg.jit(lambda x: (x * x).sum())
    leaves = [Tensor([1.0], requires_grad=True) for _ in range(17)]
    with pytest.warns(RuntimeWarning, match="16 calls of <lambda> were recorded and none"):
        assert [square(x).item() for x in leaves] == [1.0] * 17
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(40):  # each is repeated once
            for _ in range(2):
                square(Tensor(np.ones(i + 1, np.float32)))


def test_a_variable_with_the_name_of_an_attribute_is_another_thing():
    scope = {"tg": tg, "runs": []}
    exec(
        "def double(x):\n    runs.append(1)\n    return x.sum() * 2\n"
        "double = tg.jit(double)\n"
        "for sum in range(5):\n    double(tg.Tensor([1.0, sum]))\n",
        scope,
    )
    assert len(scope["runs"]) == 1

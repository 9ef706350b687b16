"""A jitted function gives what the function gives, or is refused: what strangers found."""

import gc
import signal
import threading
import weakref

import numpy as np
import pytest

import tinygrad_lite as tg
from tinygrad_lite import Tensor, nn, optim
from tinygrad_lite.kernels.watch import procedure

F32 = np.float32


def ones(*shape):
    return np.ones(shape, F32)


def same(function, *calls):
    """A jitted function gives the bits of the function itself, call after call."""
    jitted = tg.jit(function)
    for arguments in calls:
        got, expected = jitted(*arguments), function(*arguments)
        np.testing.assert_array_equal(np.asarray(got), np.asarray(expected))


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x.sum().item(),
        lambda x: float(x.sum()),
        lambda x: x * 2 if x.sum() > 0 else x,
        lambda x: x * float(np.asarray(x).sum()),
        lambda x: x * f"{x.sum():.3f}".count("3"),
        lambda x: Tensor(x.numpy().tolist()),
        lambda x: x * len(np.unique(x.data)),
        lambda x: [x for v in x if v > 0],
    ],
)
def test_a_look_at_numbers_is_refused(look):
    with pytest.raises(RuntimeError, match="jit: "):
        tg.jit(look)(Tensor(ones(3)))


def test_a_shape_that_depends_on_data_is_refused():
    with pytest.raises(RuntimeError, match="shape of a result must not depend on data"):
        tg.jit(lambda x, m: x[m])(Tensor(ones(3)), np.array([True, True, False]))


@pytest.mark.parametrize(
    "outside",
    [
        lambda x: x * ones(3),
        lambda x: x * Tensor(ones(3)),
        lambda x: x * Tensor(np.random.default_rng(0).random(3)),
        lambda x: tg.maximum(ones(3), ones(3)),
        lambda x: x[np.array([0, 1])],
        lambda x: tg.embedding(np.array([0, 1]), x.reshape(3, 1)),
        lambda x: x.where(np.array([True, False, True]), 0.0),
    ],
)
def test_an_array_that_no_argument_brought_in_is_refused(outside):
    with pytest.raises(RuntimeError, match=r"jit: .*\n  got .*\n  try"):
        tg.jit(outside)(Tensor(ones(3)))


def test_an_op_that_captures_an_array_is_named():
    captured = ones(3)

    @tg.op
    def shifted(x):
        return np.asarray(captured) + 1, lambda g: (g,)

    del tg.tensor.REGISTRY["shifted"]
    with pytest.raises(RuntimeError, match="shifted of arrays from elsewhere"):
        tg.jit(lambda x: shifted(x))(Tensor(ones(3)))


def test_noise_is_drawn_anew_and_is_that_of_the_function():
    def noisy(x, rng):
        return tg.dropout(x + tg.randn(3, seed=rng) * tg.rand(3, seed=rng), 0.5, rng)

    a, b = np.random.default_rng(3), np.random.default_rng(3)
    jitted = tg.jit(noisy)
    for _ in range(4):
        x = Tensor(ones(3))
        np.testing.assert_array_equal(jitted(x, a).numpy(), noisy(x, b).numpy())
    same(lambda x: tg.dropout(x, 0.5, 7), [ones(9)], [ones(9)])  # a number: the same each time


def test_integers_are_arguments_too():
    same(tg.relu, [np.array([-1, 2])], [np.array([3, -4])], [np.array([5, 6])])
    same(lambda x: x.sum(), [np.array([1, 2])], [np.array([3, 4])])


def test_kinds_of_numbers_are_told_apart():
    jitted = tg.jit(lambda x, by: x * by)
    x = Tensor(np.array([1, 2]))
    assert jitted(x, 2).dtype == np.int64
    assert jitted(x, 2.0).dtype == np.float32
    assert jitted(x, True).dtype == np.int64


def test_lists_of_numbers_are_constants():
    same(lambda x: x * [1.0, 2.0] + tg.arange(2) + tg.eye(2)[0], [ones(2)], [3 * ones(2)])


def optimizer_step(order):
    w = Tensor(np.array([1.0, 2.0, 3.0], F32), requires_grad=True)
    opt = optim.AdamW([w], lr=0.1)

    def step(x):
        if order == "first":
            opt.zero_grad()
        loss = (w * w * x).sum()
        loss.backward()
        norm = optim.clip_grad_norm([w], 0.5)
        opt.step()
        if order == "last":
            opt.zero_grad()
        return loss, norm

    return w, opt, step


@pytest.mark.parametrize("order", ["first", "last", "never"])
def test_zero_grad_may_stand_first_or_last_or_nowhere(order):
    results = []
    for wrap in (lambda f: f, tg.jit):
        w, opt, step = optimizer_step(order)
        run = wrap(step)
        losses = []
        for i in range(5):
            opt.lr = 0.1 / (i + 1)
            losses.append([float(v) for v in run(Tensor(ones(3) * (i + 1)))])
            if order == "never" and i == 2:
                w.grad = None
        gradient = None if w.grad is None else w.grad.numpy().copy()
        results.append((losses, w.numpy().copy(), gradient))
    (a, w_a, g_a), (b, w_b, g_b) = results
    assert a == b
    np.testing.assert_array_equal(w_a, w_b)
    assert (g_a is None) == (g_b is None)
    np.testing.assert_array_equal(g_a, g_b)


def test_a_replaced_gradient_is_used():
    w = Tensor(ones(3), requires_grad=True)
    opt = optim.SGD([w], lr=1.0)
    step = tg.jit(opt.step)
    for n in (1, 2, 3):
        w.grad = Tensor(ones(3) * n)
        step()
    np.testing.assert_array_equal(w.numpy(), 1 - 6 * ones(3))
    w.grad = None
    step()
    np.testing.assert_array_equal(w.numpy(), 1 - 6 * ones(3))


def test_modes_attributes_and_frozen_weights_count():
    model = nn.Sequential(nn.Linear(3, 3, rng=0), nn.Dropout(0.5, rng=1))

    @tg.jit
    def run(x):
        model.zero_grad()
        y = model(x)
        y.sum().backward()
        return y

    x = Tensor(ones(2, 3))
    run(x)
    model.eval()
    np.testing.assert_array_equal(run(x).numpy(), model(x).numpy())
    model[0].weight.requires_grad = False
    run(x)
    assert model[0].weight.grad is None
    assert model[0].bias.grad is not None
    setattr(model, "0", nn.Linear(3, 3, rng=5))
    np.testing.assert_array_equal(run(x).numpy(), model(x).numpy())
    with tg.no_grad(), pytest.raises(RuntimeError, match="requires gradients"):
        run(x)


def test_what_python_does_by_hand_inside_a_step():
    results = []
    for wrap in (lambda f: f, tg.jit):
        w = Tensor(ones(3), requires_grad=True)
        mean, average = Tensor(np.zeros(3, F32)), Tensor(ones(3))

        def step(x, w=w, mean=mean, average=average):
            w.grad = None
            (w * x).sum().backward()
            w.grad.data *= np.minimum(1, 0.1 / np.sqrt((w.grad.data**2).sum()))  # clipped by hand
            w.data -= 0.5 * w.grad.data
            mean.data[...] = 0.9 * mean.data + 0.1 * x.data
            average.data = 0.5 * average.data + 0.5 * w.data

        run = wrap(step)
        for n in range(4):
            run(Tensor(np.arange(3, dtype=F32) + n))
        results.append([t.numpy().copy() for t in (w, mean, average)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_running_attributes_of_a_module_are_refused():
    class Mean(nn.Module):
        def __init__(self):
            self.mean = Tensor(np.zeros(3, F32))

        def forward(self, x):
            self.mean = self.mean * 0.9 + x * 0.1
            return x

    with pytest.raises(RuntimeError, match="leaves the attributes of modules as they are"):
        tg.jit(Mean())(Tensor(ones(3)))


def test_what_leaves_a_recording_by_another_way_is_refused():
    kept = []

    @tg.jit
    def function(x):
        kept.append(x * 2)
        return x

    function(Tensor(ones(3)))
    with pytest.raises(RuntimeError, match="must be returned by it"):
        kept[0] + 1


def test_results_are_copies():
    double = tg.jit(lambda x: x * 2)
    results = [double(Tensor(ones(2) * n)) for n in range(3)]
    assert [r.numpy()[0] for r in results] == [0, 2, 4]


def test_nested_arguments_keywords_and_results():
    @tg.jit
    def function(pair, *, scale):
        return {"sum": pair["a"] + pair["b"][0], "scaled": (pair["a"] * scale["by"], None, 3)}

    for n in range(3):
        out = function({"a": Tensor(ones(2)), "b": [ones(2) * n]}, scale={"by": Tensor([n])})
        np.testing.assert_array_equal(out["sum"].numpy(), ones(2) * (1 + n))
        np.testing.assert_array_equal(out["scaled"][0].numpy(), ones(2) * n)
        assert out["scaled"][1:] == (None, 3)


def test_tuples_are_recorded_once():
    calls = []

    @tg.jit
    def function(pair):
        calls.append(1)
        return pair[0] + pair[1]

    for n in range(5):
        function((Tensor(ones(2)), ones(2) * n))
    assert len(calls) == 1


@pytest.mark.filterwarnings("ignore:jit. 16 calls")
def test_recordings_do_not_grow_without_end():
    function = tg.jit(lambda x, n: x * n)
    made = []
    for n in range(200):
        made.append(weakref.ref(function(Tensor(ones(2)), n)))
    cells = [c.cell_contents for c in function.__closure__]
    known = next(c for c in cells if isinstance(c, dict))
    assert sum(map(len, known.values())) <= 16


def test_an_argument_that_learns_receives_its_gradient():
    w = Tensor(ones(3), requires_grad=True)
    loss = tg.jit(lambda w, x: (w * x).sum().backward())
    for n in (1, 2):
        w.grad = None
        loss(w, Tensor(ones(3) * n))
        np.testing.assert_array_equal(w.grad.numpy(), ones(3) * n)
    with pytest.raises(RuntimeError, match="must not carry what it was computed from"):
        loss(w * 2, Tensor(ones(3)))


def test_after_an_error_everything_goes_on():
    w = Tensor(ones(3), requires_grad=True)

    @tg.jit
    def broken(x):
        (w * x).sum().backward()
        return x.sum().item()

    for _ in range(2):
        with pytest.raises(RuntimeError, match="look at numbers"):
            broken(Tensor(ones(3)))
        assert w.grad is None
    (w * 2).sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), 2 * ones(3))


def test_a_function_may_be_called_from_several_threads():
    w = Tensor(np.random.default_rng(0).standard_normal((40, 40)).astype(F32))
    function = tg.jit(lambda x: (x @ w).relu().sum(-1))
    inputs = [ones(8, 40) * n for n in range(6)]
    expected = [function.__wrapped__(Tensor(x)).numpy() for x in inputs]
    wrong = []

    def work():
        for i in range(100):
            if not np.array_equal(function(Tensor(inputs[i % 6])).numpy(), expected[i % 6]):
                wrong.append(i)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_recording_does_not_outlive_what_it_is_of():
    def build():
        model = nn.Linear(3, 3, rng=0)
        return weakref.ref(model), tg.jit(lambda x: model(x))

    model, function = build()
    x = Tensor(ones(2, 3))
    np.testing.assert_array_equal(function(x).numpy(), function(x).numpy())
    del function
    gc.collect()
    assert model() is None


def test_old_data_keeps_its_values_in_a_recording():
    def difference(x, w):
        old = w.data
        w.data = w.data + x.data
        return Tensor(w.data - old)

    def before(x, w):
        old = w.detach()
        w.data = w.data * x.data
        return old

    for function in (difference, before):
        a, b = Tensor([1.0]), Tensor([1.0])
        jitted = tg.jit(lambda x, f=function, b=b: f(x, b))
        for n in (5.0, 3.0, 2.0):
            assert jitted(Tensor([n])).item() == function(Tensor([n]), a).item()
            assert a.item() == b.item()

    a, b = Tensor([1.0]), Tensor([2.0])

    def swap(x):
        a.data, b.data = b.data, a.data
        return x

    with pytest.raises(RuntimeError, match="no two Tensors come to share memory"):
        tg.jit(swap)(Tensor([1.0]))


@pytest.mark.parametrize(
    "use",
    [
        lambda x, i: np.clip(x.data, 0, 1, np.zeros_like(x.data)),
        lambda x, i: np.nan_to_num(x.data, copy=False),
        lambda x, i: np.linspace(0, x.data.max(), 3),
        lambda x, i: np.split(x.data, i)[0] * 1,
        lambda x, i: np.where(x.data > 0)[0],
        lambda x, i: np.repeat(x.data, i),
        lambda x, i: np.delete(x.data, x.data > 5),
        lambda x, i: x.data.__setitem__(0, 1.0),
    ],
)
def test_what_numpy_cannot_replay_is_refused(use):
    with pytest.raises((RuntimeError, TypeError), match=r"jit: |array"):
        tg.jit(lambda x, i: Tensor(use(x, i)))(Tensor(ones(2)), np.array([1]))


def test_what_numpy_can_replay_is_right():
    def walked(x):
        a, b = x
        return a * 1 + b * 10 + sum(v for v in x.data) * 0

    calls = [Tensor(np.array([1, 2], F32))], [Tensor(np.array([3, 4], F32))]
    same(walked, *calls)
    same(lambda x: Tensor(np.full_like(x.data, x.data.max())), *calls)
    same(lambda x: Tensor(np.hstack([x.data, x.data])), *calls)
    same(lambda x: Tensor(np.sum(x.data, out=None)), *calls)
    same(lambda x: Tensor(x.data.flatten() * 1), *calls)


def test_methods_of_modules_note_their_module():
    class Scaled(nn.Module):
        def __init__(self):
            self.k = 1.0

        def loss(self, x):
            return x * self.k * (1 if self.training else 100)

    module = Scaled()
    function = tg.jit(lambda x: module.loss(x))
    assert function(Tensor([1.0])).item() == 1
    module.k = 5.0
    assert function(Tensor([1.0])).item() == 5
    module.eval()
    assert function(Tensor([1.0])).item() == 500


def test_groups_of_an_optimizer_count_in_replays():
    w, v = Tensor([1.0], requires_grad=True), Tensor([1.0], requires_grad=True)
    opt = optim.SGD([w, v], lr=1.0)

    @tg.jit
    def step(x):
        opt.zero_grad()
        ((w + v) * x).sum().backward()
        opt.step()

    step(Tensor([1.0]))
    opt.param_groups = [{**opt.param_groups[0], "lr": 0.0}]
    step(Tensor([1.0]))
    assert w.item() == 0
    opt.param_groups[0]["params"].remove(v)
    with pytest.raises(RuntimeError, match="stay those it was made with"):
        step(Tensor([1.0]))


def test_replays_count_as_changes_of_data():
    w = Tensor([2.0], requires_grad=True)

    @tg.jit
    def move(x):
        w.data = w.data + x.data

    move(Tensor([1.0]))
    y = (w * w).sum()
    move(Tensor([1.0]))
    with pytest.raises(RuntimeError, match="data must not change"):
        y.backward()


def test_arguments_are_not_changed():
    def data(x):
        x.data = x.data + 1

    def entry(x, d):
        d["y"] = x * 2

    def learns(x):
        x.requires_grad = True
        (x * x).sum().backward()

    for function, more in ((data, ()), (entry, ({},)), (learns, ())):
        with pytest.raises(RuntimeError, match="jit: "):
            tg.jit(function)(Tensor(ones(2)), *more)
    with pytest.raises(TypeError, match="MaskedArray"):
        tg.jit(lambda x: x)(np.ma.masked_array([1.0, 2.0], [True, False]))


@pytest.mark.filterwarnings("ignore:jit. 16 calls")
def test_after_errors_recordings_give_way_as_ever():
    @tg.jit
    def scaled(x, n):
        if n < 0:
            raise ValueError("negative")
        return x * n

    with pytest.raises(ValueError, match="negative"):
        scaled(Tensor(ones(1)), -1)
    for n in range(70):
        scaled(Tensor(ones(1)), n)


def test_a_signal_in_a_replay_is_a_call_of_its_own():
    sent, got = [], []

    @procedure
    def wait(out, x):
        out[...] = x
        if sent:
            sent.pop()
            signal.raise_signal(signal.SIGUSR1)

    @tg.op
    def pausing(x):
        out = np.empty_like(x)
        wait(out, x)
        return out, None

    del tg.tensor.REGISTRY["pausing"]
    f = tg.jit(lambda x: pausing(x * 2) + x)
    x, other = ones(3), 5 * ones(3)
    before = signal.signal(signal.SIGUSR1, lambda *_: got.append(f(other).data))
    try:
        f(x)
        sent.append(1)
        np.testing.assert_array_equal(f(x).data, 3 * x)
    finally:
        signal.signal(signal.SIGUSR1, before)
    np.testing.assert_array_equal(got[0], 3 * other)

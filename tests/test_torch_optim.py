"""Optimizers and schedulers against PyTorch's, and those that it lacks against their papers."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

import tinygrad_lite as tg  # noqa: E402
from tinygrad_lite import Tensor, nn, optim  # noqa: E402

OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.01}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.1}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "momentum": 0.5, "weight_decay": 0.1}),
    ("RMSprop", {"centered": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.3, "lr_decay": 0.1, "initial_accumulator_value": 1.0}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.1, "betas": (0.8, 0.95), "weight_decay": 0.1}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.1, "betas": (0.8, 0.95), "weight_decay": 0.1, "momentum_decay": 0.1}),
]  # fmt: skip
SHAPES = [(3, 4), (5,), ()]


def names(x):
    return x if isinstance(x, str) else None


def arrays(seed):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape), np.float32) for shape in SHAPES]


@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS, ids=names)
@pytest.mark.parametrize("recorded", [False, True])
def test_optimizers(name, settings, recorded):
    theirs = [torch.tensor(x, requires_grad=True) for x in arrays(0)]
    ours = [Tensor(x.copy(), requires_grad=True) for x in arrays(0)]
    groups = [{"params": theirs[:2]}, {"params": theirs[2:], "lr": 0.01}]
    reference = getattr(torch.optim, name)(groups, **settings)
    own = [{"params": ours[:2]}, {"params": ours[2:], "lr": 0.01}]
    optimizer = getattr(optim, name)(own, **settings)
    step = tg.jit(optimizer.step) if recorded else optimizer.step
    for seed in range(1, 7):
        for p, q, g in zip(ours, theirs, arrays(seed), strict=True):
            p.grad, q.grad = Tensor(g.copy()), torch.tensor(g)
        reference.step()
        step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=2e-5, atol=2e-6)


def lion(w, m, g, lr=0.1, betas=(0.9, 0.99), decay=0.1):
    c = betas[0] * m + (1 - betas[0]) * g
    return w * (1 - lr * decay) - lr * np.sign(c), betas[1] * m + (1 - betas[1]) * g


def lamb(w, m, v, g, t, lr=0.1, betas=(0.9, 0.999), eps=1e-6, decay=0.1):
    m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g
    r = m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps) + decay * w
    norms = np.sqrt((w * w).sum()), np.sqrt((r * r).sum())
    return w - lr * (norms[0] / norms[1] if min(norms) > 0 else 1) * r, m, v


def test_lion_and_lamb_are_those_of_their_papers():
    for name in ("Lion", "Lamb"):
        ours = [Tensor(x.copy(), requires_grad=True) for x in arrays(0)]
        optimizer = getattr(optim, name)(ours, lr=0.1, weight_decay=0.1)
        w = [x.astype(float) for x in arrays(0)]
        m, v = [x * 0 for x in w], [x * 0 for x in w]
        for t in range(1, 5):
            for i, g in enumerate(arrays(t)):
                ours[i].grad = Tensor(g.copy())
                if name == "Lion":
                    w[i], m[i] = lion(w[i], m[i], g)
                else:
                    w[i], m[i], v[i] = lamb(w[i], m[i], v[i], g, t)
            optimizer.step()
        for p, x in zip(ours, w, strict=True):
            np.testing.assert_allclose(p.numpy(), x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["RMSprop", "Adagrad", "Adamax", "NAdam", "Lion", "Lamb"])
def test_a_state_goes_on_with_the_same_bits(name):
    def made():
        params = [Tensor(x.copy(), requires_grad=True) for x in arrays(0)]
        return params, getattr(optim, name)(params)

    def run(params, optimizer, seeds):
        for seed in seeds:
            for p, g in zip(params, arrays(seed), strict=True):
                p.grad = Tensor(g.copy())
            optimizer.step()

    params, optimizer = made()
    run(params, optimizer, (1, 2, 3, 4))
    first, one = made()
    run(first, one, (1, 2))
    second, other = made()
    other.load_state_dict({n: a.copy() for n, a in one.state_dict().items()})
    for p, q in zip(second, first, strict=True):
        p.data[...] = q.numpy()
    run(second, other, (3, 4))
    for p, q in zip(second, params, strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_lbfgs_finds_the_valley_of_rosenbrock():
    x = Tensor(np.array([-1.2, 1.0]), requires_grad=True)
    lbfgs = optim.LBFGS([x], max_iter=100)
    calls = []

    def closure():
        x.grad = None
        loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
        loss.backward()
        calls.append(loss.item())
        return loss

    assert lbfgs.step(closure) < 1e-12
    np.testing.assert_allclose(x.numpy(), [1, 1], atol=1e-5)
    assert len(calls) < 120


def test_lbfgs_ends_where_there_is_nothing_to_gain():
    x = Tensor(np.array([3.0]), requires_grad=True)

    def closure():
        x.grad = None
        loss = ((x - 3) ** 2).sum()
        loss.backward()
        return loss

    assert optim.LBFGS([x]).step(closure) == 0
    np.testing.assert_array_equal(x.numpy(), [3])


SCHEDULERS = [
    ("StepLR", (3, 0.5), {}),
    ("MultiStepLR", ([2, 5], 0.3), {}),
    ("ExponentialLR", (0.9,), {}),
    ("ConstantLR", (0.25, 4), {}),
    ("LinearLR", (0.1, 1.0, 6), {}),
    ("PolynomialLR", (8, 2.0), {}),
    ("CosineAnnealingLR", (9, 0.01), {}),
    ("CosineAnnealingWarmRestarts", (3, 2, 0.01), {}),
    ("OneCycleLR", (0.5, 11), {}),
    ("OneCycleLR", (0.5, 11), {"anneal_strategy": "linear", "pct_start": 0.5}),
    ("LambdaLR", (lambda epoch: 1 / (1 + epoch),), {}),
]


@pytest.mark.parametrize(("name", "arguments", "settings"), SCHEDULERS, ids=names)
def test_schedulers(name, arguments, settings):
    reference = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    optimizer = optim.SGD([Tensor([0.0], requires_grad=True)], lr=0.2)
    theirs = getattr(torch.optim.lr_scheduler, name)(reference, *arguments, **settings)
    ours = getattr(optim, name)(optimizer, *arguments, **settings)
    for _ in range(10):
        assert ours.get_last_lr() == pytest.approx(theirs.get_last_lr(), rel=1e-6)
        reference.step()
        theirs.step()
        ours.step()
    again = getattr(optim, name)(optim.SGD([Tensor([0.0])], lr=0.7), *arguments, **settings)
    again.load_state_dict(ours.state_dict())
    assert again.get_last_lr() == ours.get_last_lr()


def test_schedulers_in_turn():
    optimizer = optim.SGD([Tensor([0.0])], lr=1.0)
    parts = [optim.LinearLR(optimizer, 0.1, 1.0, 3), optim.ExponentialLR(optimizer, 0.5)]
    scheduler, found = optim.SequentialLR(optimizer, parts, [4]), []
    for _ in range(7):
        found.append(optimizer.lr)
        scheduler.step()
    assert found == pytest.approx([0.1, 0.4, 0.7, 1.0, 1.0, 0.5, 0.25])


def test_a_plateau_lowers_the_rate():
    reference = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    optimizer = optim.SGD([Tensor([0.0])], lr=0.2)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        reference, factor=0.5, patience=1, cooldown=2, min_lr=0.03
    )
    ours = optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=2, min_lr=0.03)
    for loss in (3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1):
        theirs.step(loss)
        ours.step(loss)
        assert optimizer.lr == pytest.approx(reference.param_groups[0]["lr"])


def test_averages_of_weights():
    model = nn.Linear(2, 1, rng=0)
    ema = optim.ExponentialMovingAverage(model.parameters(), 0.9)
    first = model.weight.numpy().copy()
    expected = first.copy()
    update = tg.jit(ema.update)
    for step in range(1, 4):
        model.weight.data[...] = first + step
        expected = 0.9 * expected + 0.1 * (first + step)
        update()
    with ema.applied():
        np.testing.assert_allclose(model.weight.numpy(), expected, rtol=1e-6)
    np.testing.assert_array_equal(model.weight.numpy(), first + 3)
    other = optim.ExponentialMovingAverage(nn.Linear(2, 1, rng=1).parameters())
    other.load_state_dict(ema.state_dict())
    np.testing.assert_array_equal(other.averages[0].numpy(), ema.averages[0].numpy())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: optim.SGD(p, nesterov=True), "Nesterov's momentum is a momentum"),
        (lambda p: optim.LBFGS([]), "there are parameters to optimize"),
        (lambda p: optim.LBFGS(p, lr=0), "lr is positive"),
        (lambda p: optim.StepLR(optim.SGD(p), 0), "step_size is positive"),
        (lambda p: optim.SequentialLR(optim.SGD(p), [], []), "a milestone between"),
        (lambda p: optim.ReduceLROnPlateau(optim.SGD(p), "low"), "the mode is 'min' or 'max'"),
        (lambda p: optim.OneCycleLR(optim.SGD(p), 1.0, 3, anneal_strategy="x"), "the strategy"),
        (lambda p: optim.ExponentialMovingAverage(p, 1.0), "the decay lies in"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call([Tensor([1.0], requires_grad=True)])
    assert "\n  try " in str(error.value)


def test_a_cycle_ends():
    scheduler = optim.OneCycleLR(optim.SGD([Tensor([1.0])]), 1.0, 3)
    scheduler.step()
    scheduler.step()
    with pytest.raises(ValueError, match="a cycle has total_steps steps"):
        scheduler.step()
    assert math.isfinite(scheduler.get_last_lr()[0])

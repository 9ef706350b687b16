"""Modules, optimizers, schedules, and saving."""

import math

import numpy as np
import pytest
import safetensors.numpy

import tinygrad_lite as tg
from tinygrad_lite import Tensor, nn, optim
from tinygrad_lite.optim import orthogonalize


def mlp():
    return nn.Sequential(nn.Linear(2, 8, rng=0), nn.GELU(), nn.Linear(8, 1, rng=1))


def test_names_and_shapes_of_parameters():
    model = mlp()
    shapes = {name: p.shape for name, p in model.named_parameters()}
    assert shapes == {"0.weight": (8, 2), "0.bias": (8,), "2.weight": (1, 8), "2.bias": (1,)}


def test_xor_can_be_learned():
    x = Tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = Tensor([[0.0], [1.0], [1.0], [0.0]])
    model = mlp()
    adam = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(300):
        loss = ((model(x) - y) ** 2).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert loss.item() < 1e-3


def test_shared_parameters_are_named_once():
    model = nn.ModuleList([nn.Linear(2, 2, rng=0), nn.Linear(2, 2, rng=1)])
    model[1].weight = model[0].weight
    assert [n for n, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.bias"]


def test_training_mode_reaches_every_part():
    model = nn.Sequential(nn.Dropout(0.5, rng=0), nn.Identity())
    x = tg.ones(1000)
    assert 300 < (model(x).numpy() == 0).sum() < 700
    model.eval()
    assert (model(x).numpy() == 1).all()


def test_state_dict_round_trip(tmp_path):
    a, b = mlp(), mlp()
    a[0].weight.data += 1
    tg.save_state(tmp_path / "x.safetensors", a.state_dict(), {"note": "hello"})
    assert tg.load_metadata(tmp_path / "x.safetensors") == {"note": "hello"}
    b.load_state_dict(tg.load_state(tmp_path / "x.safetensors"))
    for (_, p), (_, q) in zip(a.named_parameters(), b.named_parameters(), strict=True):
        assert (p.numpy() == q.numpy()).all()


def test_a_state_that_does_not_fit_changes_nothing():
    model = mlp()
    state = {n: p.numpy() + 1 for n, p in model.named_parameters()}
    before = model[0].weight.numpy().copy()
    del state["0.bias"]
    state["more"] = np.zeros(1)
    state["2.weight"] = np.zeros((3, 3))
    with pytest.raises(ValueError, match="load_state_dict: the state must hold exactly") as error:
        model.load_state_dict(state)
    for text in ("0.bias is missing", "more is not part", "2.weight is (3, 3) in the file"):
        assert text in str(error.value)
    assert (model[0].weight.numpy() == before).all()


def test_truncated_file_is_named(tmp_path):
    path = tmp_path / "x.safetensors"
    tg.save_state(path, mlp().state_dict())
    path.write_bytes(path.read_bytes()[:-10])
    for load in (tg.load_state, tg.load_metadata):
        with pytest.raises(ValueError, match="load_state: the file must be a complete"):
            load(path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")

    def crash(temporary):
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tg.write_atomically(path, crash)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def stepped(optimizer_class, steps=3, **settings):
    w = Tensor(np.array([[1.0, -2.0], [0.5, 3.0]]), requires_grad=True)
    optimizer = optimizer_class([w], **settings)
    gradients = np.random.default_rng(0).standard_normal((steps, 2, 2))
    for g in gradients:
        w.grad = Tensor(g)
        optimizer.step()
    return w.numpy(), gradients


def test_sgd_with_momentum_by_its_formula():
    w, gradients = stepped(optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01)
    x, m = np.array([[1.0, -2.0], [0.5, 3.0]]), 0.0
    for g in gradients:
        m = 0.9 * m + g + 0.01 * x
        x = x - 0.1 * m
    np.testing.assert_allclose(w, x)


def test_parts_are_walked_once_each_and_the_innermost_first():
    shared = nn.Linear(2, 2, rng=0)
    inner = nn.Sequential(shared, nn.BatchNorm1d(2))
    model = nn.Sequential(inner, shared)
    assert list(model.children()) == [inner, shared]
    assert list(model.modules()) == [model, inner, shared, inner[1]]
    assert len(model.buffers()) == len(list(model.named_buffers())) > 0
    seen = []
    assert inner.apply(seen.append) is inner
    assert seen == [shared, inner[1], inner]


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_adam_by_its_formula(name):
    w, gradients = stepped(getattr(optim, name), lr=0.1, betas=(0.8, 0.9), weight_decay=0.02)
    x, m, v = np.array([[1.0, -2.0], [0.5, 3.0]]), 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        if name == "Adam":
            g = g + 0.02 * x
        else:
            x = x * (1 - 0.1 * 0.02)
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
        x = x - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-8)
    np.testing.assert_allclose(w, x, rtol=1e-6)


@pytest.mark.parametrize(
    "shape", [(2, 8, 16), (3, 16, 4), (1, 4, 16), (2, 12, 16), (2, 16, 12), (5, 1, 1)]
)
def test_orthogonalize_moves_singular_values_near_1(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    y = orthogonalize(x)
    assert y.shape == shape
    for a, b in zip(x, y, strict=True):
        values = np.linalg.svd(b, compute_uv=False)
        assert values.min() > 0.6
        assert values.max() < 1.3
        u, _, v = np.linalg.svd(a, full_matrices=False)
        product = u.T @ b @ v.T  # diagonal: the same singular vectors
        np.testing.assert_allclose(product - np.diag(np.diag(product)), 0, atol=1e-9)


def test_muon_steps_have_the_size_of_the_learning_rate():
    w, _ = stepped(optim.Muon, steps=1, lr=0.02)
    change = w - np.array([[1.0, -2.0], [0.5, 3.0]])
    assert 0.01 < np.linalg.norm(change, 2) < 0.03


@pytest.mark.parametrize("count", [1, 4])
def test_muon_orthogonalizes_in_as_many_steps_as_it_is_told(count):
    w, gradients = stepped(optim.Muon, steps=1, lr=0.02, momentum=0.0, ns_steps=count)
    expected = orthogonalize(gradients, count)[0]
    change = (np.array([[1.0, -2.0], [0.5, 3.0]]) - w) / 0.02
    np.testing.assert_allclose(change, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(AttributeError):
        optim.Muon([tg.ones(2, 2)]).ns_steps = 3


def test_optimizer_state_resumes_with_the_same_bits():
    for optimizer_class in (optim.SGD, optim.Adam, optim.AdamW, optim.Muon):
        settings = {"momentum": 0.9} if optimizer_class is optim.SGD else {}
        w = [Tensor(np.eye(3, dtype=np.float32), requires_grad=True) for _ in range(2)]
        a, b = (optimizer_class([x], lr=0.1, **settings) for x in w)
        g = np.random.default_rng(0).standard_normal((4, 3, 3)).astype(np.float32)
        for i in range(4):
            w[0].grad = Tensor(g[i])
            a.step()
            if i == 1:
                b.load_state_dict(a.state_dict())
                w[1].data[...] = w[0].data
            if i > 1:
                w[1].grad = Tensor(g[i])
                b.step()
        assert (w[0].numpy() == w[1].numpy()).all()


def test_clipping():
    a, b = (Tensor(np.zeros(n), requires_grad=True) for n in (2, 1))
    a.grad, b.grad = Tensor(np.array([3.0, 0.0])), Tensor(np.array([4.0]))
    assert float(optim.clip_grad_norm([a, b], 10.0)) == pytest.approx(5)
    assert a.grad.numpy()[0] == 3
    assert float(optim.clip_grad_norm([a, b], 1.0)) == pytest.approx(5)
    assert float(optim.grad_norm([a, b])) == pytest.approx(1)


def test_schedules():
    cosine = optim.warmup_cosine(100, 10, 0.1)
    assert cosine(0) < cosine(5) < cosine(10) == 1
    assert cosine(100) == pytest.approx(0.1)
    plateau = optim.warmup_plateau_decay(100, 10, 0.3)
    assert plateau(0) < plateau(10) == plateau(29) == 1
    assert plateau(64) == pytest.approx(0.5, abs=0.02)
    assert plateau(99) == pytest.approx(0, abs=1e-9)
    assert all(math.isfinite(plateau(i)) for i in range(200))


def test_rotary_scores_depend_on_distance_only():
    cos, sin = tg.rotary_angles(32, 8)
    q, k = (tg.randn(8, seed=i).numpy() for i in range(2))
    x = tg.rotary(Tensor(np.tile(q, (1, 32, 1, 1))), cos, sin).numpy()[0, :, 0]
    y = tg.rotary(Tensor(np.tile(k, (1, 32, 1, 1))), cos, sin).numpy()[0, :, 0]
    assert x[10] @ y[7] == pytest.approx(x[25] @ y[22], abs=1e-4)


ERRORS = {
    "there must be parameters": lambda: optim.SGD([]),
    "lr must not be negative": lambda: optim.SGD([tg.ones(1)], lr=-1),
    "each beta must lie": lambda: optim.Adam([tg.ones(1)], betas=(1.0, 0.9)),
    "Muon: every parameter must be a matrix": lambda: optim.Muon([tg.ones(1)]),
    "Muon: the number of Newton-Schulz": lambda: optim.Muon([tg.ones(2, 2)], ns_steps=0),
    "ModuleList: a list": lambda: nn.ModuleList([])(1),
    "Module: a module defines forward": lambda: nn.Module()(1),
}


@pytest.mark.parametrize("beginning", ERRORS)
def test_errors(beginning):
    with pytest.raises((ValueError, TypeError), match=beginning) as error:
        ERRORS[beginning]()
    assert "\n  got " in str(error.value)
    assert "\n  try " in str(error.value)


@pytest.mark.parametrize("shape", [(24, 24), (16, 64)])
def test_muon_takes_the_same_steps_in_bfloat16(shape):
    steps = []
    for name in ("float32", "bfloat16"):
        rng = np.random.default_rng(0)
        w = nn.Parameter(rng.standard_normal(shape))
        muon = optim.Muon([w], lr=0.1)
        with tg.precision(name):
            for _ in range(3):
                w.grad = tg.Tensor(rng.standard_normal(shape).astype(np.float32))
                muon.step()
        steps.append(w.numpy())
    np.testing.assert_array_equal(*steps)


def test_a_saved_state_is_checked_bit_by_bit(tmp_path):
    path = tmp_path / "x.safetensors"
    state = {"a": np.arange(6.0).reshape(2, 3), "b": np.float32(2), "none": np.empty((0, 3), "i4")}
    tg.save_state(path, {**state, "big": state["a"].astype(">f4")}, {"note": "hello"})
    assert {n: a.tolist() for n, a in tg.load_state(path).items()} == {
        **{n: a.tolist() for n, a in state.items()}, "big": state["a"].tolist()
    }  # fmt: skip
    whole = path.read_bytes()
    refused = 0
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        try:
            tg.load_state(path)
        except ValueError as error:
            assert "load_state: the file must be" in str(error)  # noqa: PT017
            refused += 1
    assert refused >= 0.95 * len(whole)  # the names of the checksums, and blanks, are not covered
    safetensors.numpy.save_file({"a": state["a"]}, path, {"of": "another program"})
    assert tg.load_metadata(path) == {"of": "another program"}
    assert tg.load_state(path)["a"].shape == (2, 3)


@pytest.mark.parametrize(
    ("state", "strings"),
    [
        ({"a": np.ones(3)}, {"step": 5}),
        ({"a": np.ones(3)}, {"x": None}),
        ({0: np.ones(3)}, {}),
        ({"__metadata__": np.ones(3)}, {}),
        ({"\ud800": np.ones(3)}, {}),
        ({"a": np.ones(3, complex)}, {}),
    ],
)
def test_what_could_not_be_read_again_is_not_written(tmp_path, state, strings):
    path = tmp_path / "x.safetensors"
    tg.save_state(path, {"a": np.zeros(2)})
    with pytest.raises(TypeError, match="save_state: "):
        tg.save_state(path, state, strings)
    assert tg.load_state(path)["a"].tolist() == [0, 0]
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]

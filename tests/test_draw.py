"""Graphs as text and as SVG, and the table of a model's layers."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import tinygrad_lite as tg
from tinygrad_lite import Tensor, nn


def made():
    w = Tensor(np.ones((3, 2), np.float32), requires_grad=True)
    b = Tensor(np.ones(3, np.float32), requires_grad=True)
    return w, b, tg.linear(tg.ones(4, 2), w, b).relu().sum()


def test_text():
    w, b, loss = made()
    lines = tg.draw(loss, names={"weight": w, "b": b}).splitlines()
    assert len(lines) == 5
    assert {line.split("  ")[0].split(" = ")[1] for line in lines[:2]} == {"weight", "b"}
    ops = [re.sub(r"%\d+", "%", line).split(" = ")[1] for line in lines[2:]]
    assert ops == ["linear(·, %, %)  (4, 3) float32", "relu(%)  (4, 3) float32",
                   "sum(%)  () float32"]  # fmt: skip


def test_svg_is_well_formed_and_has_a_box_for_each_op():
    with tg.find_mistakes():
        w, _, loss = made()
    svg = tg.draw(loss, "svg", {"<weight>": w})
    root = ET.fromstring(svg)
    texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"<weight>", "leaf", "linear", "relu", "sum"} <= set(texts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == 4
    titles = [t.text for t in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 3
    assert all("test_draw.py:" in title for title in titles)


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(ValueError, match="there is a graph behind"):
        tg.draw(tg.ones(2))
    *_, loss = made()
    with pytest.raises(ValueError, match="'text' or 'svg'"):
        tg.draw(loss, "png")
    loss.backward()
    with pytest.raises(RuntimeError, match="has walked through is freed"):
        tg.draw(loss)


def test_a_long_graph_is_drawn_or_refused():
    x = Tensor([1.0], requires_grad=True)
    y = x
    for _ in range(1500):
        y = y + 1
    assert len(tg.draw(y).splitlines()) == 1501
    for _ in range(1500):
        y = y + 1
    with pytest.raises(ValueError, match="can be looked at"):
        tg.draw(y)


def test_summary():
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(4 * 36, 10, rng=rng),
    )  # fmt: skip
    table = nn.summary(model.train(), tg.zeros(2, 1, 8, 8))
    assert re.search(r"0 +Conv2d +\(2, 4, 6, 6\) +40\n", table)
    assert re.search(r"1 +BatchNorm2d +\(2, 4, 6, 6\) +8\n", table)
    assert re.search(r"2 +ReLU +\(2, 4, 6, 6\) +-\n", table)
    assert table.endswith("1,498 parameters")
    assert all(part.training for _, part in model.named_modules())
    assert not any(part._forward_hooks for _, part in model.named_modules())
    assert model[1].running_mean.numpy().any() == 0


def test_hooks_before_a_module():
    layer = nn.Linear(2, 2, rng=0)
    x = tg.ones(1, 2)
    plain = layer(x).numpy()
    seen = []
    handle = layer.register_forward_pre_hook(lambda m, args: seen.append(args))
    double = layer.register_forward_pre_hook(lambda m, args: args[0] * 2)
    changed = layer(x).numpy()
    np.testing.assert_allclose(changed, layer.weight.numpy().sum(1)[None] * 2 + layer.bias.numpy())
    handle.remove()
    double.remove()
    np.testing.assert_array_equal(layer(x).numpy(), plain)
    assert len(seen) == 1


def test_an_error_about_shapes_tells_where_operands_come_from():
    w = tg.Tensor([[1.0, 2.0]], requires_grad=True)
    with pytest.raises(ValueError, match="broadcast") as caught:
        w.exp() + tg.ones(4, 5)
    assert caught.value.__notes__ == [
        "  operands of add: (1, 2) float32 (from exp), (4, 5) float32 (no gradient known)"
    ]
    with pytest.raises(ValueError, match="matmul") as caught:
        w.relu() @ w
    assert caught.value.__notes__ == [
        "  operands of matmul: (1, 2) float32 (from relu), (1, 2) float32 (a leaf)"
    ]
    with pytest.raises(ValueError, match="conv2d") as caught:
        tg.conv2d(w.reshape(1, 2, 1, 1), np.ones((3, 3, 1, 1), np.float32))
    assert "operands of conv2d: (1, 2, 1, 1, 1) float32 (from reshape)" in caught.value.__notes__[0]
    with tg.find_mistakes():
        y = w.exp()
        with pytest.raises(ValueError, match="matmul") as caught:
            y @ y
    assert "test_draw.py" in caught.value.__notes__[0]  # the line that computed it

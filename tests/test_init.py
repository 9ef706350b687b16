"""Initial values have the deviations and bounds of their papers."""

import math

import numpy as np
import pytest

import tinygrad_lite as tg
from tinygrad_lite import nn

SHAPE = (120, 80, 3)
IN, OUT = 240, 360


def drawn(function, *arguments, **settings):
    p = nn.Parameter(np.zeros(SHAPE))
    assert function(p, *arguments, rng=0, **settings) is p
    assert p.requires_grad
    return p.numpy()


@pytest.mark.parametrize(
    ("function", "settings", "deviation"),
    [
        (nn.init.xavier_uniform_, {}, math.sqrt(2 / (IN + OUT))),
        (nn.init.xavier_normal_, {"gain": 2.0}, 2 * math.sqrt(2 / (IN + OUT))),
        (nn.init.kaiming_uniform_, {"nonlinearity": "relu"}, math.sqrt(2 / IN)),
        (nn.init.kaiming_uniform_, {"a": math.sqrt(5)}, math.sqrt(1 / 3 / IN)),
        (nn.init.kaiming_normal_, {"mode": "fan_out"}, math.sqrt(2 / OUT)),
        (nn.init.normal_, {"mean": 1.0, "std": 0.3}, 0.3),
        (nn.init.uniform_, {"low": -1.0, "high": 3.0}, 4 / math.sqrt(12)),
        (nn.init.orthogonal_, {}, 1 / math.sqrt(IN)),
    ],
)
def test_deviations(function, settings, deviation):
    x = drawn(function, **settings)
    assert x.std() == pytest.approx(deviation, rel=0.03)
    if "uniform" in function.__name__:
        middle = x.mean()
        assert np.abs(x - middle).max() == pytest.approx(deviation * math.sqrt(3), rel=0.03)


def test_orthogonal_rows_and_columns():
    rows = drawn(nn.init.orthogonal_, 2.0).reshape(120, 240)
    np.testing.assert_allclose(rows @ rows.T, 4 * np.eye(120), atol=1e-5)
    p = nn.init.orthogonal_(nn.Parameter(np.zeros((9, 4))), rng=0).numpy()
    np.testing.assert_allclose(p.T @ p, np.eye(4), atol=1e-6)


def test_truncated():
    x = drawn(nn.init.trunc_normal_, 0.0, 1.0, -1.0, 1.5)
    assert x.min() >= -1
    assert x.max() <= 1.5
    assert x.max() > 1.4


def test_constants():
    p = nn.Parameter(np.zeros((3, 4)))
    assert (nn.init.ones_(p).numpy() == 1).all()
    assert (nn.init.constant_(p, 2.5).numpy() == 2.5).all()
    assert (nn.init.zeros_(p).numpy() == 0).all()
    np.testing.assert_array_equal(nn.init.eye_(p).numpy(), np.eye(3, 4))
    conv = nn.Conv2d(3, 3, 3, padding=1, bias=False, rng=0)
    nn.init.dirac_(conv.weight)
    x = tg.randn(2, 3, 5, 5, seed=0)
    np.testing.assert_allclose(conv(x).numpy(), x.numpy(), rtol=1e-6)
    sparse = nn.init.sparse_(nn.Parameter(np.zeros((10, 6))), 0.3, rng=0).numpy()
    assert ((sparse == 0).sum(0) == 3).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: nn.init.kaiming_uniform_(p, nonlinearity="relux", rng=0), "the nonlinearity"),
        (lambda p: nn.init.kaiming_uniform_(p, mode="in", rng=0), "the mode"),
        (lambda p: nn.init.xavier_normal_(nn.Parameter([1.0]), rng=0), "two axes or more"),
        (lambda p: nn.init.trunc_normal_(p, low=3.5, high=4.0, rng=0), "leave room"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(nn.Parameter(np.zeros((2, 3))))
    assert "\n  try " in str(error.value)

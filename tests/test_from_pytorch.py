"""What tinygrad_lite/FROM_PYTORCH.md says that is here, and what it says is refused"""

import re
from pathlib import Path

import numpy as np
import pytest

import tinygrad_lite as tg
from tinygrad_lite import nn

PAGE = (Path(tg.__file__).parent / "FROM_PYTORCH.md").read_text("utf-8")


def test_every_name_of_ours_that_the_page_speaks_of_exists():
    names = set(re.findall(r"\btg\.(\w+)", PAGE))
    assert len(names) > 15
    assert not [name for name in names if not hasattr(tg, name)]
    assert not [name for name in re.findall(r"\bnn\.(\w+)", PAGE) if not hasattr(nn, name)]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: tg.randn(2), TypeError),
        (lambda: tg.ones(2, requires_grad=True).add_(1), RuntimeError),
        (lambda: tg.Tensor([1]) // tg.Tensor([0]), ZeroDivisionError),
        (lambda: tg.mse_loss(tg.ones(3, 1), tg.ones(3)), ValueError),
        (lambda: tg.linalg.svd(tg.ones(3, 2, requires_grad=True)), ValueError),
        (lambda: tg.Tensor([1j]), TypeError),
    ],
)
def test_what_the_page_says_is_refused_is(call, error):
    with pytest.raises(error):
        call()


def test_what_the_page_says_differs_does():
    x = tg.randn(2, 3, 4, seed=0)
    assert tg.cross_entropy(x, np.zeros((2, 3), int)).shape == ()
    assert nn.CrossEntropyLoss()(x, np.zeros((2, 4), int)).shape == ()
    assert tg.relu(tg.Tensor([1, -1])).dtype == np.float32
    assert "bias" not in dict(nn.LayerNorm(3, bias=False).named_parameters())
    np.testing.assert_array_equal(x.sum(dim=1).numpy(), x.sum(axis=1).numpy())
    with tg.precision("bfloat16"):
        assert (x @ x.transpose()).dtype == np.float32

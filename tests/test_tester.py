"""The tests of the ops can fail: a missing row, or a derivative wrong by 0.1 %, is found."""

import numpy as np
import pytest
from hypothesis import find, settings
from hypothesis import strategies as st
from rows import ROWS, Row
from test_ops import SMOOTH, check_row, missing_rows, prepared

from tinygrad_lite.tensor import REGISTRY, Tensor, op

# The derivative of these is 0 wherever it exists: 0.1 % more of it is the same.
FLAT = {"sign", "floor", "ceil", "trunc", "round"}


@op
def _slightly_wrong(x):
    """The identity, with a derivative of 1.001"""
    return x, lambda g: (g * 1.001,)


del REGISTRY["slightly_wrong"]


def test_a_missing_row_is_found():
    rows = {name: row for name, row in ROWS.items() if name != "tanh"}
    assert missing_rows(rows, REGISTRY) == ["tanh"]


@pytest.mark.parametrize("name", [n for n in SMOOTH if n not in FLAT])
def test_a_wrong_derivative_is_found(name):
    row = ROWS[name]

    def wrong(*arguments):
        return _slightly_wrong(row.function(*arguments))

    broken = Row(wrong, row.reference, row.inputs)

    @st.composite
    def inputs(draw):
        return row.inputs(draw)

    def rejected(drawn):
        try:
            check_row(broken, prepared(row, drawn))
        except AssertionError as error:
            return "finite differences" in str(error)
        return False

    assert (
        find(
            inputs(),
            rejected,
            settings=settings(max_examples=100, database=None, derandomize=True, deadline=None),
        )
        is not None
    )


def test_the_right_derivative_passes():
    check_row(ROWS["tanh"], [np.linspace(-2, 2, 7)])
    assert Tensor(1.0).dtype == np.float32

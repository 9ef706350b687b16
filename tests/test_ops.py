"""Every op of the registry: values against NumPy, gradients against finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import ROWS, Row

import tinygrad_lite as tg
from tinygrad_lite.methods import METHODS
from tinygrad_lite.tensor import REGISTRY, Tensor

SMOOTH = [name for name, row in ROWS.items() if row.smooth]
EXAMPLES = settings(max_examples=12, deadline=None, derandomize=True, database=None)


def missing_rows(rows, registry):
    """Names of ops that have no row"""
    public = {method.__name__ for method in METHODS}
    own = {name for name, f in registry.items() if f.__module__.startswith("tinygrad_lite.")}
    return sorted((own | public) - set(rows))


def on_tensors(row: Row, inputs, dtype):
    """The op on Tensors of a dtype; integers, and what is no array, pass through."""
    tensors = [
        Tensor(x.astype(dtype) if x.dtype.kind == "f" else x) if is_operand(x) else x
        for x in inputs
    ]
    return row.function(*tensors)


def is_operand(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def check_row(row: Row, inputs):
    """Gradients of every floating-point input by finite differences"""
    operands = [x for x in inputs if is_operand(x)]

    def function(*tensors):
        rest = iter(tensors)
        return row.function(*[next(rest) if is_operand(x) else x for x in inputs])

    return tg.check_gradients(function, *operands, directions=2)


def prepared(row: Row, inputs):
    """Integer arrays as Tensors where the op's first argument is one"""
    return [
        Tensor(x) if isinstance(x, np.ndarray) and not is_operand(x) and i == 0 else x
        for i, x in enumerate(inputs)
    ]


def test_every_op_has_a_row():
    assert missing_rows(ROWS, REGISTRY) == []


@pytest.mark.parametrize("name", ROWS)
@EXAMPLES
@given(data=st.data())
def test_value_agrees_with_numpy(name, data):
    row = ROWS[name]
    inputs = row.inputs(data.draw)
    expected = np.asarray(row.reference(*inputs))
    out = on_tensors(row, prepared(row, inputs), np.float64)
    assert out.shape == expected.shape
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SMOOTH)
@EXAMPLES
@given(data=st.data())
def test_gradient_agrees_with_finite_differences(name, data):
    row = ROWS[name]
    inputs = row.inputs(data.draw)
    check_row(row, prepared(row, inputs))


@pytest.mark.parametrize("name", SMOOTH)
@EXAMPLES
@given(data=st.data())
def test_float32_agrees_with_float64(name, data):
    row = ROWS[name]
    inputs = prepared(row, row.inputs(data.draw))
    results = []
    for dtype in (np.float32, np.float64):
        tensors = [
            Tensor(x.astype(dtype), requires_grad=True) if is_operand(x) else x for x in inputs
        ]
        out = row.function(*tensors)
        if name != "astype":
            assert out.dtype == dtype
        if out.requires_grad:
            out.sum().backward()
        grads = [t.grad.numpy() for t in tensors if isinstance(t, Tensor) and t.grad is not None]
        assert all(g.dtype == dtype for g in grads)
        results.append([out.numpy(), *grads])
    for single, double in zip(*results, strict=True):
        np.testing.assert_allclose(single, double, rtol=2e-4, atol=2e-4)

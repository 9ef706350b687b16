"""Every op that PyTorch has too, on PyTorch's own samples; see torch_samples.py.

What differs is written down here, with the reason and how many samples it is: more of them fail,
and so does a line that nothing is behind any longer.
"""

from collections import Counter

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
pytest.importorskip("expecttest", reason="torch.testing needs it: pip install expecttest")

from torch_samples import OPS, judge, without_samples

# Conventions that differ: reason -> {"op kind": samples at most}
JUSTIFIED = {
    "two dtypes combine as in NumPy: int32 and float32, or int64 and 2.5, are float64": {
        **{f"{op} dtype": 26 for op in ("add", "mul")},
        **{f"{op} dtype": 24 for op in ("sub", "pow")},
        **{f"{op} dtype": 11 for op in ("__radd__", "__rmul__", "__rdiv__")},
        **{f"{op} dtype": 9 for op in ("__rsub__", "__rpow__")},
        **{f"{op} dtype": 12 for op in ("maximum", "minimum", "where")},
        **{"true_divide dtype": 21, "clamp dtype": 8, "cat dtype": 4, "stack dtype": 4},
    },
    "uint8 and int64 without axes are int64 as in NumPy, where PyTorch's uint8 wraps around": {
        "sub value": 3,
    },
    "a filled tensor has room for the value, where PyTorch keeps bool and makes 10 True": {
        "masked_fill dtype": 12,
        "masked_fill value": 10,
    },
    "sums and products of uint8 are uint64 as in NumPy": {
        **{"sum dtype": 31, "prod dtype": 45, "cumsum dtype": 6, "einsum dtype": 3},
    },
    "a uint8 is never below -1, where PyTorch makes the -1 a 255": {
        **{f"{op} value": 1 for op in ("lt", "le", "gt", "ge")},
    },
    "relu is for floating-point numbers: integers become float32": {
        "nn.functional.relu dtype": 15,
    },
    "one_hot is there to be multiplied: float32": {"nn.functional.one_hot dtype": 3},
    "the sign of NaN is NaN, where PyTorch has 0; and so for the derivative of abs": {
        **{"sign value": 2, "abs gradient": 2},
    },
    "relu passes no gradient to NaN, maximum and minimum only to one of two": {
        **{"nn.functional.relu gradient": 2, "maximum gradient": 2, "minimum gradient": 2},
    },
    "the derivative of 1 / sqrt at -0.0, where the value is already infinite": {
        "rsqrt gradient": 2,
    },
    "g * 2 * x for the largest x: what is multiplied first decides whether it overflows": {
        "square gradient": 2,
    },
    "the product of the others is NaN where NaN is among them, where PyTorch has 0": {
        "prod gradient": 2,
    },
    "gelu of the largest float32 is that number, where PyTorch has infinity": {
        "nn.functional.gelu value": 1,
    },
    "causal attention to more keys than queries: our last query sees all keys": {
        "nn.functional.scaled_dot_product_attention value": 4,
    },
    "integers between two limits: NumPy rounds down, PyTorch towards 0": {
        **{"linspace value": 25, "arange value": 7, "arange shape": 6},
    },
}

# Known mistakes, and conventions about to become PyTorch's: the line goes with its cause.
OPEN = {
    "where x is at a limit of clip, its gradient is 1": {"clamp gradient": 8},
    "derivatives of 0 ** 0, and of x ** y to y where x is negative": {"pow gradient": 19},
    "the gradient of std of equal numbers is 0": {"std gradient": 4},
    "min is -max(-x), which fails for uint8, for the least integer, and for booleans": {
        **{"amin value": 6, "amin error": 27},
        **{"min.reduction_no_dim value": 1, "min.reduction_no_dim error": 2},
        **{"min.reduction_with_dim value": 2, "min.reduction_with_dim error": 4},
    },
    "logsumexp of integers starts at -inf, which is none": {"logsumexp error": 21},
    "linear of integers ends in the compiler": {"nn.functional.linear error": 54},
    "gather of a number, or by an empty index of more axes": {"gather error": 18},
    "cumsum of a number has an axis": {"cumsum shape": 5},
    "sign of booleans": {"sign error": 2},
    "x - (largest + log(total)) loses what log_softmax is about for large x": {
        "log_softmax value": 1,
    },
    "cat of vectors along an axis that they have not: an error that does not say so": {
        "cat error": 6,
    },
}


def expected() -> dict[str, Counter]:
    """For each op, how many mismatches of each kind are written down"""
    known: dict[str, Counter] = {name: Counter() for name in OPS}
    for lines in (*JUSTIFIED.values(), *OPEN.values()):
        for line, count in lines.items():
            op, kind = line.split()
            known[op][kind] += count
    return known


EXPECTED = expected()


def test_every_method_is_judged():
    assert without_samples() == []


@pytest.mark.parametrize("name", OPS)
def test_samples(name):
    verdict, known = judge(name), EXPECTED[name]
    assert verdict.counts["agreed"] > 0 or known, "no sample agrees"
    more = {k: n for k, n in verdict.mismatches.items() if n > known[k]}
    assert not more, "\n".join(line for line in verdict.lines if line.split(":")[0] in more)
    gone = [kind for kind in known if not verdict.mismatches[kind]]
    assert not gone, f"nothing is behind {name} {gone} any longer: delete the line"


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (lambda x: x.sin() * 1.00001, "value"),
        (lambda x: x.sin() * 2 - x.sin().detach(), "gradient"),
        (lambda x: x.sin().astype("float64"), "dtype"),
        (lambda x: x.sin().unsqueeze(0), "shape"),
        (lambda x: x.sin().detach(), "requires_grad"),
        (lambda x: x.no_such_method(), "error"),
    ],
)
def test_mistakes_are_noticed(monkeypatch, wrong, kind):
    monkeypatch.setitem(OPS, "sin", wrong)
    verdict = judge("sin")
    assert verdict.mismatches[kind] > 0
    assert any(line.startswith(f"{kind}: sin(") for line in verdict.lines)

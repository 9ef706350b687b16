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
    "an integer tensor without axes widens smaller integers as in NumPy: none wraps around": {
        **{f"{op} dtype": 3 for op in ("add", "sub", "mul", "pow", "maximum", "minimum")},
        "sub value": 2,
    },
    "a uint8 is never below -1, where PyTorch makes the -1 a 255": {
        **{f"{op} value": 1 for op in ("lt", "le", "gt", "ge")},
    },
    "relu and linear are for floating-point numbers: integers become float32": {
        "nn.functional.relu dtype": 15,
        "nn.functional.linear dtype": 54,
    },
    "activations are for floating-point numbers: integers become float32": {
        **{"nn.functional.relu6 dtype": 9, "nn.functional.hardtanh dtype": 10},
        "nn.functional.hardtanh value": 2,
    },
    "any and all are booleans, where PyTorch has a uint8 of uint8": {
        **{"any dtype": 18, "all dtype": 18},
    },
    "the derivative at numbers near 1: 1 - x * x, as PyTorch computes it, has lost digits": {
        **{"asin gradient": 1, "atanh gradient": 1},
    },
    "of 10,000 a float32 has no more digits: PyTorch's and ours are as far from float64": {
        "logcumsumexp gradient": 2,
    },
    "convolutions and pooled means are of fractions: integers become float32": {
        **{"nn.functional.conv1d dtype": 10, "nn.functional.conv2d dtype": 30},
        **{"nn.functional.conv3d dtype": 20, "nn.functional.conv_transpose1d dtype": 10},
        **{"nn.functional.conv_transpose2d dtype": 12, "nn.functional.conv_transpose3d dtype": 10},
        **{"nn.functional.avg_pool1d dtype": 9, "nn.functional.avg_pool1d value": 8},
        **{"nn.functional.avg_pool2d dtype": 6, "nn.functional.avg_pool2d value": 6},
        **{"nn.functional.avg_pool3d dtype": 8, "nn.functional.avg_pool3d value": 7},
        **{"nn.functional.local_response_norm dtype": 1},
        **{"nn.functional.local_response_norm value": 9},
        **{"nn.functional.interpolate.bilinear dtype": 14},
        **{"nn.functional.interpolate.bilinear value": 13},
        **{"nn.functional.upsample_bilinear dtype": 4, "nn.functional.upsample_bilinear value": 3},
    },
    "of numbers for one place the last counts: those before it have no gradient": {
        "nn.functional.max_unpool1d gradient": 132,
        "nn.functional.max_unpool2d gradient": 357,
        "nn.functional.max_unpool3d gradient": 128,
    },
    "equal numbers keep their order": {"argsort value": 2},
    "a uint8 is negated after it was made a float64": {
        "nn.functional.softmin.with_dtype value": 4,
    },
    "one_hot is there to be multiplied: float32": {"nn.functional.one_hot dtype": 3},
    "the sign of NaN is NaN, where PyTorch has 0; and so for the derivative of abs": {
        **{"sign value": 2, "abs gradient": 2},
    },
    "the product of the others is NaN where NaN is among them, where PyTorch has 0": {
        "prod gradient": 2,
    },
    "gelu of the largest float32 is that number, where PyTorch has infinity with AVX-512": {
        "nn.functional.gelu value": 1,
    },
    "causal attention to more keys than queries: our last query sees all keys": {
        "nn.functional.scaled_dot_product_attention value": 4,
    },
    "the next number has no derivative, and so what is drawn, a sign, and x to the 0th power": {
        **{"nextafter requires_grad": 18, "bernoulli requires_grad": 8},
        **{"linalg.slogdet requires_grad": 18, "linalg.matrix_power requires_grad": 6},
    },
    "near their poles PyTorch computes these in float32: ours are those of float64": {
        "digamma gradient": 1,
        **{f"polygamma.polygamma_n_{n} value": 5 for n in range(5)},
        "special.polygamma.special_polygamma_n_0 value": 5,
    },
    "integers times a fraction are fractions, where PyTorch makes the fraction an integer": {
        **{f"{op} {kind}": 9 for op in ("addmv", "baddbmm") for kind in ("dtype", "value")},
        **{"addbmm dtype": 15, "addbmm value": 12},
    },
    "the triangle that is not read has no gradient": {
        **{"cholesky_solve gradient": 12, "cholesky_inverse gradient": 12},
    },
    "booleans times a number are integers": {"addr dtype": 2, "addr value": 2},
    "a sum over no axis keeps the dtype": {"sum_to_size dtype": 3},
    "products of integers are added as int64": {"nn.functional.bilinear dtype": 32},
    "one element without axes is one run, in an axis": {"unique_consecutive shape": 36},
    "images of integers become float32": {
        **{"nn.functional.interpolate.bicubic dtype": 14},
        **{"nn.functional.interpolate.bicubic value": 13},
    },
    "of sums in float32 the last digits: both are as far from float64": {
        **{f"{op} gradient": 1 for op in ("cov", "cdist", "linalg.cond", "matrix_exp")},
        **{"nn.functional.grid_sample gradient": 1},
    },
    "integers between two limits: NumPy rounds down, PyTorch towards 0": {
        **{"logspace.tensor_overload value": 342, "linspace.tensor_overload value": 75},
        **{"logspace value": 114, "linspace value": 25, "arange value": 7, "arange shape": 6},
    },
}


def expected() -> dict[str, Counter]:
    """For each op, how many mismatches of each kind are written down"""
    known: dict[str, Counter] = {name: Counter() for name in OPS}
    for lines in JUSTIFIED.values():
        for line, count in lines.items():
            op, kind = line.split()
            known[op][kind] += count
    return known


EXPECTED = expected()
# PyTorch's numbers differ between processors
BY_PROCESSOR = {"nn.functional.gelu value", "linalg.cond gradient", "matrix_exp gradient"}


def test_every_method_is_judged():
    assert without_samples() == []


@pytest.mark.parametrize("name", OPS)
def test_samples(name):
    verdict, known = judge(name), EXPECTED[name]
    assert verdict.counts["agreed"] > 0 or known, "no sample agrees"
    more = {k: n for k, n in verdict.mismatches.items() if n > known[k]}
    assert not more, "\n".join(line for line in verdict.lines if line.split(":")[0] in more)
    gone = [k for k in known if not verdict.mismatches[k] and f"{name} {k}" not in BY_PROCESSOR]
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

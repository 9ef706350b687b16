"""The examples in docstrings: each says what it prints, and nearly each op has one."""

import doctest
import importlib
import inspect
import pkgutil
import re

import numpy as np
import pytest

import tinygrad_lite as tg

NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]\d+)?")
DIGITS = 6e-5  # examples show four of them

# About programs, files and graphs, where two lines show nothing; what draws, from one helper
WITHOUT = {
    "compile_ahead", "count_missing", "create_graph", "draw", "elementwise", "examine",
    "find_mistakes", "get_num_threads", "get_precision", "gradients", "has_bfloat16",
    "is_grad_enabled", "load_metadata", "load_state", "no_grad", "on_compile", "op",
    "precision", "rotary", "rotary_angles", "rows_drawn", "save_state", "set_num_threads",
    "write_atomically",
}  # fmt: skip


class Near(doctest.OutputChecker):
    """Numbers are what is shown, to its digits; all else is the same but for spaces"""

    def check_output(self, want, got, flags):
        texts = [" ".join(NUMBER.sub("#", t).split()) for t in (want, got)]
        if texts[0] != texts[1]:
            return False
        numbers = [np.array([float(n) for n in NUMBER.findall(t)]) for t in (want, got)]
        return bool(np.all(np.abs(numbers[0] - numbers[1]) <= DIGITS))


def modules():
    names = [m.name for m in pkgutil.walk_packages(tg.__path__, "tinygrad_lite.")]
    found = [tg, *(importlib.import_module(n) for n in names if ".examples." not in n)]
    return [m for m in found if getattr(m, "__file__", None)]


def functions():
    """Each function that some module of the package defines, whatever wraps it"""
    found = {}
    for module in modules():
        for name, value in vars(module).items():
            if callable(value) and not inspect.isclass(value):
                inner = inspect.unwrap(value)
                if inspect.isfunction(inner) and inner.__module__ == module.__name__:
                    found[f"{module.__name__}.{name}"] = inner
    return {name: f for name, f in found.items() if ">>>" in (f.__doc__ or "")}


EXAMPLES = functions()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_it_says(name):
    given = {"tg": tg, "Tensor": tg.Tensor, "np": np}
    test = doctest.DocTestParser().get_doctest(EXAMPLES[name].__doc__, given, name, None, 0)
    assert test.examples
    report = []
    doctest.DocTestRunner(Near()).run(test, out=report.append)
    assert not report, "".join(report)


def test_each_op_has_an_example():
    public = {n for n in dir(tg) if not n.startswith("_")}
    ops = {n for n in public if callable(getattr(tg, n)) and not inspect.isclass(getattr(tg, n))}
    shown = {n for n in ops if ">>>" in (getattr(tg, n).__doc__ or "")}
    assert ops - shown == WITHOUT
    own = {n for n, f in vars(tg.linalg).items()
           if not n.startswith("_") and getattr(f, "__module__", "") == "tinygrad_lite.linalg"
           and not inspect.isclass(f)}  # fmt: skip
    assert {n for n in own if ">>>" not in getattr(tg.linalg, n).__doc__} == set()
    assert len(EXAMPLES) > 350


def test_a_wrong_example_is_seen():
    near = Near()
    assert near.check_output("[1.0, 2.7183]\n", "[1.0, 2.7182817459106445]\n", 0)
    assert not near.check_output("[1.0, 2.7183]\n", "[1.0, 2.7185]\n", 0)
    assert not near.check_output("[1, 2]\n", "[1, 3]\n", 0)
    assert not near.check_output("[1.0]\n", "[1.0, 1.0]\n", 0)

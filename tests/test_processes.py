"""Threads and processes: Python threads, forks, damaged caches, and a Numba that has changed."""

import os
import subprocess
import sys

import numba
import pytest

USE = """
import threading, warnings, multiprocessing, os
import numpy as np
import tinygrad_lite as tg
w = tg.Tensor(np.random.default_rng(0).standard_normal((300, 300)).astype("f"), requires_grad=True)
x = tg.Tensor(np.random.default_rng(1).standard_normal((300, 300)).astype("f"))
def train(steps=20):
    w = tg.Tensor(np.eye(300, dtype="f") * 0.1, requires_grad=True)
    opt = tg.optim.AdamW([w])
    @tg.jit
    def step(x):
        opt.zero_grad()
        loss = ((x @ w).gelu() - x).softmax().sum() + (w * w).mean()
        loss.backward()
        opt.step()
        return loss
    for _ in range(steps):
        step(x)
    return w.numpy().copy()
"""


def python(code, start="", **environment):
    result = subprocess.run(
        [sys.executable, "-c", start + USE + code], capture_output=True, text=True, timeout=300,
        env={**os.environ, "NUMBA_NUM_THREADS": "2", **environment},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout.strip()


def test_python_threads_may_train_at_once():
    said = python("""
expected = train()
found = []
threads = [threading.Thread(target=lambda: found.append(train())) for _ in range(3)]
for t in threads: t.start()
for t in threads: t.join()
print([bool(np.array_equal(f, expected)) for f in found])
""")  # fmt: skip
    assert said == "[True, True, True]"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_computes_the_same_on_one_thread():
    said = python("""
expected = train(5)
warnings.simplefilter("ignore")
def work(queue):
    try: tg.set_num_threads(2)
    except ValueError as error: print(str(error).splitlines()[0], flush=True)
    queue.put((tg.get_num_threads(), train(5)))
context = multiprocessing.get_context("fork")
queue = context.Queue()
child = context.Process(target=work, args=(queue,))
child.start()
threads, found = queue.get(timeout=120)
child.join()
print(threads, np.array_equal(found, expected), tg.get_num_threads())
""")  # fmt: skip
    if not numba.config.DISABLE_JIT:
        first, second = said.splitlines()
        assert (
            first == "set_num_threads: a process forked from one that has computed has one thread."
        )
        assert second == "1 True 2"


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_a_numba_that_has_changed_is_noticed(tmp_path):
    said = python("""
from numba.core import caching; del caching.IndexDataCacheFile
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    y = (x * 1).softmax().numpy()
    z = tg.relu(x).numpy()
expected = np.exp(x.numpy()) / np.exp(x.numpy()).sum(-1, keepdims=True)
messages = [str(w.message) for w in seen]
print(np.allclose(y, expected, atol=1e-6), [m for m in messages if "Numba" in m])
""", NUMBA_CACHE_DIR=str(tmp_path))  # fmt: skip
    assert said.startswith("True")
    assert said.count("has changed") == 1
    assert "compiled anew" in said


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_parts_of_kernels_get_no_machine_code_but_where_numba_has_changed(tmp_path):
    code = "(x * 1).softmax()\nfrom tinygrad_lite.fused.softmax import softmax_forward as kernel\n"
    code += "(part,) = kernel.body.overloads.values()\n"
    code += "print(type(part.library).__name__, 'take longer' in str(seen))"
    for change, found in (("", "LinkedLibrary False"), (DELETE, "JITCodeLibrary True")):
        start = f"{change}\nimport warnings; warnings.simplefilter('always'); seen = []\n"
        start += "warnings.showwarning = lambda message, *_: seen.append(str(message))\n"
        assert python(code, start=start, NUMBA_CACHE_DIR=str(tmp_path / found)) == found


DELETE = "import numba.core.codegen as c; del c.JITCodeLibrary"
SOFTMAX = "print(repr((x * 1).softmax().numpy()[0, :3].tolist()))"


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_damaged_kernels_on_disk_are_compiled_anew(tmp_path):
    """Emptied, cut off, one bit changed in each file: never run, and never in the way"""
    expected = python(SOFTMAX, NUMBA_CACHE_DIR=str(tmp_path))
    files = sorted(p for p in tmp_path.rglob("*.nb?"))
    assert len({p.suffix for p in files}) == 2
    before = {p: p.read_bytes() for p in files}
    for damage in (
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-9] + bytes([data[-9] ^ 4]) + data[-8:],
        lambda data: data[:40] + bytes(64) + data[104:],
    ):
        for path in files:
            path.write_bytes(damage(before[path]))
        assert python(SOFTMAX, NUMBA_CACHE_DIR=str(tmp_path)) == expected
        whole = {p: p.read_bytes()[32:] for p in files if p.suffix == ".nbc"}
        assert all(len(whole[p]) > 0.9 * len(before[p]) for p in whole)  # mended


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_a_kernel_for_other_arguments_under_its_name_is_compiled_anew(tmp_path):
    """Two processes that compile at once may leave the index of one, and the data of the other."""
    code = """
import numpy as np, tinygrad_lite as tg
print([tg.softmax(tg.Tensor(np.ones((2, 4), t))).tolist() for t in ("float32", "float64")])
"""
    expected = python(code, NUMBA_CACHE_DIR=str(tmp_path))
    one, other = sorted(tmp_path.rglob("softmax.softmax_forward*.nbc"))
    of_one, of_other = one.read_bytes(), other.read_bytes()
    one.write_bytes(of_other)
    other.write_bytes(of_one)
    assert python(code, NUMBA_CACHE_DIR=str(tmp_path)) == expected
    assert {one.read_bytes()[:32], other.read_bytes()[:32]} != {of_one[:32], of_other[:32]}


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_kernels_that_cannot_be_kept_are_compiled_in_memory(tmp_path):
    expected = python(SOFTMAX, NUMBA_CACHE_DIR=str(tmp_path / "good"))
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
    full += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    assert python(full + SOFTMAX, NUMBA_CACHE_DIR=str(tmp_path / "full")) == expected
    (tmp_path / "file").write_text("in the way")
    refused = (
        "import numba.core.caching as c\n"
        "for kind in c.CacheImpl._locator_classes: kind.from_function = lambda *a: None\n"
        "warnings.simplefilter('ignore')\n"
    )
    assert python(refused + SOFTMAX, NUMBA_CACHE_DIR=str(tmp_path / "file" / "in")) == expected

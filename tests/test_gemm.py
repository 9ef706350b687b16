"""The packed matrix product: any shape, either operand transposed, any number of threads."""

import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_lite as tg
from tinygrad_lite.kernels import amx, cpu, pack, tasks, tile
from tinygrad_lite.kernels import gemm as g

SIZES = st.sampled_from([0, 1, 2, 5, 7, 15, 17, 64, 97, 129, 260])


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    sizes=st.tuples(st.integers(1, 3), SIZES, SIZES, SIZES),
    transposed=st.tuples(st.booleans(), st.booleans()),
    extra=st.sampled_from(["none", "bias", "accumulate"]),
    double=st.booleans(),
)
def test_agrees_with_numpy(sizes, transposed, extra, double):
    batch, m, n, k = sizes
    dtype = np.float64 if double else np.float32
    rng = np.random.default_rng(m + n + k)
    a, b = rng.standard_normal((batch, m, k)), rng.standard_normal((batch, k, n))
    bias, before = rng.standard_normal(n), rng.standard_normal((batch, m, n))
    expected = a @ b + {"none": 0, "bias": bias, "accumulate": before}[extra]
    a, b = (np.swapaxes(x, 1, 2) if t else x for x, t in zip((a, b), transposed, strict=True))
    a, b = np.ascontiguousarray(a, dtype), np.ascontiguousarray(b, dtype)
    out = before.astype(dtype) if extra == "accumulate" else np.full((batch, m, n), np.nan, dtype)
    g.gemm(
        out,
        a,
        b,
        bias=bias.astype(dtype) if extra == "bias" else None,
        transpose_a=transposed[0],
        transpose_b=transposed[1],
        accumulate=extra == "accumulate",
    )
    tolerance = 1e-11 if double else 2e-4
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("transposed", [False, True])
def test_several_panels_and_depths(transposed):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((1, 1000, 33)), rng.standard_normal((1, 1000, 2100))
    out = np.empty((1, 33, 2100))
    expected = np.swapaxes(a, 1, 2) @ b
    if not transposed:
        a = np.ascontiguousarray(np.swapaxes(a, 1, 2))
    g.gemm(out, a, b, transpose_a=transposed)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-12)  # numbers are about 30


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(65, 129, 300), (1, 500, 64), (500, 777, 900)])
def test_threads_do_not_change_a_bit(shape, precision):
    m, n, k = shape
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((1, m, k), (1, k, n)))
    results = []
    before = tg.get_num_threads()
    try:
        for threads in {1, before}:
            tg.set_num_threads(threads)
            with tg.precision(precision):
                results.append(g.gemm(np.empty((1, m, n), np.float32), a, b))
    finally:
        tg.set_num_threads(before)
    assert all((r == results[0]).all() for r in results)


def to_bfloat16(x):
    """The nearest number with 8 bits of mantissa, ties to even"""
    mantissa, exponent = np.frexp(x.astype(np.float64))
    return np.ldexp(np.round(mantissa * 256) / 256, exponent)


def test_a_part_of_a_product_in_bfloat16_has_its_bits():
    """However many rows and columns C has, and wherever it is cut into tiles"""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((1, 130, 900), (1, 900, 150)))
    before = rng.standard_normal((1, 130, 150)).astype(np.float32)
    for accumulate in (False, True):
        found = []
        for m, n in ((130, 150), (130, 64), (97, 33), (16, 150), (1, 1)):
            out, left = before[:, :m, :n].copy(), np.ascontiguousarray(a[:, :m])
            with tg.precision("bfloat16"):
                g.gemm(out, left, np.ascontiguousarray(b[..., :n]), accumulate=accumulate)
            found.append(out)
        for part in found:
            _, m, n = part.shape
            np.testing.assert_array_equal(part, found[0][:, :m, :n])


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    sizes=st.tuples(st.integers(1, 2), SIZES, SIZES, SIZES),
    transposed=st.tuples(st.booleans(), st.booleans()),
    accumulate=st.booleans(),
)
def test_bfloat16_is_the_product_of_rounded_operands(sizes, transposed, accumulate):
    batch, m, n, k = sizes
    rng = np.random.default_rng(m + n + k)
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((batch, m, k), (batch, k, n)))
    before = rng.standard_normal((batch, m, n)).astype(np.float32)
    expected = to_bfloat16(a) @ to_bfloat16(b) + (before if accumulate else 0)
    a, b = (np.swapaxes(x, 1, 2) if t else x for x, t in zip((a, b), transposed, strict=True))
    with tg.precision("bfloat16"):
        out = g.gemm(before.copy(), np.ascontiguousarray(a), np.ascontiguousarray(b),
                     transpose_a=transposed[0], transpose_b=transposed[1],
                     accumulate=accumulate)  # fmt: skip
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)


def test_bfloat16_rounds_ties_to_even_and_keeps_nan_and_infinity():
    odd, even = 1 + 3 / 256, 1 + 1 / 256  # in the middle of two bfloat16 numbers
    given = np.array([odd, even, np.inf, np.nan, 3.4e38], np.float32).reshape(1, 5, 1)
    with tg.precision("bfloat16"):
        out = g.gemm(np.empty((1, 5, 1), np.float32), given, np.ones((1, 1, 1), np.float32))
    np.testing.assert_array_equal(out.reshape(-1), [1 + 2 / 128, 1, np.inf, np.nan, np.inf])


def test_precision_is_a_context():
    with tg.precision("bfloat16"):
        with tg.precision("float32"):
            assert tg.get_precision() == "float32"
        assert tg.get_precision() == "bfloat16"
    assert tg.get_precision() == "float32"
    with tg.precision("auto"):
        assert tg.get_precision() == ("bfloat16" if cpu.prefers_bfloat16() else "float32")
    with pytest.raises(ValueError, match="got 'half'"), tg.precision("half"):
        pass


@pytest.mark.parametrize(
    ("name", "tiles", "expected"),
    [
        ("znver5", False, True),
        ("sapphirerapids", True, True),
        ("sapphirerapids", False, False),  # its AVX512-BF16 is slower than float32
        ("cooperlake", False, False),
    ],
)
def test_auto_is_bfloat16_where_it_is_faster(monkeypatch, name, tiles, expected):
    monkeypatch.setattr(cpu, "has_bfloat16", lambda: True)
    monkeypatch.setattr(cpu, "has_amx", lambda: tiles)
    monkeypatch.setattr(numba.config, "CPU_NAME", name)
    with tg.precision("auto"):
        assert tg.get_precision() == ("bfloat16" if expected else "float32")


def test_products_in_several_python_threads_at_once():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 1, 130, 130))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: g.gemm(np.empty((1, 130, 130)), a, b), range(40)))
    np.testing.assert_allclose(results, np.stack([a @ b] * 40), rtol=1e-11, atol=1e-11)


def test_nan_and_infinity_stay_visible():
    a, b = np.ones((1, 8, 8), np.float32), np.ones((1, 8, 8), np.float32)
    a[0, 2, 3] = np.nan
    b[0, 4, 5] = np.inf
    out = g.gemm(np.empty_like(a), a, b)[0]
    assert np.isnan(out[2]).all()
    assert np.isinf(out[0, 5])
    assert np.isfinite(out[0, :5]).all()


def pairs(x):
    """The words of two bfloat16 numbers in a row of x"""
    bits = to_bfloat16(x).astype(np.float32).view(np.uint32) >> 16
    return bits[:, ::2] | bits[:, 1::2] << 16


@pytest.mark.parametrize("down", [1, amx.DOWN])
@pytest.mark.parametrize("accumulate", [False, True])
def test_tiles_of_amx(down, accumulate):
    rng, tile, depth, ldc = np.random.default_rng(0), cpu.TILE, 96, 40
    a, b = (rng.standard_normal((n, depth)).astype(np.float32) for n in (down * tile, 2 * tile))
    before = rng.standard_normal((down * tile, ldc)).astype(np.float32)
    tiles = pairs(a).reshape(down, tile, -1, tile).swapaxes(1, 2).flatten()
    strip = pairs(b).T.flatten()
    expected = before.copy()
    expected[:, 3 : 3 + 2 * tile] = (
        to_bfloat16(a) @ to_bfloat16(b).T + accumulate * before[:, 3 : 3 + 2 * tile]
    )

    def run(multiply):
        c = before.flatten()
        multiply(c, 3, ldc, tiles, 0, strip, 0, depth // 2, down, accumulate)
        np.testing.assert_allclose(c.reshape(before.shape), expected, rtol=1e-5, atol=1e-4)

    run(amx.tiles_in_python)
    if cpu.has_amx() and not numba.config.DISABLE_JIT:

        @numba.njit
        def compiled(c, c_at, ldc, a, a_at, b, b_at, words, down, accumulate):
            amx.begin(a)
            amx.tiles(c, c_at, ldc, a, a_at, b, b_at, words, down, accumulate)
            amx.end(a)

        run(compiled)


def test_scratch_memory_begins_with_a_cache_line():
    """Tiles of AMX that lie across lines take longer to load."""
    scratch = tasks.Workspace()
    for dtype in (np.float32, np.float64, np.uint32):
        array = scratch.get("some", np.dtype(dtype), 3, 1001)
        assert array.flags.c_contiguous
        assert array.shape[1] >= 1001
        assert all(row.ctypes.data % 64 == 0 for row in array)
        assert scratch.get("some", np.dtype(dtype), 3, 900) is array


PRODUCT = """
import sys
import numpy as np
from tinygrad_lite import on_compile, precision
from tinygrad_lite.kernels import cpu
compiled = []
on_compile(lambda: compiled.append(1))
if sys.argv[1] == "refused":
    cpu._may_use_tiles = lambda: False
    assert not cpu.has_amx()
from tinygrad_lite.kernels.gemm import gemm
a = np.arange(40 * 70, dtype=np.float32).reshape(1, 40, 70) % 7
with precision("bfloat16"):
    out = gemm(np.empty((1, 40, 40), np.float32), a, a, transpose_b=True)
assert (out == a @ a.swapaxes(1, 2)).all()
print(bool(compiled))
"""


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_where_the_system_keeps_tile_registers_back_kernels_do_without(tmp_path):
    """Those that were compiled with them, and are on disk, would end the process; and both stay."""
    said = []
    for kind in ("free", "refused", "free", "refused"):
        done = subprocess.run(
            [sys.executable, "-c", PRODUCT, kind], check=True, capture_output=True, text=True,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        )  # fmt: skip
        said.append(done.stdout.strip())
    assert said == ["True", str(cpu.has_amx()), "False", "False"]


@pytest.mark.parametrize(
    "features", ["+avx,+avx2,+fma,+avx512bf16,+amx-tile,+amx-bf16", "+amx-tile,+amx-bf16"]
)
def test_tiles_are_packed_by_the_largest_vectors_only(monkeypatch, features):
    monkeypatch.setattr(cpu, "_features", lambda: features)
    monkeypatch.setattr(cpu, "_may_use_tiles", lambda: True)
    assert not cpu.has_amx.__wrapped__()


def test_the_python_twins_say_the_same():
    rng = np.random.default_rng(0)
    width, depth, ldc = cpu.COLUMNS_FLOAT64, 5, 40
    b, a = rng.standard_normal(depth * width), rng.standard_normal(100)
    c, expected = np.zeros(20 * ldc), np.zeros(20 * ldc)
    tile.tile_in_python(3)(c, 2, ldc, a, 1, 7, 2, b, 0, depth, False)
    for i in range(3):
        for j in range(width):
            expected[2 + i * ldc + j] = sum(
                a[1 + i * 7 + k * 2] * b[k * width + j] for k in range(depth)
            )
    np.testing.assert_allclose(c, expected)
    counters = np.array([4])
    assert (tasks.take_in_python(counters, 0), counters[0]) == (4, 5)


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="compares vector code with loops")
@pytest.mark.parametrize("dtypes", ["float32 float32", "float64 float64", "float32 uint32"])
def test_packing_by_vectors_and_by_numbers_say_the_same(dtypes):
    of, into = dtypes.split()
    x = np.random.default_rng(0).standard_normal(9000).astype(of)
    square, strip = cpu.SQUARE, 16 * cpu.ROWS + 3

    def run_with(copy, turn):
        def run(copied, turned, x):
            copy(copied, 1, strip, x, 3, 50, 3, 16)
            turn(turned, 2, x, 5, 130, 2 * square)

        return numba.njit(run)

    rows = numba.njit(lambda array: cpu.ROWS)
    twins = (pack.copy_in_python(rows), pack.turn_strip_in_python)
    results = []
    for functions in ((pack.copy_rows, pack.turn_strip), map(numba.njit, twins)):
        copied, turned = (np.zeros(4000, into) for _ in range(2))
        run_with(*functions)(copied, turned, x)
        results.append((copied, turned))
    assert all(np.count_nonzero(array) > 100 for array in results[0])
    np.testing.assert_array_equal(*results)


COMPILE = """
import numba, sys
from numba import types
from tinygrad_lite.kernels import cpu
cpu._may_use_tiles = lambda: True
from tinygrad_lite.kernels.gemm import gemm_kernel
from tinygrad_lite.kernels.launch import entry_function
from tinygrad_lite.kernels.team import team
team.define()
cube, row = types.Array(types.float32, 3, "C"), types.Array(types.float32, 1, "C")
word, flag = types.int64, types.boolean
counters, edges = types.Array(types.int64, 1, "C"), types.Array(types.float32, 2, "C")
for kind in (types.float32, types.uint32):
    entry = numba.njit(entry_function(gemm_kernel.body))
    entry.compile((word, word, cube, cube, cube, row, flag, flag, flag, word, word, word, counters,
                   edges, types.Array(kind, 2, "C")))
    print(entry.inspect_asm(entry.signatures[0]))
    print("=" * 9)
"""


AVX2 = "+avx,+avx2,+fma"
AVX512 = f"{AVX2},+avx512f,+avx512bw,+avx512vl"


@pytest.mark.parametrize(
    ("machine", "name", "features", "single", "pairs"),
    [
        ("x86_64", "sapphirerapids", f"{AVX512},+avx512bf16", "vfmadd231ps.*zmm", "vdpbf16ps.*zmm"),
        (
            "x86_64",
            "sapphirerapids",
            f"{AVX512},+avx512bf16,+amx-tile,+amx-bf16",
            "vfmadd231ps.*zmm",
            "tdpbf16ps",
        ),
        ("x86_64", "skylake-avx512", AVX512, "vfmadd231ps.*zmm", "vfmadd.*zmm"),
        ("x86_64", "haswell", AVX2, "vfmadd231ps.*ymm", "vfmadd.*ymm"),
        ("aarch64", "generic", "+neon", r"fmla\s+v\d+\.4s", r"fmla\s+v\d+\.4s"),
    ],
)
def test_other_cpus_get_their_instructions(machine, name, features, single, pairs):
    if platform.machine() != machine:
        pytest.skip(f"compiles for CPUs that are {machine}")
    settings = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features, "NUMBA_DISABLE_JIT": "0"}
    done = subprocess.run([sys.executable, "-c", COMPILE], env={**os.environ, **settings},
                          capture_output=True, text=True, check=True)  # fmt: skip
    if llvm.llvm_version_info < (20,):  # has no type for bfloat16: in software
        pairs = pairs.replace("vdpbf16ps", "vfmadd").replace("tdpbf16ps", "vfmadd")
    of_single, of_pairs, _ = done.stdout.split("=" * 9)
    assert len(re.findall(single, of_single)) >= cpu.VECTORS * 6
    assert len(re.findall(pairs, of_pairs)) >= (6 if "amx" in features else cpu.VECTORS * 6)
    assert "bf16" not in of_single
    if machine == "x86_64":  # beside the arithmetic: loads, three or four steps, and the end
        loops = re.findall(r"\n\.LBB\w+:((?:\n\t[^.j].*)+)\n\tj", of_single)
        most = max(loops, key=lambda loop: len(re.findall(single, loop)))
        arithmetic = len(re.findall(single, most))
        assert len(most.strip().splitlines()) <= arithmetic * 1.5 + cpu.VECTORS + 10

"""Kernels on memory that ends, or begins, at a page that cannot be touched.

    python tests/guarded.py end rows products ...     (see PARTS)

A number read or written beyond an operand ends this process; the last line that it has printed
names what was being computed. test_memory.py runs it.
"""

import ctypes
import faulthandler
import itertools
import mmap
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import tinygrad_lite as tg  # noqa: E402
from tinygrad_lite import Tensor, nn, optim  # noqa: E402
from tinygrad_lite.kernels.compile import Kernel, kernel  # noqa: E402
from tinygrad_lite.kernels.int8 import to_int8  # noqa: E402
from tinygrad_lite.kernels.tasks import workspace  # noqa: E402

PAGE = mmap.PAGESIZE
MOST_THREADS = numba.config.NUMBA_NUM_THREADS
SIZES = (1, 3, 15, 16, 17, 31, 33, 97, 385)  # around vectors, tiles, strips and blocks


class Memory:
    """Pages between two that cannot be touched; an array lies at their end or at their beginning.

    It keeps what it gives: freed pages would be given to others, and an access be no mistake.
    """

    def __init__(self, at_end: bool):
        self.at_end = at_end
        self.free: dict[int, list[int]] = {}  # addresses of usable pages, by their number
        self.maps: list[mmap.mmap] = []
        self.libc = ctypes.CDLL(None, use_errno=True)

    def pages(self, count: int) -> int:
        if self.free.get(count):
            return self.free[count].pop()
        pages = mmap.mmap(-1, (count + 2) * PAGE)
        self.maps.append(pages)
        start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
        for guard in (start, start + (count + 1) * PAGE):
            if self.libc.mprotect(ctypes.c_void_p(guard), PAGE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        return start + PAGE

    def copy(self, array: np.ndarray) -> tuple[np.ndarray, Callable[[], None]]:
        """A C-contiguous copy of the array, and a function that gives its memory back"""
        count = -(-array.nbytes // PAGE)
        start = self.pages(count)
        address = start + (count * PAGE - array.nbytes if self.at_end else 0)
        if array.size == 0:  # not even the first number may be touched
            address = start + count * PAGE
        own = np.asarray(_Place(address, array))
        np.copyto(own, array)
        if not array.flags.writeable:
            own.flags.writeable = False
        return own, lambda: self.free.setdefault(count, []).append(start)

    def run(self, run: Callable) -> Callable:
        """Kernel.run with every array in this memory"""

        def guarded(this: Kernel, tasks: int, threads: int, *arguments: Any) -> None:
            moved: dict[tuple, tuple[np.ndarray, np.ndarray, Callable]] = {}
            placed = []
            for a in arguments:
                if isinstance(a, np.ndarray):
                    assert a.flags.c_contiguous, f"{this.__name__}: an operand is not C-contiguous"
                    key = (a.__array_interface__["data"][0], a.shape, a.dtype)
                    if key not in moved:
                        moved[key] = (a, *self.copy(a))
                    placed.append(moved[key][1])
                else:
                    placed.append(a)
            for (a, *_), (b, *_) in itertools.combinations(moved.values(), 2):
                assert not np.may_share_memory(a, b), f"{this.__name__}: operands overlap"
            run(this, tasks, threads, *placed)
            for a, own, give_back in moved.values():
                if a.flags.writeable:
                    np.copyto(a, own)
                give_back()

        return guarded


class _Place:
    """Memory at an address, of the shape and dtype of an array"""

    def __init__(self, address: int, like: np.ndarray):
        self.__array_interface__ = {
            "data": (address, False),
            "shape": like.shape,
            "typestr": like.dtype.str,
            "version": 3,
        }


# --- what is run: (name, function that computes arrays) ------------------------------------------

Cases = Iterator[tuple[str, Callable[[], list[np.ndarray]]]]
RNG = np.random.default_rng(0)


def triples() -> list[tuple[int, ...]]:
    """Each size at each of three places, beside others"""
    found = set(itertools.product((1, 3, 17), repeat=3))
    for place, size in itertools.product(range(3), SIZES):
        for _ in range(2):
            others = [int(n) for n in RNG.choice(SIZES, 3)]
            others[place] = size
            found.add(tuple(others))
    return sorted(found)


def numbers(shape: tuple[int, ...], dtype: Any, transposed: bool = False) -> np.ndarray:
    if transposed:
        return np.swapaxes(numbers((*shape[:-2], shape[-1], shape[-2]), dtype), -1, -2)
    return RNG.standard_normal(shape).astype(dtype)


def differentiated(function: Callable, *arrays: np.ndarray) -> list[np.ndarray]:
    """function's value and its gradients with respect to all arrays of floats"""
    tensors = [Tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    out = function(*tensors)
    if out.requires_grad:
        out.backward(np.cos(np.arange(out.size)).reshape(out.shape).astype(out.dtype))
    return [out.numpy(), *(t.grad.numpy() for t in tensors if t.grad is not None)]


def rows() -> Cases:
    """Every op of the table, with drawn inputs"""
    from hypothesis import Phase, given, settings
    from hypothesis import strategies as st
    from rows import ROWS
    from test_ops import is_operand, prepared

    drawn: list[list] = []

    def draw(row: Any) -> None:
        @settings(max_examples=12, database=None, derandomize=True, phases=[Phase.generate])
        @given(st.data())
        def example(data: Any) -> None:
            drawn.append(prepared(row, row.inputs(data.draw)))

        example()

    for name, row in ROWS.items():
        drawn.clear()
        draw(row)
        for inputs, dtype in itertools.product(list(drawn), (np.float32, np.float64)):
            operands = [x.astype(dtype) for x in inputs if is_operand(x)]

            def function(*tensors: Tensor, row=row, inputs=inputs) -> Tensor:
                rest = iter(tensors)
                return row.function(*[next(rest) if is_operand(x) else x for x in inputs])

            shapes = [x.shape for x in operands]
            yield (
                f"{name} {shapes} {dtype.__name__}",
                lambda f=function, o=operands: differentiated(f, *o),
            )


def products() -> Cases:
    """a @ b and its gradients, each operand in both layouts"""
    for m, k, n in triples():
        for ta, tb in itertools.product((False, True), repeat=2):
            for kind in ("float32", "float64", "bfloat16"):
                dtype = np.float64 if kind == "float64" else np.float32
                a, b = numbers((m, k), dtype, ta), numbers((k, n), dtype, tb)

                def run(a=a, b=b, kind=kind) -> list[np.ndarray]:
                    with tg.precision("bfloat16" if kind == "bfloat16" else "float32"):
                        return differentiated(tg.matmul, a, b)

                yield f"matmul {m} {k} {n} transposed {ta} {tb} {kind}", run
    for batch, m in itertools.product((2, 3), (1, 17, 97)):
        a, b = numbers((batch, m, 33), np.float32), numbers((batch, 33, 31), np.float32)
        yield f"matmul batch {batch} {m}", lambda a=a, b=b: differentiated(tg.matmul, a, b)


def layers() -> Cases:
    """Linear layers, a weight that is used twice, weights stored in bfloat16"""
    for n, c, d in triples():
        for kind in ("float32", "float64", "bfloat16"):
            dtype = np.float64 if kind == "float64" else np.float32
            x, w, b = (numbers(s, dtype) for s in ((n, c), (d, c), (d,)))

            def run(x=x, w=w, b=b, kind=kind) -> list[np.ndarray]:
                with tg.precision("bfloat16" if kind == "bfloat16" else "float32"):
                    found = differentiated(tg.linear, x, w, b)
                    if kind != "float64":
                        layer = nn.Linear(*w.shape[::-1], bias=False, rng=0)
                        layer.weight = nn.Parameter(w)
                        found.append(layer.bfloat16()(Tensor(x[:2])).numpy())
                    return found + differentiated(
                        lambda x, w: tg.linear(x, w) + tg.linear(x * 2, w), x, w
                    )

            yield f"linear {n} {c} {d} {kind}", run


def eight_bits() -> Cases:
    """Weights stored in int8: rows of bytes and scales"""
    for n, c, d in itertools.product((1, 3, 4, 7), (32, 64, 160), (1, 5, 33)):
        x, w = numbers((n, c), np.float32), numbers((d, c), np.float32)

        def run(x=x, w=w) -> list[np.ndarray]:
            packed = place(to_int8(w))
            return [tg.linear(Tensor(place(x)), Tensor(packed)).numpy()]

        yield f"int8 {n} {c} {d}", run


def heads() -> Cases:
    """Attention, rotary positions, kept keys and values"""
    for t, s, d in triples():
        for causal in (False, True)[: 1 + (t <= s)]:
            for kind in ("float32", "float64", "bfloat16"):
                dtype = np.float64 if kind == "float64" else np.float32
                q, k, v = (numbers((1, 2, n, d), dtype) for n in (t, s, s))

                def run(q=q, k=k, v=v, causal=causal, kind=kind) -> list[np.ndarray]:
                    with tg.precision("bfloat16" if kind == "bfloat16" else "float32"):
                        return differentiated(
                            lambda *x: tg.scaled_dot_product_attention(*x, is_causal=causal),
                            *(q, k, v),
                        )

                yield f"attention {t} {s} {d} causal {causal} {kind}", run
    for t, d in itertools.product(SIZES, (2, 6, 30, 34)):
        x, angles = numbers((2, t, 3, d), np.float32), tg.rotary_angles(t, d)
        yield f"rotary {t} {d}", lambda x=x, a=angles: differentiated(lambda x: tg.rotary(x, *a), x)
    for size, d in itertools.product(SIZES[1:], (1, 15, 17, 33)):
        steps = numbers((5, 3, 2, 3, 1, d), np.float32)

        def generate(size=size, d=d, steps=steps) -> list[np.ndarray]:
            cache = tg.KVCache(2, 2, size, 3, d, shifts=1)
            found = []
            for step in steps[: min(size, 5)]:
                q, k, v = (Tensor(x) for x in step)
                found += [cache.attend(layer, q, k, v).numpy() for layer in (0, 1)]
                x = q.reshape(2, 1, 3 * d)
                found.append(cache.shift(0, x, Tensor(x.numpy()[0, 0].copy())).numpy())
                cache.lengths.data[:] += 1
            cache.lengths.data[:] = [0, size - 1]  # one sequence is full, the other empty
            return [*found, cache.attend(1, *(Tensor(x) for x in steps[0])).numpy()]

        yield f"KVCache {size} {d}", generate


def whole_rows() -> Cases:
    """Ops along rows: norms, softmax, cross-entropy, embedding, activations"""
    for n, c in itertools.product(SIZES, SIZES):
        for dtype in (np.float32, np.float64):
            x, w, b = numbers((n, c), dtype), numbers((c,), dtype), numbers((c,), dtype)
            classes, index = RNG.integers(0, c, n), RNG.integers(0, n, c)
            classes[0], index[0] = c - 1, n - 1  # the last ones
            functions: dict[str, tuple] = {
                "layernorm": (tg.layernorm, x, w, b),
                "layernorm without bias": (tg.layernorm, x, w),
                "rmsnorm": (tg.rmsnorm, x, w),
                "rmsnorm without weight": (tg.rmsnorm, x),
                "token_shift": (tg.token_shift, x, w),
                "softmax": (tg.softmax, x),
                "log_softmax": (tg.log_softmax, x),
                "cross_entropy": (lambda x, t=classes: tg.cross_entropy(x, t), x),
                "embedding": (lambda w, i=index: tg.embedding(i, w), x),
            }
            if c == n:
                for name in ("relu", "gelu", "silu", "relu_squared"):
                    functions[name] = (getattr(tg, name), x)
                functions["gelu_tanh"] = (lambda x: tg.gelu(x, "tanh"), x)
            for name, (f, *arrays) in functions.items():
                yield (
                    f"{name} {n} {c} {dtype.__name__}",
                    lambda f=f, a=arrays: differentiated(f, *a),
                )


in_use: list[Memory] = []  # while a case runs on guarded memory


def place(array: np.ndarray) -> np.ndarray:
    """A copy that stays, in guarded memory if that is in use"""
    return in_use[0].copy(array)[0] if in_use else array.copy()


def optimizers() -> Cases:
    """Steps of every optimizer; kernels find the arrays by their addresses"""
    kinds = {
        "SGD": lambda p: optim.SGD(p, momentum=0.9, weight_decay=0.1),
        "Adam": lambda p: optim.Adam(p, weight_decay=0.1),
        "AdamW": lambda p: optim.AdamW(p),
        "Muon": lambda p: optim.Muon(p, weight_decay=0.1),
    }
    for (name, make), dtype in itertools.product(kinds.items(), (np.float32, np.float64)):
        shapes = [(a, b) for a, b in itertools.product(SIZES[:-1], (1, 17, 33))]
        if name != "Muon":
            shapes += [(n,) for n in SIZES] + [(16 * 4096 + 1,)]
        values = [numbers(s, dtype) for s in shapes]
        gradients = [numbers(s, dtype) for s in shapes]

        def run(make=make, values=values, gradients=gradients) -> list[np.ndarray]:
            parameters = [Tensor(place(v), requires_grad=True) for v in values]
            optimizer = make(parameters)
            for _ in range(3):  # from the second on the moments are there, and can be placed
                for p, g in zip(parameters, gradients, strict=True):
                    p.grad = Tensor(place(g))
                optim.clip_grad_norm(parameters, 1.0)
                _, factor = optim.clip_factor(parameters, 0.5)
                optimizer.step(factor)
                for state in optimizer.state:
                    for moment in state.values():
                        moment.data = place(moment.data)
            return [np.array(p.numpy()) for p in parameters]

        yield f"{name} {dtype.__name__}", run


# --- mistakes that must be found ------------------------------------------------------------------


@kernel
def writes_after(chunk, y, x):
    if chunk == 0:
        y[x.size] = x[0]


@kernel
def reads_before(chunk, y, x):
    if chunk == 0:  # an index without sign is not counted from the end
        y[0] = x[np.uint64(chunk) - np.uint64(1)]


def planted(mistake: Kernel) -> Cases:
    y, x = np.zeros(17, np.float32), np.zeros(17, np.float32)
    yield mistake.__name__, lambda: mistake(y, x) or [y]


# --- arguments that do not fit: refused, before a kernel believes them ----------------------------


def _attend(q: tuple, filled: int = 0, batch: int = 1) -> None:
    cache = tg.KVCache(1, batch, 4, 2, 8)
    if in_use:
        cache.keys, cache.values = (Tensor(place(x.data)) for x in (cache.keys, cache.values))
    cache.lengths.data[:] = filled
    cache.attend(0, *(Tensor(numbers(q, np.float32)) for _ in range(3)))


def _step(gradient: tuple, **state: np.ndarray) -> None:
    weight = Tensor(place(np.zeros(9000, np.float32)), requires_grad=True)
    weight.grad = Tensor(place(np.zeros(gradient, np.float32)))
    adam = optim.Adam([weight])
    if state:
        adam.load_state_dict({"steps": np.asarray(1), **{f"0.{k}": v for k, v in state.items()}})
    adam.step()


def _differentiated(function: Callable, *shapes: tuple) -> None:
    differentiated(function, *(numbers(s, np.float32) for s in shapes))


def _rotary(cos: tuple, sin: tuple) -> None:
    tg.rotary(Tensor(numbers((2, 5, 3, 8), np.float32)), np.ones(cos), np.ones(sin))


MISUSE: dict[str, Callable[[], None]] = {
    "KVCache: one more position than it has": lambda: _attend((1, 2, 1, 8), 4),
    "KVCache: negative lengths": lambda: _attend((1, 2, 1, 8), -9),
    "KVCache: fewer heads": lambda: _attend((1, 1, 1, 8)),
    "KVCache: another head size": lambda: _attend((1, 2, 1, 4)),
    "KVCache: fewer sequences": lambda: _attend((1, 2, 1, 8), batch=2),
    "Adam: a gradient of another shape": lambda: _step((3,)),
    "Adam: loaded moments of another shape": lambda: _step(
        (9000,), m=np.zeros(3, np.float32), v=np.zeros(3, np.float32)
    ),
    "layernorm: a short bias": lambda: _differentiated(tg.layernorm, (5, 33), (33,), (7,)),
    "linear: a short bias, few rows": lambda: _differentiated(tg.linear, (3, 5), (999, 5), (7,)),
    "linear: a short bias, many rows": lambda: _differentiated(tg.linear, (9, 5), (999, 5), (7,)),
    "rmsnorm: a short weight": lambda: _differentiated(tg.rmsnorm, (5, 33), (7,)),
    "rotary: a short sine": lambda: _rotary((5, 4), (2, 4)),
    "rotary: a short cosine": lambda: _rotary((2, 4), (5, 4)),
    "embedding: an index too large": lambda: tg.embedding(np.array([5]), Tensor(np.ones((5, 2)))),
    "embedding: a negative index": lambda: tg.embedding(np.array([-1]), Tensor(np.ones((5, 2)))),
    "cross_entropy: a target too large": lambda: tg.cross_entropy(
        Tensor(np.ones((2, 5))), np.array([0, 5])
    ),
    "cross_entropy: a negative target": lambda: tg.cross_entropy(
        Tensor(np.ones((2, 5))), np.array([0, -1])
    ),
    "attention: values of another length": lambda: _differentiated(
        tg.scaled_dot_product_attention, (1, 2, 5, 8), (1, 2, 5, 8), (1, 2, 3, 8)
    ),
    "matmul: inner lengths differ": lambda: _differentiated(tg.matmul, (5, 8), (7, 3)),
}


def misuse(names: tuple[str, ...], memory: Memory) -> None:
    """Nothing but an exception may come of each."""
    setattr(Kernel, "run", memory.run(Kernel.run))  # noqa: B010
    in_use.append(memory)
    for name in names:
        print(name, flush=True)
        try:
            MISUSE[name]()
        except (ValueError, TypeError, IndexError, RuntimeError) as error:
            print(f"refused: {error}")
        else:
            raise SystemExit(f"accepted: {name}")


PARTS: dict[str, Callable[[], Cases]] = {
    **{"rows": rows, "products": products, "layers": layers, "int8": eight_bits, "heads": heads},
    **{"whole_rows": whole_rows, "optimizers": optimizers},
    **{k.__name__: lambda k=k: planted(k) for k in (writes_after, reads_before)},
}


def main(where: str, *parts: str) -> None:
    faulthandler.enable()
    memory, plain_run = Memory(where == "end"), Kernel.run
    if parts[0] in MISUSE:
        return misuse(parts, memory)
    cases = itertools.chain.from_iterable(PARTS[part]() for part in parts)
    for count, (name, compute) in enumerate(cases, start=1):
        tg.set_num_threads(1 + count % min(2, MOST_THREADS))
        print(name, flush=True)
        workspace().arrays.clear()  # scratch of exactly the size that is needed
        setattr(Kernel, "run", memory.run(plain_run))  # noqa: B010
        in_use.append(memory)
        try:
            found = compute()
        finally:
            in_use.clear()
            setattr(Kernel, "run", plain_run)  # noqa: B010
        # Afterwards, so that a mistake does not end the process in ordinary memory first
        for a, b in zip(found, compute(), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
    print(f"{count} cases")


if __name__ == "__main__":
    main(*sys.argv[1:])

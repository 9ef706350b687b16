"""How inputs of ops are drawn: shapes, layouts, numbers away from where nothing is smooth."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_lite as tg


@dataclass(frozen=True)
class Row:
    function: Callable
    reference: Callable
    inputs: Callable[[Any], list[np.ndarray]]
    smooth: bool = True  # whether finite differences make sense for it


def values(draw, shape, low=None, high=None, gap=0.0):
    """Random numbers of a shape in a random layout: contiguous, transposed or with strides.

    gap   keeps values that far away from 0, where a function has no derivative
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    layout = draw(st.sampled_from(["C", "F", "strided", "reversed"]))

    def numbers(shape):
        x = rng.standard_normal(shape) if low is None else rng.uniform(low, high, shape)
        return np.asarray(np.where(x < 0, x - gap, x + gap))

    if layout == "F":
        return np.array(numbers(shape), order="F")
    if layout == "strided":
        return numbers(tuple(2 * n for n in shape))[(..., *(slice(None, None, 2) for _ in shape))]
    if layout == "reversed":
        return numbers(shape)[(..., *(slice(None, None, -1) for _ in shape))]
    return numbers(shape)


def shapes(smallest=0, least=0, most=3):
    """Shapes with least to most axes, sizes from `smallest` up; zero and one among them"""
    return st.lists(st.integers(smallest, 4), min_size=least, max_size=most).map(tuple)


def unary(low=None, high=None, gap=0.0):
    return lambda draw: [values(draw, draw(shapes()), low, high, gap)]


def broadcast(draw, count=2):
    """Shapes that broadcast together"""
    shape = draw(shapes())
    result = []
    for _ in range(count):
        kept = shape[draw(st.integers(0, len(shape))) :]
        result.append(tuple(1 if draw(st.booleans()) else n for n in kept))
    return result


def binary(low=None, high=None, gap=0.0):
    return lambda draw: [values(draw, s, low, high, gap) for s in broadcast(draw)]


def distinct(draw, shape):
    """Numbers no two of which are close: extremes have derivatives"""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.permutation(np.arange(int(np.prod(shape))) * 0.1 - 0.7).reshape(shape)


def separated(draw):
    a, b = broadcast(draw)
    x, y = values(draw, a), values(draw, b)
    return [np.asarray(np.round(x, 1) + 0.03), np.asarray(np.round(y, 1))]


def axis_case(draw, smallest=1, spread=False):
    """An array with at least one axis, and an axis (or None, or several)"""
    shape = draw(shapes(smallest, 1, 3))
    axis = draw(st.sampled_from([None, 0, -1, tuple(range(len(shape)))]))
    x = distinct(draw, shape) if spread else values(draw, shape)
    return [x, axis, draw(st.booleans())]


def matrices(draw):
    n, m = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    batch = draw(shapes(0, 0, 2))
    return [values(draw, (*batch, n, m))]


def rows_of(draw, columns=None, most=3):
    """(..., C) with C from 1 up"""
    c = columns or draw(st.sampled_from([1, 2, 3, 7, 16, 17]))
    return values(draw, (*draw(shapes(0, 0, most - 1)), c))


def matmul_case(draw):
    m, k, n = (draw(st.sampled_from([0, 1, 2, 3, 7, 17, 33])) for _ in range(3))
    kind = draw(st.sampled_from(["vv", "vm", "mv", "mm", "batch", "left", "broadcast"]))
    b = draw(st.integers(0, 3))
    a_shape, b_shape = {
        "vv": ((k,), (k,)),
        "vm": ((k,), (k, n)),
        "mv": ((m, k), (k,)),
        "mm": ((m, k), (k, n)),
        "batch": ((b, m, k), (b, k, n)),
        "left": ((b, 2, m, k), (k, n)),
        "broadcast": ((b, 1, m, k), (2, k, n)),
    }[kind]
    return [values(draw, a_shape), values(draw, b_shape)]


def einsum_case(draw):
    i, j, k, b = (draw(st.integers(0, 4)) for _ in range(4))
    sizes = {"i": i, "j": j, "k": k, "b": b}
    formula = draw(
        st.sampled_from(
            [
                "ij,jk->ik",
                "bij,bjk->bik",
                "ij->ji",
                "ii->i",
                "ij,ij->",
                "i,j->ij",
                "bij,jk->ki",
                "ij,jk,kb->ib",
                "iij->j",
                "ij,j",
            ]
        )
    )
    terms = formula.partition("->")[0].split(",")
    return [formula, *[values(draw, tuple(sizes[c] for c in term)) for term in terms]]


def linear_case(draw):
    c, d = draw(st.sampled_from([1, 2, 7, 17])), draw(st.sampled_from([1, 3, 16, 33]))
    inputs = [values(draw, (*draw(shapes(0, 1, 2)), c)), values(draw, (d, c))]
    return [*inputs, values(draw, (d,))] if draw(st.booleans()) else inputs


def norm_case(draw, count):
    x = rows_of(draw)
    return [x, *[values(draw, x.shape[-1:]) for _ in range(draw(st.integers(count - 1, count)))]]


def shift_case(draw):
    shape = [draw(st.sampled_from([0, 1, 2, 5])) for _ in range(draw(st.integers(1, 3)))]
    channels = draw(st.sampled_from([1, 3, 17]))
    return [values(draw, (*shape, channels)), values(draw, (channels,))]


def attention_case(draw):
    t = draw(st.sampled_from([1, 2, 5, 16, 33, 65, 70]))
    s = t + draw(st.sampled_from([0, 0, 3]))
    b, h, d = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.sampled_from([1, 2, 3, 17]))
    q = values(draw, (b, h, t, d))
    return [q, values(draw, (b, h, s, d)), values(draw, (b, h, s, d)), draw(st.booleans()), 0.5]


def rotary_case(draw):
    b, t, h, d = (draw(st.integers(1, 3)) for _ in range(4))
    cos, sin = tg.rotary_angles(t, 2 * d)
    return [values(draw, (b, t, h, 2 * d)), (cos, sin)]


def classes_case(draw):
    logits = rows_of(draw)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    targets = rng.integers(0, logits.shape[-1], logits.shape[:-1])
    if draw(st.booleans()):
        targets = np.where(rng.random(targets.shape) < 0.2, -100, targets)
    if not np.any(targets != -100):
        logits, targets = np.ones((1, logits.shape[-1])), np.zeros(1, int)
    return [logits, targets]


def embedding_case(draw):
    v, c = draw(st.integers(1, 5)), draw(st.integers(1, 20))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return [rng.integers(0, v, draw(shapes(0, 0, 2))), values(draw, (v, c))]


def index_case(draw):
    x = values(draw, (3, 4, 2))
    index = draw(
        st.sampled_from(
            [
                1,
                slice(1, None),
                (slice(None), 2),
                (..., 0),
                (None, slice(None, None, -2)),
                np.array([0, 2, 2]),
                (slice(None), np.array([[1, 1], [3, 0]])),
                np.array([], int),
                (np.array([0, 1]), np.array([3, 3]), np.array([0, 0])),
                np.array([True, False, True]),
            ]
        )
    )
    return [x, index]


def gather_case(draw):
    x = values(draw, (3, 4))
    axis = draw(st.sampled_from([0, 1, -1]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return [
        x,
        axis,
        rng.integers(0, x.shape[axis], (draw(st.integers(0, 3)), 4 if axis == 0 else 2)),
    ]


def reshape_case(draw):
    shape = draw(shapes(0, 1, 3))
    to = (-1,) if 0 not in shape else (int(np.prod(shape)),)
    return [values(draw, shape), *draw(st.sampled_from([to, shape[::-1], (1, *shape)]))]


def permute_case(draw):
    shape = draw(shapes(0, 1, 4))
    return [values(draw, shape), *draw(st.permutations(range(len(shape))))]


def with_axis(draw, smallest=0):
    shape = draw(shapes(smallest, 1, 3))
    return [values(draw, shape), draw(st.integers(-len(shape), len(shape) - 1))]


def expand_case(draw):
    shape = draw(shapes())
    kept = tuple(1 if draw(st.booleans()) else n for n in shape)
    return [values(draw, kept), *draw(shapes(0, 0, 1)), *shape]


def join_case(draw, stack=False):
    shape = draw(shapes(0, 0 if stack else 1, 3))
    axis = draw(st.integers(0, len(shape) - (0 if stack else 1)))
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        size = list(shape)
        if not stack:
            size[axis] = draw(st.integers(0, 3))
        parts.append(values(draw, tuple(size)))
    return [axis, *parts]


def pad_case(draw):
    shape = draw(shapes(0, 1, 3))
    pairs = [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in shape]
    return [values(draw, shape), pairs, 1.5]


def repeat_case(draw):
    shape = draw(shapes(0, 1, 2))
    return [values(draw, shape), *draw(shapes(0, 0, 1)), *[draw(st.integers(0, 2)) for _ in shape]]


def steps(draw):
    """Numbers away from the places where floor, ceil, trunc or round jump"""
    return [np.asarray(np.round(2 * values(draw, draw(shapes()))) / 2 + 0.2)]


def uneven(draw):
    """Numbers away from multiples of a half, where many activations bend"""
    return [np.asarray(np.round(4 * values(draw, draw(shapes()))) / 2 + 0.2)]


def divided(draw):
    """a and b of which a / b is away from whole numbers"""
    a, b = broadcast(draw)
    divisor = np.round(values(draw, b, 1.0, 4.0))
    return [np.asarray(np.round(3 * values(draw, a)) + 0.3), np.asarray(divisor + 0.0)]


def whole(count):
    """Integers from 0 to 7"""

    def draw_them(draw):
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        shape = draw(shapes())
        return [rng.integers(0, 8, shape) for _ in range(count)]

    return draw_them


def along(draw, numbers):
    """An array of `numbers`, and one of its axes"""
    shape = draw(shapes(1, 1, 3))
    return [numbers(draw, shape), draw(st.integers(-len(shape), len(shape) - 1))]


def two_forms(draw):
    shape = draw(shapes(0, 1, 3))
    return [values(draw, shape), values(draw, shape[::-1])]


def zeroed(draw, shape):
    """Numbers of which some are 0"""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return np.where(rng.random(shape) < 0.4, 0.0, rng.standard_normal(shape))


def placed_case(draw):
    """x, values, and an index; of values for one place, the last counts"""
    index, shape = draw(
        st.sampled_from(
            [
                (1, (4,)),
                (1, ()),
                (slice(0, 2), (2, 4)),
                ((slice(None), -1), (3,)),
                (np.array([2, 0, 2]), (3, 4)),
                ((np.array([0, 0]), np.array([1, 1])), (2,)),
                (np.array([True, False, True]), (1, 4)),
                (..., ()),
            ]
        )
    )
    return [values(draw, (3, 4)), values(draw, shape), index]


def assigned(x, index, values):
    y = x.clone()
    y[index] = values
    return y


def one_axis(draw):
    x, axis = with_axis(draw, 1)
    return [distinct(draw, x.shape), axis, draw(st.booleans())]


def two_or_more(draw):
    x, _, keepdim = axis_case(draw, 2)
    return [x, draw(st.sampled_from([None, 0, -1])), keepdim]


def convolution_case(draw):
    """x, w, b and the settings of conv2d"""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    inputs, outputs = draw(st.sampled_from([1, 2, 5])), draw(st.sampled_from([1, 3, 4]))
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (2, 3)]))
    given = {
        "stride": draw(st.sampled_from([1, 2, (1, 3)])),
        "padding": draw(st.sampled_from([0, 1, (0, 2)])),
        "dilation": draw(st.sampled_from([1, 1, (2, 1)])),
        "groups": groups,
    }
    size = draw(st.sampled_from([(5, 4), (6, 16), (7, 8)]))
    batch = draw(st.sampled_from([0, 1, 2]))
    return [
        values(draw, (batch, groups * inputs, *size)),
        values(draw, (groups * outputs, inputs, *kernel)),
        values(draw, (groups * outputs,)),
        given,
    ]


def recurrent_case(draw, gates):
    """x (T, B, gates H), h (B, H), w (gates H, H)"""
    steps, batch, size = (draw(st.sampled_from([1, 2, 3])) for _ in range(3))
    return [
        values(draw, (steps, batch, gates * size)),
        values(draw, (batch, size)),
        values(draw, (gates * size, size)),
    ]

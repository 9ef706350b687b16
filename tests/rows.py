"""The table of ops: for each name a function of Tensors, the same in NumPy, and how to draw inputs.

A draw function takes hypothesis' `draw` and returns the input arrays in float64. The generic tests
in test_ops.py run over every row; an op of the registry without a row fails the suite.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_lite as tg
from tinygrad_lite.derivatives import _alias
from tinygrad_lite.fused import convolution, pooling
from tinygrad_lite.fused import recurrent as rec
from tinygrad_lite.ops import elementwise as e
from tinygrad_lite.ops import movement as mv
from tinygrad_lite.ops import reductions as r

erf = np.vectorize(math.erf, otypes=[float])


@dataclass(frozen=True)
class Row:
    function: Callable
    reference: Callable
    inputs: Callable[[Any], list[np.ndarray]]
    smooth: bool = True  # whether finite differences make sense for it


# --- drawing arrays -------------------------------------------------------------------------


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


def np_assigned(x, index, values):
    y = x.copy()
    y[index] = values
    return y


def np_at(function, x, index, values):
    y = x.copy()
    function.at(y, index, values)
    return y


def np_unfold(x, axis, size, step):
    moved = np.moveaxis(x, axis, -1)
    starts = range(0, moved.shape[-1] - size + 1, step)
    return np.moveaxis(np.stack([moved[..., s : s + size] for s in starts], -2), -2, axis % x.ndim)


# --- the same in NumPy ----------------------------------------------------------------------


def np_softmax(x, axis=-1):
    p = np.exp(x - x.max(axis, keepdims=True))
    return p / p.sum(axis, keepdims=True)


def np_largest_finite(x, axis=None, keepdim=False):
    return np.max(x, axis, keepdims=True)


def np_logsumexp(x, axis=None, keepdim=False):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdim))


def np_layernorm(x, w, b=0.0):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred**2, -1, keepdims=True) + 1e-5) * w + b


def np_rmsnorm(x, w=1.0):
    return x / np.sqrt(np.mean(x * x, -1, keepdims=True) + 1e-6) * w


def np_token_shift(x, w):
    before = np.concatenate([np.zeros_like(x[..., :1, :]), x], axis=-2)[..., :-1, :]
    return x + before[..., : x.shape[-2], :] * w


def np_attention(q, k, v, causal, scale):
    scores = np.einsum("bhtd,bhsd->bhts", q, k) * scale
    if causal:
        t, s = scores.shape[-2:]
        scores = np.where(np.arange(s) > np.arange(t)[:, None] + s - t, -np.inf, scores)
    return np.einsum("bhts,bhsd->bhtd", np_softmax(scores), v)


def np_cross_entropy(x, t):
    log_p = x - np_logsumexp(x, -1, True)
    counted = t != -100
    chosen = np.take_along_axis(log_p, np.where(counted, t, 0)[..., None], -1)[..., 0]
    return -np.sum(chosen * counted) / counted.sum()


def np_rotary(x, cos, sin):
    half = x.shape[-1] // 2
    a, b, c, s = x[..., :half], x[..., half:], cos[:, None], sin[:, None]
    return np.concatenate([a * c - b * s, b * c + a * s], -1)


def np_gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def reduction(function, **fixed):
    return lambda x, axis=None, keepdim=False: function(x, axis=axis, keepdims=keepdim, **fixed)


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


def np_convolution(x, w, b, given):
    """Window by window"""
    pairs = {k: v if isinstance(v, tuple) else (v, v) for k, v in given.items() if k != "groups"}
    (sh, sw), (ph, pw), (dh, dw) = pairs["stride"], pairs["padding"], pairs["dilation"]
    groups, (outputs, channels, kh, kw) = given["groups"], w.shape
    x = np.pad(x, [(0, 0), (0, 0), (ph, ph), (pw, pw)])
    height = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1
    width = (x.shape[3] - dw * (kw - 1) - 1) // sw + 1
    y = np.zeros((len(x), outputs, height, width))
    for o in range(outputs):
        first = o // (outputs // groups) * channels
        for i in range(height):
            for j in range(width):
                window = x[:, first : first + channels, i * sh :, j * sw :]
                window = window[:, :, : dh * (kh - 1) + 1 : dh, : dw * (kw - 1) + 1 : dw]
                y[:, o, i, j] = np.sum(window * w[o], axis=(1, 2, 3)) + b[o]
    return y


def np_pool(function, x, fill):
    """Windows (3, 2) at steps of 2 of x padded by 1, the last of which may reach beyond"""
    _, _, h, w = x.shape
    rows = -(-(h - 1) // 2) + 1
    rows -= (rows - 1) * 2 >= h + 1
    columns = -(-w // 2) + 1
    columns -= (columns - 1) * 2 >= w + 1
    x = np.pad(x, [(0, 0), (0, 0), (1, 4), (1, 4)], constant_values=fill)
    return np.array(
        [
            [[[function(m[2 * i : 2 * i + 3, 2 * j : 2 * j + 2]) for j in range(columns)]
              for i in range(rows)] for m in image]
            for image in x
        ]
    )  # fmt: skip


def np_sigmoid(x):
    return 1 / (1 + np.exp(-x))


def np_rnn(x, h, w):
    found = []
    for a in x:
        h = np.tanh(a + h @ w.T)
        found.append(h)
    return np.array(found)


def np_lstm(x, h, w):
    c, hs, cs = h * 0.5, [], []
    for a in x:
        i, f, g, o = np.split(a + h @ w.T, 4, -1)
        c = np_sigmoid(f) * c + np_sigmoid(i) * np.tanh(g)
        h = np_sigmoid(o) * np.tanh(c)
        hs.append(h)
        cs.append(c)
    return np.array([hs, cs])


def np_gru(x, h, w):
    found = []
    for a in x:
        (xr, xz, xn), (ur, uz, un) = (np.split(v, 3, -1) for v in (a, h @ w.T + w.sum(1)))
        r, z = np_sigmoid(xr + ur), np_sigmoid(xz + uz)
        n = np.tanh(xn + r * un)
        h = (1 - z) * n + z * h
        found.append(h)
    return np.array(found)


WEIGHTS = dict(stride=(1, 1, 1), before=(0, 1, 0), after=(0, 1, 0), dilation=(1, 1, 1), groups=1)


def np_convolution_weights(g, x):
    padded = np.pad(x, [(0, 0), (0, 0), (0, 0), (1, 1), (0, 0)])
    places = [(i, j) for i in range(3) for j in range(2)]
    found = [np.einsum("bozhw,bczhw->ocz", g, padded[..., i : i + 5, j : j + 4]) for i, j in places]
    return np.stack(found, -1).reshape(2, 3, 1, 3, 2)


ROWS: dict[str, Row] = {
    "add": Row(lambda a, b: a + b, np.add, binary()),
    "sub": Row(lambda a, b: a - b, np.subtract, binary()),
    "mul": Row(lambda a, b: a * b, np.multiply, binary()),
    "div": Row(lambda a, b: a / b, np.divide, binary(gap=0.5)),
    "pow": Row(lambda a, b: a**b, np.power, binary(0.3, 2.0)),
    "neg": Row(lambda x: -x, np.negative, unary()),
    "exp": Row(tg.exp, np.exp, unary()),
    "log": Row(tg.log, np.log, unary(0.2, 3.0)),
    "sqrt": Row(tg.sqrt, np.sqrt, unary(0.2, 3.0)),
    "rsqrt": Row(tg.rsqrt, lambda x: 1 / np.sqrt(x), unary(0.2, 3.0)),
    "sin": Row(tg.sin, np.sin, unary()),
    "cos": Row(tg.cos, np.cos, unary()),
    "tanh": Row(tg.tanh, np.tanh, unary()),
    "sigmoid": Row(tg.sigmoid, lambda x: 1 / (1 + np.exp(-x)), unary()),
    "softplus": Row(tg.softplus, lambda x: np.log1p(np.exp(x)), unary()),
    "abs": Row(abs, np.abs, unary(gap=0.1)),
    "sign": Row(e.sign, np.sign, unary(gap=0.1)),
    "maximum": Row(tg.maximum, np.maximum, separated),
    "minimum": Row(tg.minimum, np.minimum, separated),
    "where": Row(
        lambda c, a, b: tg.where(c > 0, a, b),
        lambda c, a, b: np.where(c > 0, a, b),
        lambda draw: [values(draw, s, gap=0.1) for s in broadcast(draw, 3)],
    ),
    "clip": Row(
        lambda x: x.clip(-0.5, 0.7),
        lambda x: np.clip(x, -0.5, 0.7),
        lambda draw: [np.asarray(np.round(values(draw, draw(shapes())), 1) + 0.03)],
    ),
    "masked_fill": Row(
        lambda x, m: x.masked_fill(m > 0, 2.5),
        lambda x, m: np.where(m > 0, 2.5, x),
        lambda draw: [values(draw, s, gap=0.1) for s in [draw(shapes())] * 2],
    ),
    "relu": Row(tg.relu, lambda x: np.maximum(x, 0), unary(gap=0.1)),
    "leaky_relu": Row(tg.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x), unary(gap=0.1)),
    "gelu": Row(tg.gelu, lambda x: x * 0.5 * (1 + erf(x / math.sqrt(2))), unary()),
    "gelu_exact": Row(tg.gelu, lambda x: x * 0.5 * (1 + erf(x / math.sqrt(2))), unary()),
    "gelu_tanh": Row(lambda x: tg.gelu(x, "tanh"), np_gelu_tanh, unary()),
    "silu": Row(tg.silu, lambda x: x / (1 + np.exp(-x)), unary()),
    "relu_squared": Row(tg.relu_squared, lambda x: np.maximum(x, 0) ** 2, unary(gap=0.1)),
    "dropout": Row(
        lambda x: tg.dropout(x, 0.25, 7),
        lambda x: x * (np.random.default_rng(7).random(x.shape, np.float32) >= 0.25) / 0.75,
        unary(),
    ),
    "deviation": Row(r._deviation, np.sqrt, unary(0.2, 3.0)),
    "astype": Row(lambda x: x.astype(np.float64), lambda x: x, unary()),
    "eq": Row(lambda a, b: a == b, np.equal, binary(), smooth=False),
    "ne": Row(lambda a, b: a != b, np.not_equal, binary(), smooth=False),
    "lt": Row(lambda a, b: a < b, np.less, binary(), smooth=False),
    "le": Row(lambda a, b: a <= b, np.less_equal, binary(), smooth=False),
    "gt": Row(lambda a, b: a > b, np.greater, binary(), smooth=False),
    "ge": Row(lambda a, b: a >= b, np.greater_equal, binary(), smooth=False),
    "sum": Row(r.sum, reduction(np.sum), lambda d: axis_case(d, 0)),
    "mean": Row(r.mean, reduction(np.mean), axis_case),
    "max": Row(r.max, reduction(np.max), lambda d: axis_case(d, spread=True)),
    "min": Row(r.min, reduction(np.min), lambda d: axis_case(d, spread=True)),
    "prod": Row(r.prod, reduction(np.prod), lambda d: axis_case(d, 0)),
    "var": Row(r.var, reduction(np.var, ddof=1), two_or_more),
    "std": Row(r.std, reduction(np.std, ddof=1), two_or_more),
    "largest_finite": Row(
        lambda x, axis, keepdim: r._largest_finite(x, axis),
        np_largest_finite,
        axis_case,
        smooth=False,
    ),
    "logsumexp": Row(tg.logsumexp, np_logsumexp, axis_case),
    "cumsum": Row(tg.cumsum, np.cumsum, with_axis),
    "argmax": Row(r.argmax, reduction(np.argmax), one_axis, smooth=False),
    "argmin": Row(r.argmin, reduction(np.argmin), one_axis, smooth=False),
    "reshape": Row(mv.reshape, lambda x, *s: np.reshape(x, s), reshape_case),
    "permute": Row(mv.permute, lambda x, *s: np.transpose(x, s), permute_case),
    "transpose": Row(mv.transpose, lambda x: np.swapaxes(x, -2, -1), matrices),
    "expand": Row(mv.expand, lambda x, *s: np.broadcast_to(x, s), expand_case),
    "squeeze": Row(mv.squeeze, np.squeeze, unary()),
    "unsqueeze": Row(mv.unsqueeze, np.expand_dims, with_axis),
    "flatten": Row(mv.flatten, lambda x: np.reshape(x, (x.size,)), unary()),
    "flip": Row(mv.flip, np.flip, with_axis),
    "pad": Row(tg.pad, lambda x, w, v: np.pad(x, w, constant_values=v), pad_case),
    "cat": Row(lambda a, *x: tg.cat(x, a), lambda a, *x: np.concatenate(x, a), join_case),
    "stack": Row(
        lambda a, *x: tg.stack(x, a), lambda a, *x: np.stack(x, a), lambda d: join_case(d, True)
    ),
    "split": Row(
        lambda x, a: tg.cat(mv.split(x, 2, a)[::-1], a),
        lambda x, a: np.concatenate(
            [x.take(range(i, min(i + 2, x.shape[a])), a) for i in range(0, x.shape[a], 2)][::-1], a
        ),
        lambda d: with_axis(d, 1),
    ),
    "chunk": Row(
        lambda x, a: mv.chunk(x, 2, a)[0],
        lambda x, a: np.array_split(x, 2, a)[0],
        lambda d: with_axis(d, 1),
    ),
    "repeat": Row(mv.repeat, lambda x, *n: np.tile(x, n), repeat_case),
    "tril": Row(tg.tril, np.tril, matrices),
    "triu": Row(tg.triu, np.triu, matrices),
    "getitem": Row(lambda x, i: x[i], lambda x, i: x[i], index_case),
    "gather": Row(
        tg.gather,
        lambda x, a, i: (
            np.take_along_axis(x, i, a) if a == 0 else np.take_along_axis(x[: len(i)], i, a)
        ),
        gather_case,
    ),
    "one_hot": Row(
        lambda i, n: i.one_hot(n),
        lambda i, n: np.eye(n)[i],
        lambda d: [embedding_case(d)[0], 5],
        smooth=False,
    ),
    "matmul": Row(lambda a, b: a @ b, np.matmul, matmul_case),
    "dot": Row(tg.dot, np.matmul, matmul_case),
    "einsum": Row(tg.einsum, np.einsum, einsum_case),
    "linear": Row(tg.linear, lambda x, w, b=0.0: x @ w.T + b, linear_case),
    "softmax": Row(tg.softmax, np_softmax, lambda d: with_axis(d, 1)),
    "log_softmax": Row(
        tg.log_softmax, lambda x, a: np.log(np_softmax(x, a)), lambda d: with_axis(d, 1)
    ),
    "layernorm": Row(tg.layernorm, np_layernorm, lambda d: norm_case(d, 2)),
    "rmsnorm": Row(tg.rmsnorm, np_rmsnorm, lambda d: norm_case(d, 1)),
    "token_shift": Row(tg.token_shift, np_token_shift, shift_case),
    "attention": Row(tg.scaled_dot_product_attention, np_attention, attention_case),
    "cross_entropy": Row(tg.cross_entropy, np_cross_entropy, classes_case),
    "embedding": Row(tg.embedding, lambda i, w: w[i], embedding_case),
    "rotary": Row(
        lambda x, angles: tg.rotary(x, *angles),
        lambda x, angles: np_rotary(x, *angles),
        rotary_case,
    ),
    # --- elementwise --------------------------------------------------------------------------
    "square": Row(e.square, np.square, unary()),
    "reciprocal": Row(e.reciprocal, np.reciprocal, unary(gap=0.5)),
    "lerp": Row(
        e.lerp,
        lambda a, b, w: a + w * (b - a),
        lambda draw: [values(draw, s, gap=0.6) for s in broadcast(draw, 3)],
    ),
    "floor": Row(e.floor, np.floor, steps),
    "ceil": Row(e.ceil, np.ceil, steps),
    "trunc": Row(e.trunc, np.trunc, steps),
    "round": Row(e.round, np.round, steps),
    "floor_div": Row(lambda a, b: a // b, np.floor_divide, binary(0.5, 3.0), smooth=False),
    "remainder": Row(lambda a, b: a % b, np.remainder, divided),
    "fmod": Row(tg.fmod, np.fmod, divided),
    "copysign": Row(tg.copysign, np.copysign, binary(gap=0.1)),
    "clone": Row(mv.clone, np.copy, unary()),
    "isnan": Row(tg.isnan, np.isnan, unary(), smooth=False),
    "isinf": Row(tg.isinf, np.isinf, unary(), smooth=False),
    "isfinite": Row(tg.isfinite, np.isfinite, unary(), smooth=False),
    "isclose": Row(tg.isclose, np.isclose, binary(), smooth=False),
    "logical_not": Row(tg.logical_not, np.logical_not, unary(), smooth=False),
    "logical_and": Row(tg.logical_and, np.logical_and, binary(), smooth=False),
    "logical_or": Row(tg.logical_or, np.logical_or, binary(), smooth=False),
    "logical_xor": Row(tg.logical_xor, np.logical_xor, binary(), smooth=False),
    "bitwise_not": Row(lambda x: ~x, np.bitwise_not, whole(1), smooth=False),
    "bitwise_and": Row(lambda a, b: a & b, np.bitwise_and, whole(2), smooth=False),
    "bitwise_or": Row(lambda a, b: a | b, np.bitwise_or, whole(2), smooth=False),
    "bitwise_xor": Row(lambda a, b: a ^ b, np.bitwise_xor, whole(2), smooth=False),
    "bitwise_left_shift": Row(lambda a, b: a << b, np.left_shift, whole(2), smooth=False),
    "bitwise_right_shift": Row(lambda a, b: a >> b, np.right_shift, whole(2), smooth=False),
    "exp2": Row(tg.exp2, np.exp2, unary()),
    "expm1": Row(tg.expm1, np.expm1, unary()),
    "log2": Row(tg.log2, np.log2, unary(0.2, 3.0)),
    "log10": Row(tg.log10, np.log10, unary(0.2, 3.0)),
    "log1p": Row(tg.log1p, np.log1p, unary(-0.6, 3.0)),
    "logaddexp": Row(tg.logaddexp, np.logaddexp, binary()),
    "tan": Row(tg.tan, np.tan, unary(-1.2, 1.2)),
    "asin": Row(tg.asin, np.arcsin, unary(-0.9, 0.9)),
    "acos": Row(tg.acos, np.arccos, unary(-0.9, 0.9)),
    "atan": Row(tg.atan, np.arctan, unary()),
    "atan2": Row(tg.atan2, np.arctan2, binary(gap=0.3)),
    "hypot": Row(tg.hypot, np.hypot, binary(gap=0.3)),
    "sinh": Row(tg.sinh, np.sinh, unary()),
    "cosh": Row(tg.cosh, np.cosh, unary()),
    "asinh": Row(tg.asinh, np.arcsinh, unary()),
    "acosh": Row(tg.acosh, np.arccosh, unary(1.2, 3.0)),
    "atanh": Row(tg.atanh, np.arctanh, unary(-0.9, 0.9)),
    "erf": Row(tg.erf, erf, unary()),
    "erfc": Row(tg.erfc, lambda x: 1 - erf(x), unary()),
    # --- activations --------------------------------------------------------------------------
    "elu": Row(tg.elu, lambda x: np.where(x > 0, x, np.expm1(x)), unary(gap=0.1)),
    "celu": Row(
        lambda x: tg.celu(x, 2.0),
        lambda x: np.where(x > 0, x, 2 * np.expm1(x / 2)),
        unary(gap=0.1),
    ),
    "selu": Row(
        tg.selu,
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
        unary(gap=0.1),
    ),
    "mish": Row(tg.mish, lambda x: x * np.tanh(np.log1p(np.exp(x))), unary()),
    "softsign": Row(tg.softsign, lambda x: x / (1 + np.abs(x)), unary(gap=0.1)),
    "relu6": Row(tg.relu6, lambda x: np.clip(x, 0, 6), unary(gap=0.1)),
    "hardtanh": Row(tg.hardtanh, lambda x: np.clip(x, -1, 1), uneven),
    "hardsigmoid": Row(tg.hardsigmoid, lambda x: np.clip(x + 3, 0, 6) / 6, uneven),
    "hardswish": Row(tg.hardswish, lambda x: x * np.clip(x + 3, 0, 6) / 6, uneven),
    "logsigmoid": Row(tg.logsigmoid, lambda x: -np.log1p(np.exp(-x)), unary()),
    "quick_gelu": Row(tg.quick_gelu, lambda x: x / (1 + np.exp(-1.702 * x)), unary()),
    "tanhshrink": Row(tg.tanhshrink, lambda x: x - np.tanh(x), unary()),
    "hardshrink": Row(tg.hardshrink, lambda x: np.where(np.abs(x) > 0.5, x, 0), uneven),
    "softshrink": Row(tg.softshrink, lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0), uneven),
    "threshold": Row(
        lambda x: tg.threshold(x, 0.1, 5.0), lambda x: np.where(x > 0.1, x, 5.0), uneven
    ),
    "prelu": Row(
        tg.prelu,
        lambda x, w: np.where(x > 0, x, x * w.reshape(-1, 1)),
        lambda draw: [values(draw, (2, 3, 2), gap=0.1), values(draw, (3,))],
    ),
    "glu": Row(
        tg.glu,
        lambda x: x[..., :3] / (1 + np.exp(-x[..., 3:])),
        lambda draw: [values(draw, (*draw(shapes(0, 0, 2)), 6))],
    ),
    "softmin": Row(tg.softmin, lambda x, a: np_softmax(-x, a), lambda d: with_axis(d, 1)),
    # --- reductions, scans, order -------------------------------------------------------------
    "any": Row(r.any, reduction(np.any), axis_case, smooth=False),
    "all": Row(r.all, reduction(np.all), axis_case, smooth=False),
    "count_nonzero": Row(r.count_nonzero, reduction(np.count_nonzero), axis_case, smooth=False),
    "norm": Row(
        lambda x, axis, keepdim, p: r.norm(x, p, axis, keepdim),
        lambda x, axis, keepdim, p: np.sum(np.abs(x) ** p, axis, keepdims=keepdim) ** (1 / p),
        lambda d: [*axis_case(d), d(st.sampled_from([1, 2, 3, 0.5]))],
    ),
    "normalize": Row(
        lambda x, axis: r.normalize(x, 2, axis),
        lambda x, axis: x / np.sqrt(np.sum(x * x, axis, keepdims=True)),
        lambda d: with_axis(d, 1),
    ),
    "var_mean": Row(
        lambda *x: r.var_mean(*x)[0] * 2 + r.var_mean(*x)[1],
        lambda x, axis=None, keepdim=False: (
            2 * np.var(x, axis, keepdims=keepdim, ddof=1) + np.mean(x, axis, keepdims=keepdim)
        ),
        two_or_more,
    ),
    "std_mean": Row(
        lambda *x: r.std_mean(*x)[0] * 2 + r.std_mean(*x)[1],
        lambda x, axis=None, keepdim=False: (
            2 * np.std(x, axis, keepdims=keepdim, ddof=1) + np.mean(x, axis, keepdims=keepdim)
        ),
        two_or_more,
    ),
    "cumprod": Row(tg.cumprod, np.cumprod, with_axis),
    "cummax": Row(
        lambda x, a: tg.cummax(x, a)[0], np.maximum.accumulate, lambda d: along(d, distinct)
    ),
    "cummin": Row(
        lambda x, a: tg.cummin(x, a)[0], np.minimum.accumulate, lambda d: along(d, distinct)
    ),
    "running_places": Row(
        lambda x, a: tg.cummax(x, a)[1],
        lambda x, a: (
            np.argmax(np.maximum.accumulate(x, a)[..., None] == np.moveaxis(x, a, -1), -1)
            if x.ndim == 1
            else np.apply_along_axis(
                lambda v: [int(np.argmax(v[: i + 1])) for i in range(len(v))], a, x
            )
        ),
        lambda d: along(d, distinct),
        smooth=False,
    ),
    "logcumsumexp": Row(tg.logcumsumexp, np.logaddexp.accumulate, lambda d: with_axis(d, 1)),
    "sort": Row(lambda x, a: tg.sort(x, a)[0], np.sort, lambda d: along(d, distinct)),
    "argsort": Row(tg.argsort, np.argsort, lambda d: along(d, distinct), smooth=False),
    "topk": Row(
        lambda x, a: tg.topk(x, 1, a)[0],
        lambda x, a: np.max(x, a, keepdims=True),
        lambda d: along(d, distinct),
    ),
    "kthvalue": Row(
        lambda x, a: x.kthvalue(1, a)[0], lambda x, a: np.min(x, a), lambda d: along(d, distinct)
    ),
    "msort": Row(
        lambda x: x.msort(),
        lambda x: np.sort(x, 0),
        lambda d: along(d, distinct)[:1],
    ),
    # --- movement -----------------------------------------------------------------------------
    "view": Row(mv.view, lambda x, *s: np.reshape(x, s), reshape_case),
    "view_as": Row(mv.view_as, lambda x, y: np.reshape(x, y.shape), two_forms),
    "expand_as": Row(
        mv.expand_as,
        lambda x, y: np.broadcast_to(x, y.shape),
        lambda d: [values(d, (3, 1)), values(d, (2, 3, 4))],
    ),
    "ravel": Row(mv.ravel, np.ravel, unary()),
    "swapaxes": Row(lambda x: mv.swapaxes(x, -1, -2), lambda x: np.swapaxes(x, -1, -2), matrices),
    "movedim": Row(
        lambda x: tg.movedim(x, (0, -1), (1, 0)),
        lambda x: np.moveaxis(x, (0, -1), (1, 0)),
        matrices,
    ),
    "unflatten": Row(
        lambda x: mv.unflatten(x, -1, (2, -1)),
        lambda x: x.reshape(*x.shape[:-1], 2, 3),
        lambda draw: [values(draw, (*draw(shapes(0, 0, 2)), 6))],
    ),
    "roll": Row(lambda x, a: tg.roll(x, 2, a), lambda x, a: np.roll(x, 2, a), with_axis),
    "rot90": Row(
        lambda x, k: mv.rot90(x, k), np.rot90, lambda d: [values(d, (3, 2)), d(st.integers(-1, 4))]
    ),
    "tensor_split": Row(
        lambda x, a: tg.cat(mv.tensor_split(x, 3, a)[::-1], a),
        lambda x, a: np.concatenate(np.array_split(x, 3, a)[::-1], a),
        lambda d: with_axis(d, 1),
    ),
    "unbind": Row(
        lambda x, a: tg.stack(mv.unbind(x, a)[::-1], a),
        lambda x, a: np.flip(x, a),
        lambda d: with_axis(d, 1),
    ),
    "narrow": Row(
        lambda x, a: mv.narrow(x, a, -1, 1),
        lambda x, a: np.take(x, [-1], a),
        lambda d: with_axis(d, 1),
    ),
    "select": Row(
        lambda x, a: mv.select(x, a, 0), lambda x, a: np.take(x, 0, a), lambda d: with_axis(d, 1)
    ),
    "unfold": Row(
        lambda x, a, n, step: mv.unfold(x, a, n, step),
        np_unfold,
        lambda d: [values(d, (4, 5)), d(st.integers(-2, 1)), d(st.integers(0, 4)), 2],
    ),
    "tile": Row(tg.tile, lambda x, *n: np.tile(x, n), repeat_case),
    "repeat_interleave": Row(
        mv.repeat_interleave,
        np.repeat,
        lambda d: [
            values(d, (3, 2)),
            d(st.sampled_from([0, 1, 2])),
            d(st.sampled_from([None, 0, -1])),
        ],
    ),
    "diagonal": Row(
        lambda x, k: tg.diagonal(x, k, 1, 0),
        lambda x, k: np.diagonal(x, k, 1, 0),
        lambda d: [values(d, (3, 4, 2)), d(st.integers(-5, 4))],
    ),
    "diag": Row(
        tg.diag,
        np.diag,
        lambda d: [values(d, d(st.sampled_from([(3,), (0,), (3, 4)]))), d(st.integers(-2, 2))],
    ),
    "diag_embed": Row(
        tg.diag_embed,
        lambda x, k: np.stack([np.diag(v, k) for v in x]),
        lambda d: [values(d, (2, 3)), d(st.integers(-2, 2))],
    ),
    "trace": Row(mv.trace, np.trace, lambda d: [values(d, (3, 4))]),
    # --- indexing -----------------------------------------------------------------------------
    "placed": Row(
        lambda x, v, i: assigned(x, i, v),
        lambda x, v, i: np_assigned(x, i, v),
        placed_case,
    ),
    "added": Row(
        lambda x, v, i: tg.index_add(x, 0, i, v),
        lambda x, v, i: np_at(np.add, x, i, v),
        lambda d: [values(d, (3, 2)), values(d, (4, 2)), np.array([0, 2, 2, 0])],
    ),
    "multiplied": Row(
        lambda x, v, i: tg.scatter_reduce(x, 0, i, v, "prod"),
        lambda x, v, i: np_at(np.multiply, x, i, v),
        lambda d: [zeroed(d, (3,)), zeroed(d, (4,)), np.array([0, 2, 2, 0])],
    ),
    "extreme_at": Row(
        lambda x, v, i: tg.scatter_reduce(x, 0, i, v, "amax"),
        lambda x, v, i: np_at(np.maximum, x, i, v),
        lambda d: [values(d, (3,)), values(d, (4,)), np.array([0, 2, 2, 0])],
    ),
    "scatter": Row(
        lambda x, v, i: tg.scatter(x, 0, i, v),
        lambda x, v, i: np_assigned(x, i, v),
        lambda d: [values(d, (4,)), values(d, (3,)), np.array([3, 1, 3])],
    ),
    "scatter_add": Row(
        lambda x, v, i: tg.scatter_add(x, 0, i, v),
        lambda x, v, i: np_at(np.add, x, i, v),
        lambda d: [values(d, (4,)), values(d, (3,)), np.array([3, 1, 3])],
    ),
    "scatter_reduce": Row(
        lambda x, v, i: tg.scatter_reduce(x, 0, i, v, "mean"),
        lambda x, v, i: np_at(np.add, x, i, v) / np_at(np.add, np.ones_like(x), i, np.ones(3)),
        lambda d: [values(d, (4,)), values(d, (3,)), np.array([3, 1, 3])],
    ),
    "index_select": Row(
        lambda x, i: tg.index_select(x, 1, i),
        lambda x, i: x[:, i],
        lambda d: [values(d, (2, 3)), np.array([2, 0, 2])],
    ),
    "index_add": Row(
        lambda x, v, i: tg.index_add(x, 0, i, v, 2.0),
        lambda x, v, i: np_at(np.add, x, i, 2 * v),
        lambda d: [values(d, (3, 2)), values(d, (4, 2)), np.array([0, 2, 2, 0])],
    ),
    "index_copy": Row(
        lambda x, v, i: x.index_copy(0, i, v),
        lambda x, v, i: np_assigned(x, i, v),
        lambda d: [values(d, (3, 2)), values(d, (2, 2)), np.array([0, 2])],
    ),
    "index_fill": Row(
        lambda x, i: x.index_fill(0, i, 2.5),
        lambda x, i: np_assigned(x, i, 2.5),
        lambda d: [values(d, (3, 2)), np.array([0, 2])],
    ),
    "take": Row(
        lambda x, i: x.take(i), np.take, lambda d: [values(d, (3, 2)), np.array([[5, 0], [0, 1]])]
    ),
    "masked_select": Row(
        lambda x, m: tg.masked_select(x, m),
        lambda x, m: np.broadcast_to(x, (2, 3))[m],
        lambda d: [values(d, (3,)), np.array([[True, False, True], [False, False, True]])],
    ),
    "nonzero": Row(tg.nonzero, np.argwhere, lambda d: [zeroed(d, (3, 2))], smooth=False),
    "xlogy": Row(
        tg.xlogy,
        lambda a, b: a * np.log(b),
        lambda d: [values(d, s, 0.2, 3.0) for s in broadcast(d)],
    ),
    "binary_cross_entropy": Row(
        lambda x, t: tg.binary_cross_entropy(x, t, reduction="none"),
        lambda x, t: -(t * np.log(x) + (1 - t) * np.log(1 - x)),
        lambda d: [values(d, s, 0.1, 0.9) for s in [d(shapes())] * 2],
    ),
    "convolution": Row(
        lambda x, w, b, given: tg.conv2d(x, w, b, **given), np_convolution, convolution_case
    ),
    "max_pool": Row(
        lambda x: tg.max_pool2d(x, (3, 2), 2, 1, ceil_mode=True),
        lambda x: np_pool(np.max, x, -np.inf),
        lambda d: [distinct(d, (2, 1, *d(st.sampled_from([(5, 4), (3, 7), (2, 2)]))))],
    ),
    "max_places": Row(
        lambda x: tg.max_pool1d(x, 2, return_indices=True)[1],
        lambda x: np.argmax(x.reshape(2, 3, 2, 2), -1) + np.array([0, 2]),
        lambda d: [distinct(d, (2, 3, 4))],
        smooth=False,
    ),
    "mean_pool": Row(
        lambda x: tg.avg_pool2d(x, (3, 2), 2, 1, ceil_mode=True, divisor_override=2),
        lambda x: np_pool(np.sum, x, 0) / 2,
        lambda d: [values(d, (2, 1, *d(st.sampled_from([(5, 4), (3, 7), (2, 2)]))))],
    ),
    "rnn": Row(
        lambda x, h, w: rec._rnn(x, h, w, False),
        np_rnn,
        lambda d: recurrent_case(d, 1),
    ),
    "lstm": Row(
        lambda x, h, w: rec._lstm(x, h, h * 0.5, w),
        np_lstm,
        lambda d: recurrent_case(d, 4),
    ),
    "gru": Row(
        lambda x, h, w: rec._gru(x, h, w, w.sum(1)),
        np_gru,
        lambda d: recurrent_case(d, 3),
    ),
    "alias": Row(_alias, lambda x: x, unary()),
    "convolution_weights": Row(
        lambda g, x: convolution._convolution_weights(g, x, (2, 3, 1, 3, 2), **WEIGHTS),
        np_convolution_weights,
        lambda d: [values(d, (2, 2, 1, 5, 4)), values(d, (2, 3, 1, 5, 5))],
    ),
    "mean_spread": Row(
        lambda g: pooling._mean_spread(
            g, [[(0, 1, 1)], [(0, 1, 1)], [(0, 2, 2), (1, 3, 2)]], 0.0, (2, 1, 1, 1, 3)
        ),
        lambda g: np.stack([g[..., 0], g[..., 0] + g[..., 1], g[..., 1]], -1) / 2,
        lambda d: [values(d, (2, 1, 1, 1, 2))],
    ),
}

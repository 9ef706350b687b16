"""The table of ops: for each name a function of Tensors, the same in NumPy, and how to draw inputs.

A draw function takes hypothesis' `draw` and returns the input arrays in float64. The generic tests
in test_ops.py run over every row; an op of the registry without a row fails the suite.
"""

import math

import numpy as np
from draws import (
    Row,
    along,
    assigned,
    attention_case,
    axis_case,
    binary,
    broadcast,
    classes_case,
    convolution_case,
    distinct,
    divided,
    einsum_case,
    embedding_case,
    expand_case,
    gather_case,
    index_case,
    join_case,
    linear_case,
    matmul_case,
    matrices,
    norm_case,
    one_axis,
    pad_case,
    permute_case,
    placed_case,
    recurrent_case,
    repeat_case,
    reshape_case,
    rotary_case,
    separated,
    shapes,
    shift_case,
    steps,
    two_forms,
    two_or_more,
    unary,
    uneven,
    values,
    whole,
    with_axis,
    zeroed,
)
from hypothesis import strategies as st
from rarer_rows import RARER
from references import (
    np_assigned,
    np_at,
    np_attention,
    np_convolution,
    np_convolution_weights,
    np_cross_entropy,
    np_dropout,
    np_gelu_tanh,
    np_gru,
    np_largest_finite,
    np_layernorm,
    np_logsumexp,
    np_lstm,
    np_pool,
    np_rmsnorm,
    np_rnn,
    np_rotary,
    np_softmax,
    np_token_shift,
    np_unfold,
    reduction,
)

import tinygrad_lite as tg
from tinygrad_lite.derivatives import _alias
from tinygrad_lite.fused import convolution, pooling
from tinygrad_lite.fused import recurrent as rec
from tinygrad_lite.fused.batchnorm import _moments
from tinygrad_lite.ops import elementwise as e
from tinygrad_lite.ops import joining as j
from tinygrad_lite.ops import movement as mv
from tinygrad_lite.ops import reductions as r

erf = np.vectorize(math.erf, otypes=[float])
WEIGHTS = dict(stride=(1, 1, 1), before=(0, 1, 0), after=(0, 1, 0), dilation=(1, 1, 1), groups=1)


ROWS: dict[str, Row] = {
    **RARER,
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
        lambda x: np_dropout(x, 0.25, 7),
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
        lambda x, a: tg.cat(j.split(x, 2, a)[::-1], a),
        lambda x, a: np.concatenate(
            [x.take(range(i, min(i + 2, x.shape[a])), a) for i in range(0, x.shape[a], 2)][::-1], a
        ),
        lambda d: with_axis(d, 1),
    ),
    "chunk": Row(
        lambda x, a: j.chunk(x, 2, a)[0],
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
        lambda x, a: tg.cat(j.tensor_split(x, 3, a)[::-1], a),
        lambda x, a: np.concatenate(np.array_split(x, 3, a)[::-1], a),
        lambda d: with_axis(d, 1),
    ),
    "unbind": Row(
        lambda x, a: tg.stack(j.unbind(x, a)[::-1], a),
        lambda x, a: np.flip(x, a),
        lambda d: with_axis(d, 1),
    ),
    "narrow": Row(
        lambda x, a: j.narrow(x, a, -1, 1),
        lambda x, a: np.take(x, [-1], a),
        lambda d: with_axis(d, 1),
    ),
    "select": Row(
        lambda x, a: j.select(x, a, 0), lambda x, a: np.take(x, 0, a), lambda d: with_axis(d, 1)
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
    "batchnorm": Row(
        lambda x, w, b: tg.batch_norm(x, None, None, w, b, training=True),
        lambda x, w, b: (
            np_layernorm(x.swapaxes(0, 1).reshape(3, -1), w[:, None], b[:, None])
            .reshape(3, len(x), *x.shape[2:])
            .swapaxes(0, 1)
        ),
        lambda d: [
            values(d, (d(st.integers(2, 4)), 3, *d(st.sampled_from([(), (2,), (2, 3)])))),
            values(d, (3,)),
            values(d, (3,)),
        ],
    ),
    "moments": Row(
        lambda x: _moments(x),
        lambda x: np.stack([x.mean((0, 2)), x.var((0, 2))]),
        lambda d: [values(d, (d(st.integers(1, 3)), 4, d(st.integers(1, 40))))],
        smooth=False,
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

"""Convolutions at sizes where work is divided: channels, panels, strides, aligned rows, threads."""

import numpy as np
import pytest

import tinygrad_lite as tg
from tinygrad_lite import Tensor
from tinygrad_lite.twins import TWINS


def direct(x, w, stride, padding, groups):
    """By windows and a sum, in float64"""
    x = np.pad(x.astype(float), [(0, 0), (0, 0), (padding,) * 2, (padding,) * 2])
    kh, kw = w.shape[2:]
    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    parts = [
        np.einsum("bchwij,ocij->bohw", a, b)
        for a, b in zip(np.split(windows, groups, 1), np.split(w, groups, 0), strict=True)
    ]
    return np.concatenate(parts, 1)


SIZES = [  # channels, outputs, kernel, height, width, stride, padding, groups
    (400, 30, 1, 5, 7, 1, 0, 1),  # more channels than are packed at a time
    (400, 13, 3, 6, 32, 1, 1, 1),
    (5, 200, 3, 9, 16, 1, 1, 1),  # aligned rows
    (5, 201, 3, 9, 16, 2, 1, 1),
    (3, 32, 5, 40, 48, 1, 2, 1),  # several panels of places
    (16, 16, 3, 20, 33, 1, 1, 16),  # each channel for itself
    (16, 32, 3, 70, 16, 1, 1, 16),
    (12, 18, 3, 11, 13, 3, 0, 3),
    (1, 40, 3, 8, 8, 1, 1, 1),
    (13, 20, 3, 4, 4, 1, 1, 1),  # rows of a half or a quarter of a vector
    (24, 33, 3, 9, 8, 1, 1, 1),
    (7, 40, 3, 37, 12, 1, 1, 1),
    (300, 40, 1, 5, 4, 1, 0, 1),
    (8, 16, 3, 61, 20, 1, 1, 2),
    (2, 3, 3, 3, 600, 1, 1, 1),  # a row longer than is summed at a time
    (2, 2, 3, 3, 600, 1, 1, 2),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_values_and_gradients(size, kind):
    channels, outputs, kernel, height, width, stride, padding, groups = size
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, channels, height, width)).astype(kind)
    w = rng.standard_normal((outputs, channels // groups, kernel, kernel)).astype(kind)
    given = [Tensor(a, requires_grad=True) for a in (x, w)]
    y = tg.conv2d(*given, stride=stride, padding=padding, groups=groups)
    tolerance = 2e-4 if kind == np.float32 else 1e-10
    expected = direct(x, w, stride, padding, groups)
    np.testing.assert_allclose(y.numpy(), expected, rtol=tolerance, atol=tolerance)
    # dx and dw by what they are: the sum of g y is linear in both
    g = rng.standard_normal(y.shape).astype(kind)
    y.backward(g)
    v, u = rng.standard_normal(x.shape), rng.standard_normal(w.shape)
    along_x = np.sum(direct(v, w, stride, padding, groups) * g)
    along_w = np.sum(direct(x, u, stride, padding, groups) * g)
    rtol = 1e-4 if kind == np.float32 else 1e-10
    scale = np.linalg.norm(expected) * np.linalg.norm(g) / np.sqrt(g.size)
    assert np.sum(given[0].grad.numpy() * v) == pytest.approx(along_x, rel=rtol, abs=rtol * scale)
    assert np.sum(given[1].grad.numpy() * u) == pytest.approx(along_w, rel=rtol, abs=rtol * scale)


def test_the_bits_do_not_depend_on_the_threads():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 24, 17, 16)).astype(np.float32)
    for groups in (1, 24):
        w = rng.standard_normal((48, 24 // groups, 3, 3)).astype(np.float32)
        found, before = [], tg.get_num_threads()
        for threads in (1, before):
            tg.set_num_threads(threads)
            given = [Tensor(a, requires_grad=True) for a in (x, w)]
            y = tg.conv2d(*given, padding=1, groups=groups)
            y.square().sum().backward()
            found.append([y.numpy(), *(t.grad.numpy() for t in given)])
        tg.set_num_threads(before)
        for a, b in zip(*found, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, w: tg.conv2d(x[0, 0], w), "x is"),
        (lambda x, w: tg.conv2d(x, w, groups=3), "the weight knows the channels"),
        (lambda x, w: tg.conv2d(x, w, tg.ones(3)), "the weight knows the channels"),
        (lambda x, w: tg.conv2d(x, w, stride=(1, 2, 3)), "stride is a whole number"),
        (lambda x, w: tg.conv2d(x, w, stride=0), "stride and dilation are 1 or more"),
        (lambda x, w: tg.conv2d(x, w, padding="full"), "padding is 'valid'"),
        (lambda x, w: tg.conv2d(x, w, padding="same", stride=2), "padding is 'valid'"),
        (lambda x, w: tg.conv2d(x, w, dilation=5), "the kernel fits"),
        (
            lambda x, w: tg.conv_transpose2d(x, tg.ones(2, 4, 3, 3), output_padding=1),
            "output has at least",
        ),
        (lambda x, w: tg.max_pool2d(x, 9), "a window fits"),
        (lambda x, w: tg.max_pool2d(x, 2, padding=2), "at most half"),
        (lambda x, w: tg.avg_pool2d(x, 2, divisor_override=0), "divided by 0"),
        (lambda x, w: tg.interpolate(x, 3, 2.0), "either a size or a factor"),
        (lambda x, w: tg.interpolate(x, 3, mode="linear"), "a mode that suits"),
        (lambda x, w: tg.interpolate(x, 3, align_corners=True), "corners are aligned"),
        (lambda x, w: tg.interpolate(x, 0), "one place or more"),
        (lambda x, w: tg.pixel_shuffle(x, 3), "multiple of the factor"),
        (lambda x, w: tg.pixel_unshuffle(x, 3), "multiples of the factor"),
        (lambda x, w: tg.nn.Conv2d(3, 4, 3, groups=2, rng=0), "groups divide"),
        (lambda x, w: tg.nn.Conv2d(3, 4, 3, padding_mode="ones", rng=0), "the padding mode"),
        (lambda x, w: tg.nn.BatchNorm2d(3)(x), "the channels that are normalised"),
        (lambda x, w: tg.batch_norm(x[:1, :, :1, :1], None, None, training=True), "two values"),
        (lambda x, w: tg.group_norm(x, 3), "groups divide the channels"),
        (lambda x, w: tg.nn.GroupNorm(3, 4), "groups divide the channels"),
        (lambda x, w: tg.nn.LSTM(3, 4, rng=0)(x[0]), "and a state"),
        (lambda x, w: tg.nn.GRU(0, 4, rng=0), "sizes and layers are 1 or more"),
        (lambda x, w: tg.nn.RNN(3, 4, nonlinearity="x", rng=0), "the nonlinearity is"),
        (lambda x, w: tg.nn.MultiheadAttention(4, 3, rng=0), "heads divide the channels"),
        (lambda x, w: tg.mse_loss(x, x[0]), "predictions and targets have one shape"),
        (lambda x, w: tg.mse_loss(x, x, "max"), "the reduction is one of"),
        (lambda x, w: tg.binary_cross_entropy(x + 2, x), "lie between 0 and 1"),
        (lambda x, w: tg.nll_loss(x, np.zeros(3, int)), "one integer target for each row"),
        (lambda x, w: tg.cross_entropy(x, x[0], label_smoothing=0.1), "one probability for each"),
        (lambda x, w: tg.cross_entropy(x, np.zeros((2, 2, 5), int), label_smoothing=2), "share"),
        (lambda x, w: tg.huber_loss(x, x, delta=0), "delta is positive"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(tg.ones(2, 2, 5, 5), tg.ones(4, 2, 3, 3))
    assert "\n  got " in str(error.value)
    assert "\n  try " in str(error.value)


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 9), (4, 40, 6, 11), (2, 3, 2, 3, 5), (1, 2, 700)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_batch_norm_is_what_its_definition_says(shape, kind):
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, *shape)).astype(kind) * 3 + 5
    w, b = rng.standard_normal((2, shape[1])).astype(kind)
    given = [Tensor(a, requires_grad=True) for a in (x, w, b)]
    running = Tensor(np.zeros(shape[1], kind)), Tensor(np.ones(shape[1], kind))
    y = tg.batch_norm(given[0], *running, *given[1:], training=True, momentum=0.25)
    y.backward(g)
    twins = [Tensor(a.astype(float), requires_grad=True) for a in (x, w, b)]
    wanted = TWINS["batchnorm"](*twins, None, 1e-5)
    wanted.backward(g.astype(float))
    tolerance = 3e-5 if kind == np.float32 else 1e-10
    np.testing.assert_allclose(y.numpy(), wanted.numpy(), rtol=tolerance, atol=tolerance)
    for found, twin in zip(given, twins, strict=True):
        size = np.abs(twin.grad.numpy()).max()
        np.testing.assert_allclose(
            found.grad.numpy(), twin.grad.numpy(), rtol=tolerance, atol=tolerance * size
        )
    axes = (0, *range(2, len(shape)))
    n = x.size // shape[1]
    means, variances = x.astype(float).mean(axes), x.astype(float).var(axes)
    np.testing.assert_allclose(running[0].numpy(), 0.25 * means, rtol=1e-5)
    np.testing.assert_allclose(running[1].numpy(), 0.75 + 0.25 * variances * n / (n - 1), rtol=1e-5)


def test_adaptive_pooling_refuses_windows_of_nothing():
    for pool in (tg.adaptive_max_pool2d, tg.adaptive_avg_pool2d):
        with pytest.raises(ValueError, match="each window meets an element"):
            pool(tg.ones(2, 3, 0, 4), 2)


def test_the_largest_of_a_window_of_infinities_and_not_a_number():
    x = np.float32([[[-np.inf, -np.inf, 1, np.nan, np.nan, 3]]])
    y, at = tg.max_pool1d(x, 2, return_indices=True)
    np.testing.assert_array_equal(y.numpy(), [[[-np.inf, np.nan, np.nan]]])
    np.testing.assert_array_equal(at.numpy(), [[[0, 3, 4]]])

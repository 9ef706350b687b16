"""Convolution over one, two or three axes, as PyTorch defines it, and its transposed twin.

y[b, o, t] = sum over c, k of x[b, c, t * stride + k * dilation - padding] * w[o, c, k] (+ bias[o])

x (B, C, *spatial), w (O, C / groups, *kernel), y (B, O, *spatial). With groups, outputs and
channels are cut into as many parts, each of which knows only its own. How it is computed, and its
derivatives, is told in kernels/convolution.py. The transposed convolution is the derivative of a
convolution to x, as a function of the gradient.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_lite.kernels.arrays import contiguous, float_dtype
from tinygrad_lite.kernels.convolution import (
    Plan,
    Triple,
    convolve,
    images_of,
    weights_gradient,
)
from tinygrad_lite.kernels.sums import sum_axes
from tinygrad_lite.tensor import Own, Tensor, op, telling

Sizes = int | Sequence[int]


class _Geometry:
    """Sizes, strides, paddings and dilations of a convolution over three axes"""

    def __init__(self, size: Triple, kernel: Triple, stride: Triple, before: Triple, after: Triple,
                 dilation: Triple):  # fmt: skip
        self.size, self.kernel, self.stride, self.before = size, kernel, stride, before
        self.dilation = dilation
        self.out = tuple(
            (n + b + a - d * (k - 1) - 1) // s + 1
            for n, k, s, b, a, d in zip(size, kernel, stride, before, after, dilation, strict=True)
        )
        self.positions = list(itertools.product(*map(range, kernel)))

    def forwards(self) -> Plan:
        """How windows of x are summed to outputs"""
        places = zip(self.out, self.kernel, self.stride, self.dilation, strict=True)
        room = tuple(n + d * (k - 1) // s for n, k, s, d in places)
        shifts = []
        for position in self.positions:
            at = [k * d for k, d in zip(position, self.dilation, strict=True)]
            phase = 0
            for a, s in zip(at, self.stride, strict=True):
                phase = phase * s + a % s
            shifts.append((phase, tuple(a // s for a, s in zip(at, self.stride, strict=True))))
        return Plan(self.before, self.stride, room, shifts, (0, 0, 0), (1, 1, 1), self.out)

    def backwards(self) -> Iterator[tuple[Plan, list[int]]]:
        """For each phase of the stride, how windows of the gradient are summed to dx, and which
        kernel positions meet it"""
        for phase in itertools.product(*map(range, self.stride)):
            meeting = [
                (number, tuple(k * d // s for k, d, s in
                               zip(position, self.dilation, self.stride, strict=True)))
                for number, position in enumerate(self.positions)
                if all(k * d % s == r for k, d, s, r in
                       zip(position, self.dilation, self.stride, phase, strict=True))
            ]  # fmt: skip
            if not meeting:
                continue
            # x at i is met by y at first + j - e, for i = start + stride * j and a position's e
            first = tuple(-((r - b) // s) for r, b, s in
                          zip(phase, self.before, self.stride, strict=True))  # fmt: skip
            start = tuple(s * q + r - b for s, q, r, b in
                          zip(self.stride, first, phase, self.before, strict=True))  # fmt: skip
            size = tuple(max(0, -((i - n) // s)) for n, i, s in
                         zip(self.size, start, self.stride, strict=True))  # fmt: skip
            front = tuple(max(0, max(e[axis] for _, e in meeting) - first[axis])
                          for axis in range(3))  # fmt: skip
            shifts = [(0, tuple(q + f - e for q, f, e in zip(first, front, es, strict=True)))
                      for _, es in meeting]  # fmt: skip
            longest = tuple(max(shift[axis] for _, shift in shifts) for axis in range(3))
            room = tuple(n + m for n, m in zip(size, longest, strict=True))
            plan = Plan(front, (1, 1, 1), room, shifts, start, self.stride, size)
            yield plan, [number for number, _ in meeting]

    def by_group(self, w: Any, groups: int) -> Any:
        """w (O, C / groups, *kernel) as (G, O / G, C / G, K)"""
        return w.reshape(groups, w.shape[0] // groups, w.shape[1], len(self.positions))

    def forward(self, x: Any, images: Any, w: Any, bias: Any, groups: int) -> Any:
        """y (B, O, *out)"""
        y = np.empty((x.shape[0], w.shape[0], *self.out), x.dtype, like=x)
        factors = contiguous(np.transpose(self.by_group(w, groups), (0, 1, 3, 2)))
        convolve(y, self.forwards(), x, images, factors, bias)
        return y

    def images(self, x: Any, w: Any, groups: int) -> Any:
        """x as `forward` and `backward_w` read it"""
        return images_of(self.forwards(), x, w.shape[1], w.shape[0] // groups)

    def backward_x(self, g: Any, w: Any, bias: Any, groups: int) -> Any:
        """dx (B, C, *size) of the gradient g (B, O, *out), plus a bias (C,) if there is one"""
        shape = g.shape[0], groups * w.shape[1], *self.size
        if max(self.stride) == 1:  # all places are written to
            dx = np.empty(shape, g.dtype, like=g)
        else:
            dx = np.zeros(shape, g.dtype, like=g)
            dx[...] = bias.reshape(-1, 1, 1, 1) if bias.size else 0
        by_group = np.transpose(self.by_group(w, groups), (0, 2, 3, 1))
        for plan, numbers in self.backwards():
            some = len(numbers) < len(self.positions)
            factors = contiguous(by_group[:, :, numbers] if some else by_group)
            images = images_of(plan, g, w.shape[0] // groups, w.shape[1])
            convolve(dx, plan, g, images, factors, bias)
        return dx

    def backward_w(self, g: Any, x: Any, images: Any, shape: tuple[int, ...], groups: int) -> Any:
        """dw of a shape (O, C / groups, *kernel)"""
        outputs, channels, count = shape[0] // groups, shape[1], len(self.positions)
        summed = weights_gradient(self.forwards(), x, images, g, groups)
        by_position = summed.reshape(groups, count, channels, outputs)
        return contiguous(np.transpose(by_position, (0, 3, 2, 1))).reshape(shape)


@op
def _convolution(x, w, bias, stride, before, after, dilation, groups, transposed=None):
    """All with three axes; with `transposed`, the sizes of y, the derivative to x of such a
    convolution, in which w is (C, O / groups, *kernel)"""
    dtype = float_dtype(x, w, bias)
    w_shape = w.shape
    x, w = contiguous(x, dtype), contiguous(w, dtype)
    bias = np.empty(0, dtype, like=x) if bias is None else contiguous(bias, dtype)
    size = x.shape[2:] if transposed is None else transposed
    geometry = _Geometry(size, w.shape[2:], stride, before, after, dilation)
    none = bias[:0]
    if transposed is None:
        images = geometry.images(x, w, groups)
        y = geometry.forward(x, images, w, bias, groups)
    else:
        y = geometry.backward_x(x, w, bias, groups)

    def vjp(g):
        g = contiguous(g, dtype)
        spread = images if transposed is None else geometry.images(g, w, groups)

        def dx():
            if transposed is None:
                return geometry.backward_x(g, w, none, groups)
            return geometry.forward(g, spread, w, none, groups)

        def dw():
            y_side, x_side = (g, x) if transposed is None else (x, g)
            return geometry.backward_w(y_side, x_side, spread, w_shape, groups)

        return Own(dx), Own(dw), Own(lambda: sum_axes(g, (0, 2, 3, 4)))

    return y, vjp


@op
def _convolution_weights(g, x, shape, stride, before, after, dilation, groups):
    """The gradient to w (O, C / groups, D, H, W) = shape of a convolution of x, of that of its y"""
    dtype = float_dtype(g, x)
    g, x = contiguous(g, dtype), contiguous(x, dtype)
    geometry = _Geometry(x.shape[2:], shape[2:], stride, before, after, dilation)
    none = np.empty(0, dtype, like=x)

    def read(w):
        return geometry.images(x, w, groups)

    def vjp(h):
        h = contiguous(h, dtype)
        return (
            lambda: geometry.forward(x, read(h), h, none, groups),
            lambda: geometry.backward_x(g, h, none, groups),
        )

    like = np.empty(shape, dtype, like=x)
    return geometry.backward_w(g, x, read(like), shape, groups), vjp


def sizes_of(name: str, given: Sizes, axes: int) -> tuple[int, ...]:
    """One number for each axis"""
    sizes = (given,) * axes if isinstance(given, int | np.integer) else tuple(given)
    if len(sizes) == 1:
        sizes = sizes * axes
    if len(sizes) != axes or not all(isinstance(n, int | np.integer) for n in sizes):
        raise ValueError(
            f"conv: {name} is a whole number, or one for each of {axes} axes.\n"
            f"  got {given!r}\n  try {name}={(1,) * axes}"
        )
    return tuple(map(int, sizes))


def three(sizes: tuple[int, ...], fill: int) -> Triple:
    return (*(fill,) * (3 - len(sizes)), *sizes)


def _prepared(name: str, x: Any, weight: Any, axes: int) -> tuple[Tensor, Tensor, bool]:
    """x (B, C, D, H, W) and w (O, C, D, H, W), and whether x had no batch"""
    x, weight = (t if isinstance(t, Tensor) else Tensor(t) for t in (x, weight))
    if weight.ndim != axes + 2 or x.ndim not in (axes + 1, axes + 2):
        raise ValueError(
            f"{name}: x is (B, C, ...) or (C, ...), and the weight has two axes before the kernel's"
            f" {axes}.\n  got x {x.shape} and weight {weight.shape}\n"
            f"  try x of {axes + 2} axes, such as x.unsqueeze(0)"
        )
    alone = x.ndim == axes + 1
    x = x.unsqueeze(0) if alone else x
    ones = (1,) * (3 - axes)
    x, weight = (t.reshape(*t.shape[:2], *ones, *t.shape[2:]) for t in (x, weight))
    return x, weight, alone


def _unprepared(y: Tensor, axes: int, alone: bool) -> Tensor:
    y = y.reshape(*y.shape[:2], *y.shape[5 - axes :])
    return y.squeeze(0) if alone else y


def _check_channels(name: str, x: Tensor, weight: Tensor, groups: int, transposed: bool,
                    bias: Any) -> None:  # fmt: skip
    outputs, channels = weight.shape[:2]
    wanted = outputs if transposed else channels * groups
    made = channels * groups if transposed else outputs
    if groups < 1 or x.shape[1] != wanted or outputs % groups or (
        bias is not None and np.shape(bias) != (made,)
    ):  # fmt: skip
        error = ValueError(
            f"{name}: the weight knows the channels of x, groups divide them, and the bias has a"
            " number for each output.\n"
            f"  got x with {x.shape[1]} channels, a weight {(outputs, channels)} for {groups}"
            f" groups and a bias {None if bias is None else np.shape(bias)}\n"
            f"  try x with {wanted} channels, or a bias ({made},)"
        )
        raise telling(error, name, x, weight)


def _conv(name: str, axes: int, x: Any, weight: Any, bias: Any, stride: Sizes, padding: Any,
          dilation: Sizes, groups: int) -> Tensor:  # fmt: skip
    x, weight, alone = _prepared(name, x, weight, axes)
    _check_channels(name, x, weight, groups, False, bias)
    steps, spaces = sizes_of("stride", stride, axes), sizes_of("dilation", dilation, axes)
    kernel = weight.shape[5 - axes :]
    if isinstance(padding, str):
        if padding not in ("same", "valid") or (padding == "same" and max(steps) > 1):
            raise ValueError(
                f"{name}: padding is 'valid', or 'same', which needs a stride of 1, or numbers.\n"
                f"  got padding={padding!r} and stride={stride}\n  try padding=1"
            )
        whole = [d * (k - 1) * (padding == "same") for d, k in zip(spaces, kernel, strict=True)]
        before = tuple(n // 2 for n in whole)
        after = tuple(n - n // 2 for n in whole)
    else:
        before = after = sizes_of("padding", padding, axes)
    if min(steps + spaces + kernel) < 1 or min(before) < 0:
        raise ValueError(
            f"{name}: kernel, stride and dilation are 1 or more, and padding 0 or more.\n"
            f"  got kernel {kernel}, stride {steps}, dilation {spaces}, padding {before}\n"
            "  try stride=1, dilation=1"
        )
    size = [n + b + a for n, b, a in zip(x.shape[5 - axes :], before, after, strict=True)]
    if any(d * (k - 1) + 1 > n for d, k, n in zip(spaces, kernel, size, strict=True)):
        raise ValueError(
            f"{name}: the kernel fits into the padded x.\n"
            f"  got a kernel {kernel} with dilation {spaces} for {tuple(size)}\n  try more padding"
        )
    y = _convolution(
        x, weight, bias, stride=three(steps, 1), before=three(before, 0), after=three(after, 0),
        dilation=three(spaces, 1), groups=groups,
    )  # fmt: skip
    return _unprepared(y, axes, alone)


def conv1d(x: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Any = 0,
           dilation: Sizes = 1, groups: int = 1) -> Tensor:  # fmt: skip
    """x (B, C, T) or (C, T), weight (O, C / groups, k) -> (B, O, T'); padding also "same"

    >>> tg.conv1d(Tensor([[1.0, 2.0, 3.0]]), Tensor([[[1.0, 1.0]]])).tolist()
    [[3.0, 5.0]]
    """
    return _conv("conv1d", 1, x, weight, bias, stride, padding, dilation, groups)


def conv2d(x: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Any = 0,
           dilation: Sizes = 1, groups: int = 1) -> Tensor:  # fmt: skip
    """x (B, C, H, W) or (C, H, W), weight (O, C / groups, kh, kw) -> (B, O, H', W')

    >>> tg.conv2d(tg.ones(1, 3, 3), tg.ones(1, 1, 2, 2)).tolist()
    [[[4.0, 4.0], [4.0, 4.0]]]
    """
    return _conv("conv2d", 2, x, weight, bias, stride, padding, dilation, groups)


def conv3d(x: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Any = 0,
           dilation: Sizes = 1, groups: int = 1) -> Tensor:  # fmt: skip
    """x (B, C, D, H, W) or (C, D, H, W), weight (O, C / groups, kd, kh, kw)

    >>> tg.conv3d(tg.ones(1, 2, 2, 2), tg.ones(1, 1, 2, 2, 2)).tolist()
    [[[[8.0]]]]
    """
    return _conv("conv3d", 3, x, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(name: str, axes: int, x: Any, weight: Any, bias: Any, stride: Sizes,
                    padding: Sizes, output_padding: Sizes, groups: int,
                    dilation: Sizes) -> Tensor:  # fmt: skip
    x, weight, alone = _prepared(name, x, weight, axes)
    _check_channels(name, x, weight, groups, True, bias)
    steps, spaces = sizes_of("stride", stride, axes), sizes_of("dilation", dilation, axes)
    edges = sizes_of("padding", padding, axes)
    more = sizes_of("output_padding", output_padding, axes)
    kernel = weight.shape[5 - axes :]
    size = [
        (n - 1) * s - 2 * p + d * (k - 1) + m + 1
        for n, s, p, d, k, m in zip(x.shape[5 - axes :], steps, edges, spaces, kernel, more,
                                    strict=True)
    ]  # fmt: skip
    if min(steps + spaces + kernel) < 1 or min(edges + more) < 0 or min(size) < 1 or any(
        m >= max(s, d) for m, s, d in zip(more, steps, spaces, strict=True)
    ):  # fmt: skip
        raise ValueError(
            f"{name}: the output has at least one place, and its padding is smaller than stride or"
            " dilation.\n"
            f"  got x {x.shape}, kernel {kernel}, stride {steps}, dilation {spaces}, padding"
            f" {edges} and output_padding {more}\n  try padding=0, output_padding=0"
        )
    y = _convolution(
        x, weight, bias, stride=three(steps, 1), before=three(edges, 0),
        after=three(tuple(p - m for p, m in zip(edges, more, strict=True)), 0),
        dilation=three(spaces, 1), groups=groups, transposed=three(tuple(size), 1),
    )  # fmt: skip
    return _unprepared(y, axes, alone)


def conv_transpose1d(x: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Sizes = 0,
                     output_padding: Sizes = 0, groups: int = 1,
                     dilation: Sizes = 1) -> Tensor:  # fmt: skip
    """x (B, C, T), weight (C, O / groups, k) -> (B, O, T')

    >>> tg.conv_transpose1d(Tensor([[1.0, 2.0]]), Tensor([[[1.0, 1.0]]])).tolist()
    [[1.0, 3.0, 2.0]]
    """
    return _conv_transpose("conv_transpose1d", 1, x, weight, bias, stride, padding, output_padding,
                           groups, dilation)  # fmt: skip


def conv_transpose2d(x: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Sizes = 0,
                     output_padding: Sizes = 0, groups: int = 1,
                     dilation: Sizes = 1) -> Tensor:  # fmt: skip
    """x (B, C, H, W), weight (C, O / groups, kh, kw) -> (B, O, H', W')

    >>> tg.conv_transpose2d(tg.ones(1, 1, 2), tg.ones(1, 1, 1, 2)).tolist()
    [[[1.0, 2.0, 1.0]]]
    """
    return _conv_transpose("conv_transpose2d", 2, x, weight, bias, stride, padding, output_padding,
                           groups, dilation)  # fmt: skip


def conv_transpose3d(x: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Sizes = 0,
                     output_padding: Sizes = 0, groups: int = 1,
                     dilation: Sizes = 1) -> Tensor:  # fmt: skip
    """x (B, C, D, H, W), weight (C, O / groups, kd, kh, kw)

    >>> tg.conv_transpose3d(tg.ones(1, 1, 1, 2), tg.ones(1, 1, 1, 1, 2)).tolist()
    [[[[1.0, 2.0, 1.0]]]]
    """
    return _conv_transpose("conv_transpose3d", 3, x, weight, bias, stride, padding, output_padding,
                           groups, dilation)  # fmt: skip

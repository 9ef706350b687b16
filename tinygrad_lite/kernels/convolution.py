"""Convolution without a copy of each window: sums of shifted rows.

In an image whose rows lie one behind the other, `pitch` numbers apart, the window of the output at
(h, w) begins at p = h * pitch + w, and what its kernel position (i, j) reads at p + i * pitch + j:
for all p at once, the row of the image moved by a constant. So a convolution is a matrix product,

    y[o, p] = sum over positions k and channels c of w[o, k, c] * x[c, p + offset[k]],

of which each row of the right factor lies in memory as it is. Between the end of an output row and
the next, p names windows that wrap around: they are computed and left out.

`spread` makes images of which this is true: with room for the padding, and, for a stride s, cut
into s images of every s-th row and column each, so that windows are neighbours again. All has three
axes (depth, height, width), of which those that are not needed have size 1.

    x (B, C, D, H, W)   spread: (B, phases, C, D', H', W') and a few zeros   w (G, O, K, C / G)

The derivative to x is again such a sum, of the gradient, for each phase of the stride one, with the
kernel positions that meet it. That to w is a product of the same shifted rows with the gradient.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from tinygrad_lite.kernels.compile import CHUNKS, kernel, part_of
from tinygrad_lite.kernels.cpu import COLUMNS_FLOAT32, FEW_ROWS, ROWS, columns_of
from tinygrad_lite.kernels.functions import inlined
from tinygrad_lite.kernels.gemm import BLOCK_ROWS, DEPTH, PANEL, multiply
from tinygrad_lite.kernels.pack import copy_columns, pack
from tinygrad_lite.kernels.tasks import TAKEN, reset, take, workspace
from tinygrad_lite.kernels.team import get_num_threads
from tinygrad_lite.kernels.watch import constant

TAIL = PANEL + COLUMNS_FLOAT32  # zeros behind the last image: strips read whole vectors
LONG = 512  # places of an output of one channel that are summed at a time
PARTS = 16  # partial sums of the gradient of w, at most
Triple = tuple[int, ...]  # of depth, height and width


@kernel
def spread_kernel(chunk, out, x, sizes):
    """out: images (B, phases, C, D', H', W') and TAIL zeros, of x (B, C, D, H, W).

    sizes   (front of each axis, stride of each, D', H', W'): the image of phase (a, b, c) at
            (i, j, k) is x at (i, j, k) * stride + (a, b, c) - front, and 0 outside of x
    """
    batch, channels, depth, height, width = x.shape
    front_d, front_h, front_w = sizes[0], sizes[1], sizes[2]
    step_d, step_h, step_w = sizes[3], sizes[4], sizes[5]
    ds, hs, ws = sizes[6], sizes[7], sizes[8]
    volume, phases = ds * hs * ws, step_d * step_h * step_w
    rows = part_of(batch * channels, chunk)
    for row in range(rows.start, rows.stop):
        b, c = row // channels, row % channels
        for phase in range(phases):
            pw, rest = phase % step_w, phase // step_w
            ph, pd = rest % step_h, rest // step_h
            image = ((b * phases + phase) * channels + c) * volume
            low = min(max(0, (front_w - pw + step_w - 1) // step_w), ws)
            high = max(low, min(ws, (width + front_w - pw + step_w - 1) // step_w))
            for i in range(ds):
                d = i * step_d + pd - front_d
                for j in range(hs):
                    h = j * step_h + ph - front_h
                    to = out[image + (i * hs + j) * ws : image + (i * hs + j + 1) * ws]
                    if d < 0 or d >= depth or h < 0 or h >= height:
                        to[:] = 0
                        continue
                    to[:low] = 0
                    to[high:] = 0
                    source = x[b, c, d, h]
                    first = low * step_w + pw - front_w
                    if step_w == 1:
                        inside, given = to[low:high], source[first:]
                        for k in range(inside.size):
                            inside[k] = given[k]
                    else:
                        for k in range(low, high):
                            to[k] = source[first + (k - low) * step_w]
    if chunk == 0:
        out[-TAIL:] = 0


@inlined
def compact(y, panel, pitch, p_0, count, bias, layout):
    """Outputs p_0 and on, panel[o * pitch + p - p_0], to their places in y (O, D, H, W)"""
    hs, ws = layout[2], layout[3]
    start, step, size = layout[4:7], layout[7:10], layout[10:13]
    p, end = p_0, p_0 + count
    while p < end:
        k, row = p % ws, p // ws
        j, i = row % hs, row // hs
        run = min(ws - k, end - p)
        if k < size[2] and j < size[1]:
            n = min(run, size[2] - k)
            d, h, first = start[0] + i * step[0], start[1] + j * step[1], start[2] + k * step[2]
            for o in range(len(y)):
                given, to = panel[o * pitch + p - p_0 :], y[o, d, h, first:]
                more = bias[o] if bias.size else bias.dtype.type(0)
                if step[2] == 1:
                    for m in range(n):
                        to[m] = given[m] + more
                else:
                    for m in range(n):
                        to[m * step[2]] = given[m] + more
        p += run


@kernel
def convolve_kernel(t, y, images, w, bias, offsets, layout, counters, spaces, panels):
    """y (B, G * O, D, H, W) at start + step * (d, h, w), for each place (d, h, w) of the output.

    layout   (numbers of an image, numbers of a channel of it, H', W', start, step and size of the
             output for each axis); offsets (K,)
    """
    groups, outputs, positions, channels = w.shape
    image, volume, hs, ws = layout[0], layout[1], layout[2], layout[3]
    places = ((layout[10] - 1) * hs + layout[11] - 1) * ws + layout[12]
    flat, space, panel = w.reshape(-1), spaces[t], panels[t]
    width = columns_of(panel)
    together = max(1, DEPTH // channels)  # positions whose rows are packed at a time
    most = min(channels, DEPTH)
    blocks = (places + PANEL - 1) // PANEL
    task = take(counters, TAKEN)
    while task < y.shape[0] * groups * blocks:
        which, p_0 = task // blocks, task % blocks * PANEL
        b, g = which // groups, which % groups
        count = min(PANEL, places - p_0)
        strips = (count + width - 1) // width
        first = True
        for k in range(0, positions, together):
            here = min(together, positions - k)
            for c in range(0, channels, most):
                some = min(most, channels - c)
                depth = here * some
                for i in range(here):
                    at = b * image + offsets[k + i] + (g * channels + c) * volume + p_0
                    copy_columns(space, i * some * width, depth * width, images, at, volume,
                                 strips, some)  # fmt: skip
                w_row = positions * channels
                w_at = g * outputs * w_row + k * channels + c
                multiply(panel, 0, PANEL, flat, w_at, w_row, 1, ROWS * w_row, space, 0,
                         depth * width, outputs, strips * width, depth, not first,
                         panel)  # fmt: skip
                first = False
        compact(y[b, g * outputs : (g + 1) * outputs], panel, PANEL, p_0, count,
                bias[g * outputs :], layout)  # fmt: skip
        task = take(counters, TAKEN)
    reset(counters, len(spaces))


@kernel
def convolve_alone_kernel(chunk, y, images, w, bias, offsets, layout, panels):
    """The same where each group has one channel, and few outputs: panels (CHUNKS, LONG)"""
    groups, outputs, positions, _ = w.shape
    image, volume, hs, ws = layout[0], layout[1], layout[2], layout[3]
    places = ((layout[10] - 1) * hs + layout[11] - 1) * ws + layout[12]
    rows = part_of(y.shape[0] * groups * outputs, chunk)
    for row in range(rows.start, rows.stop):
        b, channel = row // (groups * outputs), row % (groups * outputs)
        g, o = channel // outputs, channel % outputs
        for p_0 in range(0, places, LONG):
            total = panels[chunk, : min(LONG, places - p_0)]
            total[:] = 0
            for k in range(positions):
                factor = w[g, o, k, 0]
                given = images[b * image + offsets[k] + g * volume + p_0 :]
                for p in range(total.size):
                    total[p] += factor * given[p]
            compact(y[b, channel : channel + 1], total, LONG, p_0, total.size, bias[channel:],
                    layout)  # fmt: skip


@kernel
def weights_kernel(t, out, images, gradients, offsets, layout, rows_each, counters, edges, spaces,
                   turned):  # fmt: skip
    """out (parts, G, K * C, O): sums over some of the batch of images * gradients.

    layout   (numbers of an image, of a channel of it, of an image of gradients, of a channel of it,
             places, B)
    """
    parts, groups, rows_all, outputs = out.shape
    image, volume, g_image, g_volume = layout[0], layout[1], layout[2], layout[3]
    places, batch = layout[4], layout[5]
    channels = rows_all // len(offsets)
    flat, edge, space, rows_of = out.reshape(-1), edges[t], spaces[t], turned[t]
    width = columns_of(flat)
    down = (rows_all + rows_each - 1) // rows_each
    task = take(counters, TAKEN)
    while task < parts * groups * down:
        which, r_0 = task // down, task % down * rows_each
        part, g = which // groups, which % groups
        rows = min(rows_each, rows_all - r_0)
        mine = part_of(batch, part, parts)
        out_at, first = (which * rows_all + r_0) * outputs, True
        for b in range(mine.start, mine.stop):
            for p in range(0, places, DEPTH):
                depth = min(DEPTH, places - p)
                for r in range(rows):
                    k, c = (r_0 + r) // channels, (r_0 + r) % channels
                    at = b * image + offsets[k] + (g * channels + c) * volume + p
                    to, given = rows_of[r * depth : (r + 1) * depth], images[at : at + depth]
                    for m in range(depth):
                        to[m] = given[m]
                for j in range(0, outputs, PANEL):
                    columns = min(PANEL, outputs - j)
                    at = b * g_image + (g * outputs + j) * g_volume + p
                    pack(space, 0, gradients, at, 1, g_volume, depth, columns)
                    multiply(flat, out_at + j, outputs, rows_of, 0, depth, 1, ROWS * depth, space,
                             0, depth * width, rows, columns, depth, not first, edge)  # fmt: skip
                first = False
        task = take(counters, TAKEN)
    reset(counters, len(spaces))


class Images(NamedTuple):
    """Spread images, flat, and the shape (phases, C, D', H', W') of each"""

    array: Any
    shape: tuple[int, int, int, int, int]

    @property
    def volume(self) -> int:
        """Numbers of a channel"""
        return math.prod(self.shape[2:])

    def offsets(self, phases: list[int], shifts: list[Triple]) -> Any:
        """Where the window of place 0 finds kernel positions of these phases and shifts"""
        _, channels, _, hs, ws = self.shape
        return constant(np.array(
            [phase * channels * self.volume + (i * hs + j) * ws + k
             for phase, (i, j, k) in zip(phases, shifts, strict=True)], np.int64))  # fmt: skip


def spread(x: Any, front: Triple, stride: Triple, size: Triple) -> Images:
    """Images of these sizes of x (B, C, D, H, W), see spread_kernel"""
    shape = (math.prod(stride), x.shape[1], *size)
    out = np.empty(x.shape[0] * math.prod(shape) + TAIL, x.dtype, like=x)
    spread_kernel(out, x, constant(np.array([*front, *stride, *size], np.int64)))
    return Images(out, shape)


def convolve(
    y: Any, images: Images, w: Any, bias: Any, offsets: Any, start: Triple, step: Triple,
    size: Triple,
) -> None:  # fmt: skip
    """Fill y (B, G * O, D, H, W), at start + step * (place < size), with the sums over w (G, O, K,
    C / G) of the shifted images; bias (G * O,) or (0,)"""
    if not (y.shape[0] and math.prod(size)):
        return
    hs, ws = images.shape[3:]
    layout = [math.prod(images.shape), images.volume, hs, ws, *start, *step, *size]
    arguments = y, images.array, w, bias, offsets, constant(np.array(layout, np.int64))
    if w.shape[3] == 1 and w.shape[1] < FEW_ROWS:
        panels = workspace().get("alone", y.dtype, CHUNKS, LONG)
        convolve_alone_kernel(*arguments, panels)
        return
    threads = get_num_threads()
    convolve_kernel.run(
        threads, threads, *arguments, workspace().counters,
        workspace().get("convolve", y.dtype, threads, DEPTH * PANEL),
        workspace().get("convolved", y.dtype, threads, w.shape[1] * PANEL),
    )  # fmt: skip


def weights_gradient(images: Images, gradients: Images, offsets: Any, places: int, batch: int,
                     groups: int) -> Any:  # fmt: skip
    """(G, K * C / G, O / G): the sums of images * gradients over the batch and all places"""
    outputs, channels = gradients.shape[1] // groups, images.shape[1] // groups
    rows = len(offsets) * channels
    rows_each = min(2 * BLOCK_ROWS, rows)
    parts = max(1, min(batch, PARTS // max(1, groups * -(-rows // rows_each))))
    out = np.empty((parts, groups, rows, outputs), images.array.dtype, like=images.array)
    layout = [math.prod(images.shape), images.volume, math.prod(gradients.shape),
              gradients.volume, places, batch]  # fmt: skip
    threads, dtype = get_num_threads(), out.dtype
    weights_kernel.run(
        threads, threads, out, images.array, gradients.array, offsets,
        constant(np.array(layout, np.int64)), rows_each, workspace().counters,
        workspace().get("edges", dtype, threads, BLOCK_ROWS * columns_of(out)),
        workspace().get("convolve", dtype, threads, DEPTH * PANEL),
        workspace().get("shifted", dtype, threads, DEPTH * rows_each),
    )  # fmt: skip
    return out[0] if parts == 1 else np.sum(out, axis=0)

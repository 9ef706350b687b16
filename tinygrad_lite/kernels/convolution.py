"""Convolution without a copy of each window: sums of shifted rows.

In an image whose rows lie one behind the other, `pitch` numbers apart, the window of the output at
(h, w) begins at p = h * pitch + w, and what its kernel position (i, j) reads at p + i * pitch + j:
for all p at once, the row of the image moved by a constant. So a convolution is a matrix product,

    y[o, p] = sum over positions k and channels c of w[o, k, c] * x[c, p + offset[k]],

of which each row of the right factor lies in memory as it is. Between the end of an output row and
the next, p names windows that wrap around: they are computed and left out. Where rows of the output
are whole vectors, p counts outputs instead, and each vector is taken from its own row of the image.

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
from tinygrad_lite.kernels.cpu import (
    COLUMNS_FLOAT32,
    FEW_ROWS,
    ROWS,
    VECTOR_BYTES,
    VECTORS,
    columns_of,
)
from tinygrad_lite.kernels.functions import inlined
from tinygrad_lite.kernels.gemm import BLOCK_ROWS, DEPTH, PANEL, multiply
from tinygrad_lite.kernels.pack import VECTOR_PARTS, copy_columns, copy_parts, copy_vectors, pack
from tinygrad_lite.kernels.rows import dot
from tinygrad_lite.kernels.tasks import TAKEN, reset, take, workspace
from tinygrad_lite.kernels.team import get_num_threads
from tinygrad_lite.kernels.watch import constant

TAIL = PANEL + COLUMNS_FLOAT32  # zeros behind the last image: strips read whole vectors
LONG = 512  # places of an output of one channel that are summed at a time
LEAST = 4  # numbers of a row that are copied at once
PARTS = 16  # partial sums of the gradient of w, at most
Triple = tuple[int, ...]  # of depth, height and width


@inlined
def spread_channel(out, at, stride, x, sizes):
    """The images, each at out[at] and `stride` numbers on, of x (D, H, W); see spread_kernel"""
    depth, height, width = x.shape
    front_d, front_h, front_w = sizes[0], sizes[1], sizes[2]
    step_d, step_h, step_w = sizes[3], sizes[4], sizes[5]
    ds, hs, ws = sizes[6], sizes[7], sizes[8]
    for phase in range(step_d * step_h * step_w):
        pw, rest = phase % step_w, phase // step_w
        ph, pd = rest % step_h, rest // step_h
        image = out[at + phase * stride : at + phase * stride + ds * hs * ws]
        for k in range(image.size):
            image[k] = 0
        low = min(max(0, (front_w - pw + step_w - 1) // step_w), ws)
        high = max(low, min(ws, (width + front_w - pw + step_w - 1) // step_w))
        for i in range(ds):
            d = i * step_d + pd - front_d
            for j in range(hs):
                h = j * step_h + ph - front_h
                if d < 0 or d >= depth or h < 0 or h >= height:
                    continue
                to, given = image[(i * hs + j) * ws + low :], x[d, h, low * step_w + pw - front_w :]
                if step_w == 1:
                    for k in range(high - low):
                        to[k] = given[k]
                else:
                    for k in range(high - low):
                        to[k] = given[k * step_w]


@kernel
def spread_kernel(chunk, out, x, sizes):
    """out: images (B, phases, C, D', H', W') and TAIL zeros, of x (B, C, D, H, W).

    sizes   (front of each axis, stride of each, D', H', W'): the image of phase (a, b, c) at
            (i, j, k) is x at (i, j, k) * stride + (a, b, c) - front, and 0 outside of x
    """
    batch, channels = x.shape[0], x.shape[1]
    volume, phases = sizes[6] * sizes[7] * sizes[8], sizes[3] * sizes[4] * sizes[5]
    rows = part_of(batch * channels, chunk)
    for row in range(rows.start, rows.stop):
        b, c = row // channels, row % channels
        at = (b * phases * channels + c) * volume
        spread_channel(out, at, channels * volume, x[b, c], sizes)
    if chunk == 0:
        out[-TAIL:] = 0


# What a kernel knows of a convolution: a row of whole numbers, at these places
IMAGE, CHANNEL, ROW, ROWS_OF_IMAGE = 0, 1, 2, 3  # numbers of an image, ..., rows of a channel's
PLACES, WIDE, HIGH = 4, 5, 6  # places p, and how many are in a row, and rows in an image of them
START, STEP, SIZE = 7, 10, 13  # of the output, for each axis
ALIGNED = 16  # 0, or p counts outputs, in rows of whole vectors, or of these parts of vectors


@inlined
def compact(y, panel, pitch, p_0, count, bias, layout):
    """Outputs p_0 and on, panel[o * pitch + p - p_0], to their places in y (O, D, H, W)"""
    wide, high = layout[WIDE], layout[HIGH]
    start, step, size = layout[START:], layout[STEP:], layout[SIZE:]
    p, end = p_0, p_0 + count
    while p < end:
        k, row = p % wide, p // wide
        j, i = row % high, row // high
        run = min(wide - k, end - p)
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


@inlined
def place_of(p, layout):
    """Where in an image the window of place p begins"""
    wide, high = layout[WIDE], layout[HIGH]
    k, row = p % wide, p // wide
    return (row // high * layout[ROWS_OF_IMAGE] + row % high) * layout[ROW] + k


@kernel
def convolve_kernel(t, y, images, w, bias, offsets, layout, counters, spaces, panels):
    """y (B, G * O, D, H, W) for each place (d, h, w) of the output; w (G, O or a few more, K,
    C / G), offsets (K,)"""
    groups, rows, positions, channels = w.shape
    outputs, volume = y.shape[1] // groups, layout[CHANNEL]
    places, direct = layout[PLACES], layout[ALIGNED] and rows == outputs
    flat, space, panel, whole = w.reshape(-1), spaces[t], panels[t], y.reshape(-1)
    width = columns_of(panel)
    pieces = VECTORS * max(1, layout[ALIGNED])  # in the width of a strip
    lanes = width // pieces
    together = max(1, DEPTH // channels)  # positions whose rows are packed at a time
    most = min(channels, DEPTH)
    blocks = (places + PANEL - 1) // PANEL
    task = take(counters, TAKEN)
    while task < y.shape[0] * groups * blocks:
        which, p_0 = task // blocks, task % blocks * PANEL
        b, g = which // groups, which % groups
        count = min(PANEL, places - p_0)
        strips = (count + width - 1) // width
        y_at = which * outputs * places + p_0
        first = True
        if direct and bias.size:
            first = False
            for o in range(outputs):
                to = whole[y_at + o * places : y_at + o * places + count]
                for m in range(count):
                    to[m] = bias[g * outputs + o]
        for k in range(0, positions, together):
            here = min(together, positions - k)
            for c in range(0, channels, most):
                some = min(most, channels - c)
                depth = here * some
                for i in range(here):
                    at = b * layout[IMAGE] + offsets[k + i] + (g * channels + c) * volume
                    to = i * some * width
                    if layout[ALIGNED]:
                        for v in range((count + lanes - 1) // lanes):
                            copy_parts(
                                space, to + v // pieces * depth * width + v % pieces * lanes,
                                width, images, at + place_of(p_0 + v * lanes, layout), volume, some,
                                layout[ALIGNED],
                            )  # fmt: skip
                    else:
                        copy_columns(space, to, depth * width, images, at + p_0, volume, strips,
                                     some)  # fmt: skip
                w_row = positions * channels
                w_at = g * rows * w_row + k * channels + c
                if direct:
                    multiply(whole, y_at, places, flat, w_at, w_row, 1, ROWS * w_row, space, 0,
                             depth * width, rows, count, depth, not first, panel)  # fmt: skip
                else:
                    multiply(panel, 0, PANEL, flat, w_at, w_row, 1, ROWS * w_row, space, 0,
                             depth * width, rows, strips * width, depth, not first,
                             panel)  # fmt: skip
                first = False
        if not direct:
            compact(y[b, g * outputs : (g + 1) * outputs], panel, PANEL, p_0, count,
                    bias[g * outputs :], layout)  # fmt: skip
        task = take(counters, TAKEN)
    reset(counters, len(spaces))


@inlined
def spread_again(out, x, at, shape, sizes, first):
    """spread_channel of x[at] and on, (D, H, W) = shape[2:]. What surrounds the images of stride 1
    is as the first time has left it."""
    depth, height, width = shape[2], shape[3], shape[4]
    lanes = columns_of(out) // VECTORS
    fits = sizes[3] * sizes[4] * sizes[5] == 1 and width % lanes == 0
    inside = min(sizes[0], sizes[1], sizes[2]) >= 0 and (
        depth + sizes[0] <= sizes[6] and height + sizes[1] <= sizes[7]
        and width + sizes[2] <= sizes[8]
    )  # fmt: skip
    if first or not (fits and inside):
        size = depth * height * width
        volume = sizes[6] * sizes[7] * sizes[8]
        spread_channel(out, 0, volume, x[at : at + size].reshape(depth, height, width), sizes)
        return
    for d in range(depth):
        to = ((d + sizes[0]) * sizes[7] + sizes[1]) * sizes[8] + sizes[2]
        for v in range(0, width, lanes):
            copy_vectors(out, to + v, sizes[8], x, at + d * height * width + v, width, height)


@kernel
def convolve_alone_kernel(chunk, y, x, w, bias, offsets, sizes, layout, images, panels):
    """The same where each group has one channel, and few outputs, from x (B, G, D, H, W): images
    (CHUNKS, ...) for one channel spread by `sizes`, panels (CHUNKS, LONG)"""
    groups, outputs, positions, _ = w.shape
    image, flat, shape = images[chunk], x.reshape(-1), x.shape
    size, places, whole = shape[2] * shape[3] * shape[4], layout[PLACES], y.reshape(-1)
    height, width, lanes = y.shape[3], y.shape[4], columns_of(image) // VECTORS
    # As many rows of the output as are summed at a time are copied as vectors
    rows_of_total = LONG // layout[ROW]
    direct = (
        layout[STEP] * layout[STEP + 1] * layout[STEP + 2] == 1 and width % lanes == 0
        and layout[START] + layout[START + 1] + layout[START + 2] == 0
        and y.shape[2] == 1 and rows_of_total > 0
        and layout[SIZE + 1] == height and layout[SIZE + 2] == width
    )  # fmt: skip
    long = rows_of_total * layout[ROW] if direct else LONG
    rows = part_of(y.shape[0] * groups, chunk)
    for row in range(rows.start, rows.stop):
        b, g = row // groups, row % groups
        spread_again(image, flat, row * size, shape, sizes, row == rows.start)
        for o in range(outputs):
            channel = g * outputs + o
            for p_0 in range(0, places, long):
                total = panels[chunk, : min(long, places - p_0)]
                more = bias[channel] if bias.size else bias.dtype.type(0)
                total[:] = more if direct else bias.dtype.type(0)
                for k in range(positions):
                    factor, given = w[g, o, k, 0], image[offsets[k] + p_0 :]
                    for p in range(total.size):
                        total[p] += factor * given[p]
                if direct:
                    h = p_0 // layout[ROW]
                    at = ((b * y.shape[1] + channel) * height + h) * width
                    for v in range(0, width, lanes):
                        copy_vectors(whole, at + v, width, total, v, layout[ROW],
                                     min(rows_of_total, height - h))  # fmt: skip
                else:
                    compact(y[b, channel : channel + 1], total, LONG, p_0, total.size,
                            bias[channel:], layout)  # fmt: skip


@kernel
def weights_alone_kernel(chunk, out, x, g, offsets, sizes, layout, images, gradients):
    """out (G, K, outputs of a group) as weights_kernel, from x (B, G, D, H, W) and g (B, G * O,
    ...): images and gradients (CHUNKS, ...) for one channel of each, spread"""
    groups, positions, outputs = out.shape
    image, gradient, places = images[chunk], gradients[chunk], layout[PLACES]
    x_flat, g_flat, x_shape, g_shape = x.reshape(-1), g.reshape(-1), x.shape, g.shape
    x_size = x_shape[2] * x_shape[3] * x_shape[4]
    g_size = g_shape[2] * g_shape[3] * g_shape[4]
    own = part_of(groups, chunk)
    first = True
    for row in range(own.start, own.stop):
        out[row] = 0
        for b in range(len(x)):
            spread_again(image, x_flat, (b * groups + row) * x_size, x_shape, sizes, first)
            for o in range(outputs):
                at = (b * groups * outputs + row * outputs + o) * g_size
                spread_again(gradient, g_flat, at, g_shape, sizes[9:], first)
                first = False
                for k in range(positions):
                    given = image[offsets[k] : offsets[k] + places]
                    out[row, k, o] += dot(given, gradient[:places])


@kernel
def weights_kernel(t, out, images, gradients, offsets, layout, batch, rows_each, counters, edges,
                   spaces, turned):  # fmt: skip
    """out (parts, G, K * C, O): sums over some of the batch of images * gradients"""
    parts, groups, rows_all, outputs = out.shape
    volume, places = layout[CHANNEL], layout[PLACES]
    g_volume = places if layout[ALIGNED] else layout[ROW] * layout[HIGH] * layout[SIZE]
    channels = rows_all // len(offsets)
    flat, edge, space, rows_of = out.reshape(-1), edges[t], spaces[t], turned[t]
    width = columns_of(flat)
    lanes = width // VECTORS // max(1, layout[ALIGNED])
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
                r = 0
                while r < rows:  # some channels of a kernel position at a time
                    k, c = (r_0 + r) // channels, (r_0 + r) % channels
                    some = min(channels - c, rows - r)
                    at = b * layout[IMAGE] + offsets[k] + (g * channels + c) * volume
                    if layout[ALIGNED]:
                        for m in range(0, depth, lanes):
                            copy_parts(rows_of, r * depth + m, depth, images,
                                         at + place_of(p + m, layout), volume, some,
                                         layout[ALIGNED])  # fmt: skip
                    else:
                        for i in range(some):
                            to = rows_of[(r + i) * depth : (r + i + 1) * depth]
                            given = images[at + i * volume + p : at + i * volume + p + depth]
                            for m in range(depth):
                                to[m] = given[m]
                    r += some
                for j in range(0, outputs, PANEL):
                    columns = min(PANEL, outputs - j)
                    at = ((b * groups + g) * outputs + j) * g_volume + p
                    pack(space, 0, gradients, at, 1, g_volume, depth, columns)
                    multiply(flat, out_at + j, outputs, rows_of, 0, depth, 1, ROWS * depth, space,
                             0, depth * width, rows, columns, depth, not first, edge)  # fmt: skip
                first = False
        task = take(counters, TAKEN)
    reset(counters, len(spaces))


class Plan(NamedTuple):
    """How x (B, C, D, H, W) is spread, and which places of its images are summed to which outputs:
    `shifts` (phase, (d, h, w)) for each kernel position"""

    front: Triple
    stride: Triple
    room: Triple  # sizes of an image
    shifts: list[tuple[int, Triple]]
    start: Triple
    step: Triple
    size: Triple

    @property
    def volume(self) -> int:
        """Numbers of a channel's image"""
        return math.prod(self.room)

    def aligned(self, dtype: Any) -> int:
        """The parts in which a vector is cut for outputs that come in rows of whole ones, one
        behind the other, or 0"""
        if max(self.step) == 1 and max(self.start) == 0:
            for parts in VECTOR_PARTS:
                lanes = VECTOR_BYTES // np.dtype(dtype).itemsize // parts
                if lanes >= LEAST and self.size[2] % lanes == 0:
                    return parts
        return 0

    def offsets(self, channels: int) -> Any:
        """Where the window of place 0 finds each kernel position, in images of so many channels"""
        _, hs, ws = self.room
        places = [phase * channels * self.volume + (i * hs + j) * ws + k
                  for phase, (i, j, k) in self.shifts]  # fmt: skip
        return constant(np.array(places, np.int64))

    def sizes(self, *more: int) -> Any:
        """For spread_channel"""
        return constant(np.array([*self.front, *self.stride, *self.room, *more], np.int64))

    def layout(self, channels: int, aligned: int) -> Any:
        """For the kernels"""
        _, hs, ws = self.room
        high, wide = (self.size[1], self.size[2]) if aligned else (hs, ws)
        places = ((self.size[0] - 1) * high + self.size[1] - 1) * wide + self.size[2]
        image = math.prod(self.stride) * channels * self.volume
        numbers = [image, self.volume, ws, hs, places, wide, high, *self.start, *self.step,
                   *self.size, aligned]  # fmt: skip
        return constant(np.array(numbers, np.int64))

    def images(self, x: Any) -> Any:
        """x spread, flat; x itself where nothing has to move, and no vector reaches beyond it"""
        phases = math.prod(self.stride)
        as_it_is = phases == 1 and not max(self.front) and self.room == x.shape[2:]
        if as_it_is and self.aligned(x.dtype):
            return x.reshape(-1)
        out = np.empty(x.shape[0] * phases * x.shape[1] * self.volume + TAIL, x.dtype, like=x)
        spread_kernel(out, x, self.sizes())
        return out


def is_alone(channels: int, outputs: int) -> bool:
    """Whether a group has one channel and few outputs: images are spread where they are read"""
    return channels == 1 and outputs < FEW_ROWS


def images_of(plan: Plan, x: Any, channels: int, outputs: int) -> Any:
    """The images of x that `convolve` and `weights_gradient` read, for groups of that size"""
    return x[:0].reshape(-1) if is_alone(channels, outputs) else plan.images(x)


def convolve(y: Any, plan: Plan, x: Any, images: Any, w: Any, bias: Any) -> None:
    """Fill y (B, G * O, D, H, W), at start + step * (place < size), with the sums over w (G, O, K,
    C / G) of the shifted images of x; bias (G * O,) or (0,)"""
    if not (y.shape[0] and math.prod(plan.size)):
        return
    groups, outputs, positions, channels = w.shape
    dtype = y.dtype
    if channels == 0:  # sums of nothing
        y[...] = bias.reshape(-1, 1, 1, 1) if bias.size else 0
        return
    if is_alone(channels, outputs):
        convolve_alone_kernel(
            y, x, w, bias, plan.offsets(1), plan.sizes(), plan.layout(1, 0),
            workspace().get("image", dtype, CHUNKS, math.prod(plan.stride) * plan.volume),
            workspace().get("alone", dtype, CHUNKS, LONG),
        )  # fmt: skip
        return
    rows = -(-outputs // FEW_ROWS) * FEW_ROWS  # a tile of fewer waits for its own sums
    if rows > outputs:
        padded = np.zeros((groups, rows, positions, channels), dtype, like=w)
        padded[:, :outputs] = w
        w = padded
    threads = get_num_threads()
    convolve_kernel.run(
        threads, threads, y, images, w, bias, plan.offsets(x.shape[1]),
        plan.layout(x.shape[1], plan.aligned(dtype)), workspace().counters,
        workspace().get("convolve", dtype, threads, DEPTH * PANEL),
        workspace().get("convolved", dtype, threads, max(rows, BLOCK_ROWS) * PANEL),
    )  # fmt: skip


def weights_gradient(plan: Plan, x: Any, images: Any, g: Any, groups: int) -> Any:
    """(G, K * C / G, O / G): sums of images * g (B, O, D, H, W) over the batch and all places"""
    outputs, channels, dtype = g.shape[1] // groups, x.shape[1] // groups, g.dtype
    positions, threads, (_, hs, ws) = len(plan.shifts), get_num_threads(), plan.room
    aligned = plan.aligned(dtype)
    flat = Plan((0, 0, 0), (1, 1, 1), (plan.size[0], hs, ws), [], plan.start, plan.step, plan.size)
    if x.shape[0] * channels == 0:
        return np.zeros((groups, positions * channels, outputs), dtype, like=g)
    if is_alone(channels, outputs):
        out = np.empty((groups, positions, outputs), dtype, like=g)
        weights_alone_kernel(
            out, x, g, plan.offsets(1), plan.sizes(*flat.front, *flat.stride, *flat.room),
            plan.layout(1, 0),
            workspace().get("image", dtype, CHUNKS, math.prod(plan.stride) * plan.volume),
            workspace().get("gradient", dtype, CHUNKS, flat.volume),
        )  # fmt: skip
        return out
    gradients = g.reshape(-1) if aligned else flat.images(g)
    rows = positions * channels
    rows_each = min(2 * BLOCK_ROWS, rows)
    parts = max(1, min(x.shape[0], PARTS // max(1, groups * -(-rows // rows_each))))
    out = np.empty((parts, groups, rows, outputs), dtype, like=g)
    weights_kernel.run(
        threads, threads, out, images, gradients, plan.offsets(x.shape[1]),
        plan.layout(x.shape[1], aligned), x.shape[0], rows_each, workspace().counters,
        workspace().get("edges", dtype, threads, BLOCK_ROWS * columns_of(out)),
        workspace().get("convolve", dtype, threads, DEPTH * PANEL),
        workspace().get("shifted", dtype, threads, DEPTH * rows_each),
    )  # fmt: skip
    return out[0] if parts == 1 else np.sum(out, axis=0)

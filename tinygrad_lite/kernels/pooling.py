"""The loops of pooling, over windows that are given for each axis: see fused/pooling.py."""

from tinygrad_lite.kernels.compile import kernel, part_of


@kernel
def max_pool_kernel(chunk, y, places, x, windows, steps):
    """y and places (N, D', H', W'), x (N, D, H, W), windows (3, most, 3) of start, end and count,
    of which each holds an element"""
    rows = part_of(len(x), chunk)
    height, width = x.shape[2], x.shape[3]
    for n in range(rows.start, rows.stop):
        image = x[n].reshape(-1)
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for k in range(y.shape[3]):
                    first = windows[2, k, 0]
                    at = (windows[0, i, 0] * height + windows[1, j, 0]) * width + first
                    best = image[at]
                    d = windows[0, i, 0]  # no ranges: with a step, each begins with a division
                    while d < windows[0, i, 1]:
                        h = windows[1, j, 0]
                        while h < windows[1, j, 1]:
                            here = (d * height + h) * width + first
                            end = here + windows[2, k, 1] - first
                            while here < end:
                                value = image[here]
                                # no branch: half of all guesses would be wrong
                                larger = (value > best) | (value != value)
                                best = value if larger else best
                                at = here if larger else at
                                here += steps[2]
                            h += steps[1]
                        d += steps[0]
                    y[n, i, j, k] = best
                    places[n, i, j, k] = at


@kernel
def max_pool_backward(chunk, dx, g, places):
    """dx (N, D * H * W), g and places (N, outputs)"""
    rows = part_of(len(dx), chunk)
    for n in range(rows.start, rows.stop):
        dx[n] = 0
        for o in range(g.shape[1]):
            dx[n, places[n, o]] += g[n, o]


@kernel
def mean_pool_kernel(chunk, y, x, windows, divisor):
    """divisor: of each sum, or 0 for the count of its window"""
    rows = part_of(len(x), chunk)
    for n in range(rows.start, rows.stop):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for k in range(y.shape[3]):
                    total = 0.0
                    for d in range(windows[0, i, 0], windows[0, i, 1]):
                        for h in range(windows[1, j, 0], windows[1, j, 1]):
                            for w in range(windows[2, k, 0], windows[2, k, 1]):
                                total += x[n, d, h, w]
                    count = windows[0, i, 2] * windows[1, j, 2] * windows[2, k, 2]
                    y[n, i, j, k] = total / (divisor if divisor != 0 else count)


@kernel
def mean_pool_backward(chunk, dx, g, windows, divisor):
    rows = part_of(len(dx), chunk)
    for n in range(rows.start, rows.stop):
        dx[n] = 0
        for i in range(g.shape[1]):
            for j in range(g.shape[2]):
                for k in range(g.shape[3]):
                    count = windows[0, i, 2] * windows[1, j, 2] * windows[2, k, 2]
                    share = dx.dtype.type(g[n, i, j, k] / (divisor if divisor != 0 else count))
                    for d in range(windows[0, i, 0], windows[0, i, 1]):
                        for h in range(windows[1, j, 0], windows[1, j, 1]):
                            for w in range(windows[2, k, 0], windows[2, k, 1]):
                                dx[n, d, h, w] += share

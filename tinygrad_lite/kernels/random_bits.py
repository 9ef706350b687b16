"""Random bits by place: they follow from a key, a row and a column, and from nothing else.

Nothing is kept for the backward pass, threads share no state, and a part of a batch gets the bits
that it would get in the whole (counter-based, as Salmon and others 2011, "Parallel random numbers:
as easy as 1, 2, 3"). Key and row are mixed by the finalizer of SplitMix64 (Steele and others 2014),
these and the column by that of MurmurHash3 (Appleby 2011), whose two multiplications of 32 bits are
vector code in a kernel's loop.
"""

import numpy as np

from tinygrad_lite.kernels.functions import inlined

LOWER = np.uint64(0xFFFFFFFF)
_GOLDEN_64, _GOLDEN_32 = np.uint64(0x9E3779B97F4A7C15), np.uint32(0x9E3779B9)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_MIX_3, _MIX_4 = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
_13, _16, _32 = np.uint32(13), np.uint32(16), np.uint64(32)
_27, _30, _31 = np.uint64(27), np.uint64(30), np.uint64(31)


@inlined
def row_bits(key, row):
    """64 bits for a row, a number, of what the key (uint64) stands for"""
    x = np.uint64(key + np.uint64(row + 1) * _GOLDEN_64)
    x = np.uint64((x ^ (x >> _30)) * _MIX_1)
    x = np.uint64((x ^ (x >> _27)) * _MIX_2)
    return np.uint64(x ^ (x >> _31))


@inlined
def bits_at(lower, upper, column):
    """32 bits for a column of the row whose bits' lower and upper halves (uint32) these are"""
    x = np.uint32(np.uint32(np.uint32(column) * _GOLDEN_32) + lower)
    x = np.uint32(np.uint32(x ^ np.uint32(x >> _16)) * _MIX_3)
    x = np.uint32(x ^ upper)
    x = np.uint32(np.uint32(x ^ np.uint32(x >> _13)) * _MIX_4)
    return np.uint32(x ^ np.uint32(x >> _16))


@inlined
def drop(y, x, key, row, limit, scale):
    """y (C,) = x (C,) * scale, or * 0 where the bits of the place are below the limit"""
    bits = row_bits(key, row)
    lower, upper = np.uint32(bits & LOWER), np.uint32(bits >> _32)
    nothing = scale - scale
    for j in range(x.size):
        y[j] = x[j] * (scale if bits_at(lower, upper, j) >= limit else nothing)

"""The CPU that Numba compiles for: its vector registers, and the tile of the matrix product that
fills them."""

import ctypes
import functools
import platform
import sys

import llvmlite.binding as llvm
import numba
import numpy as np
from numba.extending import overload

# Every 64-bit ARM has NEON; whether LLVM lists it among the features differs by system
IS_ARM = platform.machine().lower() in ("aarch64", "arm64")


def _features() -> str:
    """ "+avx2,-avx512f,..." """
    features = numba.config.CPU_FEATURES
    if features is None:
        features = llvm.get_host_cpu_features().flatten()
    return features


def has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 numbers (AVX512-BF16), and LLVM has a type for them, as
    from Numba 0.62 on: else it is done in software."""
    return "+avx512bf16" in _features() and llvm.llvm_version_info >= (20,)


@functools.cache
def has_amx() -> bool:
    """Whether the CPU multiplies tiles of bfloat16 numbers (AMX-BF16), and this process may: Linux
    keeps the tile registers only of processes that have asked for them."""
    wanted = {"+amx-tile", "+amx-bf16"} <= set(_features().split(","))
    vectors, _ = _vector_bytes_and_registers()  # of which tiles are packed
    return wanted and has_bfloat16() and vectors == 64 and _may_use_tiles()


def _may_use_tiles() -> bool:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    arch_prctl, request, tile_data = 158, 0x1023, 18  # ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return ctypes.CDLL(None).syscall(arch_prctl, request, tile_data) == 0


# Intel's: on a Sapphire and an Emerald Rapids AVX512-BF16 products are slower than float32 ones
SLOW_PAIRS = ("cooperlake", "sapphirerapids", "emeraldrapids", "graniterapids")


def prefers_bfloat16() -> bool:
    """Whether products are faster in bfloat16 than in float32: with AMX, and with AVX512-BF16 on
    AMD's"""
    name = numba.config.CPU_NAME or llvm.get_host_cpu_name()
    return has_amx() or (has_bfloat16() and not name.startswith(SLOW_PAIRS))


def has_int8_products() -> bool:
    """Whether the CPU adds products of four int8 numbers at once (VNNI)"""
    features = _features()
    return "+avxvnni" in features.split(",") or (
        "+avx512vnni" in features and "+avx512vl" in features
    )


def _vector_bytes_and_registers() -> tuple[int, int]:
    features = _features()
    if "+avx512f" in features:
        return 64, 32
    if "+avx" in features:
        return 32, 16
    return 16, 32 if IS_ARM else 16


VECTOR_BYTES, _REGISTERS = _vector_bytes_and_registers()
# Accumulators fill most registers; the others hold a row of B and a broadcast number of A.
ROWS = 12 if _REGISTERS == 32 else 6
VECTORS = 2  # vectors in a row of a tile
FEW_ROWS = 4  # the last rows of a block that is no multiple of ROWS go in fours, then singly
SQUARE = VECTOR_BYTES // 4  # side of the squares that are transposed in registers
TILE = 16  # rows of a tile register of AMX, and words in a row
COLUMNS_FLOAT32 = VECTORS * VECTOR_BYTES // 4
COLUMNS_FLOAT64 = VECTORS * VECTOR_BYTES // 8


def columns_of(array):
    """Width of a tile for the dtype of an array, or of Numba's type of one"""
    dtype = array.dtype
    bits = 8 * dtype.itemsize if isinstance(dtype, np.dtype) else dtype.bitwidth
    return COLUMNS_FLOAT64 if bits == 64 else COLUMNS_FLOAT32


@overload(columns_of)
def _overload_columns_of(array):
    width = columns_of(array)
    return lambda array: width


def in_tiles(packed):
    """Whether AMX multiplies what is packed in an array, or one of Numba's type: pairs"""
    return str(packed.dtype) == "uint32" and has_amx()


@overload(in_tiles)
def _overload_in_tiles(packed):
    tiled = in_tiles(packed)
    return lambda packed: tiled

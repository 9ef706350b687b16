"""Packing for the matrix product: parts of A and B copied to strips, in the order in which `tile`
reads them.

A strip is a list of rows of words, one row for each step of `tile`. In float32 and float64 a word
is a number, and there is a row for each k. In bfloat16 a word has 32 bits and holds the rounded
numbers of k and k + 1, the first in its lower half; where k + 1 is absent, 0. The dtype of the
packed array says which: uint32 means pairs. For AMX, which multiplies TILE rows of words at once,
rows of zeros follow, and A is packed by `pack_tiles`.

Whole strips are copied by vectors (`copy_strips`, `turn_strip`, `pair_row`, with twins in Python
that say the same), edges number by number.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from tinygrad_lite.kernels.cpu import (
    FEW_ROWS,
    ROWS,
    SQUARE,
    TILE,
    VECTORS,
    columns_of,
    has_bfloat16,
    in_tiles,
)
from tinygrad_lite.kernels.functions import inlined
from tinygrad_lite.kernels.tile import BFloat16


def numbers_in(packed):
    """How many numbers a word of the packed array holds"""
    return 2 if packed.dtype == np.uint32 else 1


@overload(numbers_in)
def _overload_numbers_in(packed):
    numbers = 2 if packed.dtype == types.uint32 else 1
    return lambda packed: numbers


def pairs_or_numbers(packed, x):
    """What `tile` reads of an A that needs no turning: pairs have been packed, numbers are in x"""
    return packed if packed.dtype == np.uint32 else x


@overload(pairs_or_numbers)
def _overload_pairs_or_numbers(packed, x):
    if packed.dtype == types.uint32:
        return lambda packed, x: packed
    return lambda packed, x: x


@inlined
def words_of(packed, depth):
    """Rows of words in a strip of `depth` numbers"""
    return (depth + numbers_in(packed) - 1) // numbers_in(packed)


@inlined
def rows_of_strip(packed, depth):
    """Rows of words in a strip, with the rows of zeros after which it ends"""
    words = words_of(packed, depth)
    return max(TILE, (words + TILE - 1) // TILE * TILE) if in_tiles(packed) else words


@inlined
def rounded(x):
    """The nearest bfloat16 of a float32 (ties to even), as an integer of 16 bits"""
    bits = np.float32(x).view(np.uint32)
    if (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000):  # NaN: keep it one
        return (bits | np.uint32(0x00400000)) >> np.uint32(16)
    return (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)


def word(packed, x, next_k, left):
    """The word of x[0] and, if numbers are `left` for it, of x[next_k]"""
    if packed.dtype != np.uint32:
        return x[0]
    return _pair(x, next_k, left)


@inlined
def _pair(x, next_k, left):
    upper = rounded(x[next_k]) << np.uint32(16) if left > 1 else np.uint32(0)
    return rounded(x[0]) | upper


@overload(word)
def _overload_word(packed, x, next_k, left):
    if packed.dtype != types.uint32:
        return lambda packed, x, next_k, left: x[0]
    return lambda packed, x, next_k, left: _pair(x, next_k, left)


@inlined
def pack_edge(packed, at, width, x, x_at, x_k, x_column, first, depth, columns):
    """Rows `first` and on of a strip at packed[at], word by word; absent columns are zeros.

    X[k, j] = x[x_at + k * x_k + j * x_column], with k < depth and j < columns <= width
    """
    numbers = numbers_in(packed)
    for row in range(first, words_of(packed, depth)):
        to = packed[at + row * width : at + (row + 1) * width]
        k = row * numbers
        for j in range(columns):
            to[j] = word(packed, x[x_at + k * x_k + j * x_column :], x_k, depth - k)
        for j in range(columns, width):
            to[j] = 0


@inlined
def pack(packed, at, b, b_at, b_row, b_column, depth, columns):
    """Copy B (depth, columns), B[k, j] = b[b_at + k * b_row + j * b_column], to strips.

    Strip s holds columns s * COLUMNS and on.
    """
    width, words = columns_of(packed), words_of(packed, depth)
    strips, whole = columns // width, depth // numbers_in(packed)
    strip = rows_of_strip(packed, depth) * width
    if b_column == 1:
        copy_columns(packed, at, strip, b, b_at, b_row, strips, whole)
    else:
        whole = whole // SQUARE * SQUARE if b_row == 1 else 0
        for s in range(strips):
            turn_strip(packed, at + s * strip, b, b_at + s * width * b_column, b_column, whole)
    for s in range(strips):
        source = b_at + s * width * b_column
        pack_edge(packed, at + s * strip, width, b, source, b_row, b_column, whole, depth, width)
    rest, source = columns - strips * width, b_at + strips * width * b_column
    if rest:
        pack_edge(packed, at + strips * strip, width, b, source, b_row, b_column, 0, depth, rest)
    for s in range(strips + (rest > 0)):
        packed[at + s * strip + words * width : at + (s + 1) * strip] = 0


@inlined
def in_strips(rows):
    """How many of `rows` rows go in strips of ROWS; the rest go by FEW_ROWS, as far as it can be,
    because a tile with a single row waits for its own sums."""
    whole = rows // ROWS * ROWS
    return whole - ROWS if rows - whole == 2 * FEW_ROWS - ROWS and whole else whole


@inlined
def pack_transposed_rows(packed, at, a, a_at, lda, rows, depth):
    """Copy `rows` rows of a transposed A, A[i, k] = a[a_at + k * lda + i]: strips of ROWS rows,
    then one strip with the rest."""
    strips, whole = in_strips(rows) // ROWS, depth // numbers_in(packed)
    words = words_of(packed, depth)
    strip = ROWS * words
    copy_rows(packed, at, strip, a, a_at, lda, strips, whole)
    for s in range(strips):
        pack_edge(packed, at + s * strip, ROWS, a, a_at + s * ROWS, lda, 1, whole, depth, ROWS)
    rest = rows - strips * ROWS
    if rest:
        pack_edge(packed, at + strips * strip, rest, a, a_at + strips * ROWS, lda, 1, 0, depth,
                  rest)  # fmt: skip


@inlined
def pair_rows(packed, at, a, a_at, lda, rows, depth):
    """Copy rows of A, A[i, k] = a[a_at + i * lda + k], to rows of words."""
    words, whole = words_of(packed, depth), depth // (2 * SQUARE) * SQUARE
    for i in range(rows):
        pair_row(packed, at + i * words, SQUARE, a, a_at + i * lda, whole // SQUARE)
        pack_edge(packed, at + i * words, 1, a, a_at + i * lda, 1, 0, whole, depth, 1)


@inlined
def pack_tiles(packed, at, a, a_at, a_row, a_column, rows, depth):
    """Copy `rows` rows of A, A[i, k] = a[a_at + i * a_row + k * a_column], to tiles of TILE rows of
    TILE words: all tiles of the first rows, then those of the next. Zeros follow the last k; what
    is below the last row is left as it is."""
    words, across = words_of(packed, depth), rows_of_strip(packed, depth) // TILE
    size, whole = TILE * TILE, depth // (2 * TILE)
    turned = rows // TILE if a_column != 1 else 0
    for w in range(whole if a_column != 1 else 0):
        for i in range(turned):
            source = a_at + i * TILE + 2 * w * TILE * a_column
            turn_tile(packed, at + (i * across + w) * size, a, source, a_column)
    if a_column == 1:
        for i in range(rows):
            to = at + i // TILE * across * size + i % TILE * TILE
            pair_row(packed, to, size, a, a_at + i * a_row, whole)
    for i in range(rows):
        first = whole if a_column == 1 or i < turned * TILE else 0
        for w in range(first * TILE, across * TILE):
            to = at + (i // TILE * across + w // TILE) * size + i % TILE * TILE + w % TILE
            if w < words:
                source = a_at + i * a_row + 2 * w * a_column
                packed[to] = word(packed, a[source:], a_column, depth - 2 * w)
            else:
                packed[to] = 0


def copy_in_python(width_of: Any) -> Any:
    """Cut a matrix, X[k, j] = x[x_at + k * x_row + j], into strips that are width_of(x) wide and
    begin `strip` words apart, each with `words` rows of words."""

    def copy(packed, at, strip, x, x_at, x_row, strips, words):
        width, numbers = width_of(x), numbers_in(packed)
        for s in range(strips):
            source, to = x_at + s * width, at + s * strip
            pack_edge(packed, to, width, x, source, x_row, 1, 0, words * numbers, width)

    return copy


def turn_strip_in_python(packed, at, b, b_at, b_column, words):
    """A strip of a B that lies transposed, B[k, j] = b[b_at + k + j * b_column]; the number of
    words is a multiple of SQUARE"""
    width, depth = columns_of(packed), words * numbers_in(packed)
    pack_edge(packed, at, width, b, b_at, 1, b_column, 0, depth, width)


def pair_row_in_python(packed, at, step, x, x_at, count):
    """Words of pairs of numbers that follow each other: `count` times SQUARE words, each `step`
    words after the one before"""
    for n in range(count):
        pack_edge(packed, at + n * step, 1, x, x_at + n * 2 * SQUARE, 1, 0, 0, 2 * SQUARE, 1)


def turn_tile_in_python(packed, at, a, a_at, a_column):
    """TILE rows of TILE words of an A that lies transposed, A[i, k] = a[a_at + i + k * a_column]"""
    for i in range(TILE):
        pack_edge(packed, at + i * TILE, 1, a, a_at + i, a_column, 0, 0, 2 * TILE, 1)


class _Vectors:
    """Vectors of numbers and of words at places in two arrays, in LLVM"""

    def __init__(self, context: Any, builder: ir.IRBuilder, sig: Any, args: Any):
        self.builder = builder
        packed, x = sig.args[0], next(t for t in sig.args[1:] if isinstance(t, types.Array))
        self.pairs = packed.dtype == types.uint32
        self.word, self.number = (context.get_data_type(t.dtype) for t in (packed, x))
        self.to_align, self.from_align = packed.dtype.bitwidth // 8, x.dtype.bitwidth // 8
        i = sig.args.index(x, 1)
        self.packed, self.x = (
            builder.gep(context.make_array(sig.args[at])(context, builder, args[at]).data,
                        [args[at + offset]])
            for at, offset in ((0, 1), (i, 1))
        )  # fmt: skip

    def load(self, offset: ir.Value, lanes: int) -> ir.Value:
        kind = ir.VectorType(self.number, lanes).as_pointer()
        place = self.builder.bitcast(self.builder.gep(self.x, [offset]), kind)
        return self.builder.load(place, align=self.from_align)

    def store(self, value: ir.Value, offset: ir.Value) -> None:
        place = self.builder.gep(self.packed, [offset])
        place = self.builder.bitcast(place, value.type.as_pointer())
        self.builder.store(value, place, align=self.to_align)

    def shuffle(self, a: ir.Value, b: ir.Value, picks: list[int]) -> ir.Value:
        kind = ir.VectorType(ir.IntType(32), len(picks))
        return self.builder.shuffle_vector(a, b, ir.Constant(kind, picks))

    def narrow(self, x: ir.Value) -> ir.Value:
        """Numbers rounded to bfloat16, as integers of 16 bits: the vector code of `rounded`"""
        builder, n = self.builder, x.type.count
        if has_bfloat16():
            padded = self.shuffle(x, x, [min(i, n - 1) for i in range(-(-n // 16) * 16)])
            half = builder.fptrunc(padded, ir.VectorType(BFloat16(), padded.type.count))
            half = builder.bitcast(half, ir.VectorType(ir.IntType(16), padded.type.count))
            return self.shuffle(half, half, list(range(n)))
        kind = ir.VectorType(ir.IntType(32), n)

        def constant(value: int) -> ir.Constant:
            return ir.Constant(kind, [value] * n)

        bits = builder.bitcast(x, kind)
        odd = builder.and_(builder.lshr(bits, constant(16)), constant(1))
        up = builder.add(bits, builder.add(odd, constant(0x7FFF)))
        nan = builder.or_(bits, constant(0x00400000))
        up = builder.select(builder.fcmp_unordered("uno", x, x), nan, up)
        return builder.trunc(builder.lshr(up, constant(16)), ir.VectorType(ir.IntType(16), n))

    def words_across(self, low: ir.Value, high: ir.Value) -> ir.Value:
        """Words of the numbers in the same lanes of two vectors"""
        n = low.type.count
        picks = [i for pair in zip(range(n), range(n, 2 * n), strict=True) for i in pair]
        both = self.shuffle(self.narrow(low), self.narrow(high), picks)
        return self.builder.bitcast(both, ir.VectorType(self.word, n))

    def words_along(self, offset: ir.Value) -> ir.Value:
        """SQUARE words of numbers that follow each other"""
        if not self.pairs:
            return self.load(offset, SQUARE)
        numbers = self.narrow(self.load(offset, 2 * SQUARE))
        return self.builder.bitcast(numbers, ir.VectorType(self.word, SQUARE))

    def transposed(self, rows: list[ir.Value]) -> list[ir.Value]:
        """A square: in each round, pairs of rows exchange halves of their blocks of 1, 2, 4, ...
        words."""
        rows, size = list(rows), 1
        while size < len(rows):
            for i in range(len(rows)):
                if not i & size:
                    pair = rows[i], rows[i + size]
                    rows[i], rows[i + size] = (
                        self.shuffle(*pair, picks) for picks in _exchange(size)
                    )
            size *= 2
        return rows


_WORD = ir.IntType(64)
_i64 = types.int64


def _copy_in_llvm(width_of: Any) -> Any:
    """The same with vector moves: for a loop over numbers LLVM must fear that arrays overlap. A row
    of memory is read from end to end before the next one: each cache line is touched once."""

    @intrinsic
    def copy(typing, packed, at, strip, x, x_at, x_row, strips, words):
        def generate(context, builder, sig, args):
            vectors, width = _Vectors(context, builder, sig, args), width_of(sig.args[0])
            strip, (x_row, strips, words) = args[2], args[5:]
            k_step = builder.mul(x_row, _WORD(2)) if vectors.pairs else x_row
            with cgutils.for_range(builder, words) as k, cgutils.for_range(builder, strips) as s:
                source = builder.add(
                    builder.mul(k.index, k_step), builder.mul(s.index, _WORD(width))
                )
                row = vectors.load(source, width)
                if vectors.pairs:
                    row = vectors.words_across(row, vectors.load(builder.add(source, x_row), width))
                to = builder.add(builder.mul(s.index, strip), builder.mul(k.index, _WORD(width)))
                vectors.store(row, to)
            return context.get_dummy_value()

        return types.void(packed, _i64, _i64, x, _i64, _i64, _i64, _i64), generate

    return copy


VECTOR_PARTS = 1, 2, 4  # of which each is a whole, a half, or a quarter of a vector


def copy_parts_in_python(packed, at, step, x, x_at, x_row, count, parts):
    """`count` times one of the `parts` of a vector: packed[at + k * step] and on =
    x[x_at + k * x_row] and on"""
    lanes = columns_of(packed) // VECTORS // parts
    for k in range(count):
        to, source = at + k * step, x_at + k * x_row
        packed[to : to + lanes] = x[source : source + lanes]


def copy_vectors_in_python(packed, at, step, x, x_at, x_row, count):
    copy_parts_in_python(packed, at, step, x, x_at, x_row, count, 1)


def _generate_copy(context, builder, sig, args, part):
    vectors = _Vectors(context, builder, sig, args)
    lanes = columns_of(sig.args[0]) // VECTORS // part
    with cgutils.for_range(builder, args[6]) as k:
        row = vectors.load(builder.mul(k.index, args[5]), lanes)
        vectors.store(row, builder.mul(k.index, args[2]))


@intrinsic
def _copy_vectors_in_llvm(typing, packed, at, step, x, x_at, x_row, count):
    def generate(context, builder, sig, args):
        _generate_copy(context, builder, sig, args, 1)
        return context.get_dummy_value()

    return types.void(packed, _i64, _i64, x, _i64, _i64, _i64), generate


@intrinsic
def _copy_parts_in_llvm(typing, packed, at, step, x, x_at, x_row, count, parts):
    def generate(context, builder, sig, args):
        for part in (p for p in VECTOR_PARTS if p <= columns_of(sig.args[0]) // VECTORS):
            with builder.if_then(builder.icmp_signed("==", args[7], _WORD(part))):
                _generate_copy(context, builder, sig, args, part)
        return context.get_dummy_value()

    return types.void(packed, _i64, _i64, x, _i64, _i64, _i64, _i64), generate


@intrinsic
def _turn_strip_in_llvm(typing, packed, at, b, b_at, b_column, words):
    """Squares of SQUARE x SQUARE words are transposed in registers."""

    def generate(context, builder, sig, args):
        vectors, width = _Vectors(context, builder, sig, args), columns_of(sig.args[0])
        b_column, words = args[4:]
        with cgutils.for_range(builder, builder.udiv(words, _WORD(SQUARE))) as square:
            row = builder.mul(square.index, _WORD(SQUARE))
            k = builder.mul(row, _WORD(2)) if vectors.pairs else row
            for group in range(0, width, SQUARE):
                rows = [
                    vectors.words_along(builder.add(builder.mul(b_column, _WORD(group + i)), k))
                    for i in range(SQUARE)
                ]
                for i, transposed in enumerate(vectors.transposed(rows)):
                    to = builder.mul(builder.add(row, _WORD(i)), _WORD(width))
                    vectors.store(transposed, builder.add(to, _WORD(group)))
        return context.get_dummy_value()

    return types.void(packed, _i64, b, _i64, _i64, _i64), generate


def _exchange(size: int) -> tuple[list[int], list[int]]:
    """For two rows x, y: x with its odd blocks of `size` words replaced by y's even ones, and y
    with its even blocks replaced by x's odd ones"""
    at = range(SQUARE)
    low = [i if not i & size else SQUARE + i - size for i in at]
    high = [i + size if not i & size else SQUARE + i for i in at]
    return low, high


@intrinsic
def _pair_row_in_llvm(typing, packed, at, step, x, x_at, count):
    def generate(context, builder, sig, args):
        vectors = _Vectors(context, builder, sig, args)
        with cgutils.for_range(builder, args[5]) as block:
            source = builder.mul(block.index, _WORD(2 * SQUARE))
            vectors.store(vectors.words_along(source), builder.mul(block.index, args[2]))
        return context.get_dummy_value()

    return types.void(packed, _i64, _i64, x, _i64, _i64), generate


@intrinsic
def _turn_tile_in_llvm(typing, packed, at, a, a_at, a_column):
    def generate(context, builder, sig, args):
        vectors, rows = _Vectors(context, builder, sig, args), []
        for k in range(0, 2 * TILE, 2):
            low, high = (
                vectors.load(builder.mul(args[4], _WORD(k + half)), TILE) for half in (0, 1)
            )
            rows.append(vectors.words_across(low, high))
        for i, row in enumerate(vectors.transposed(rows)):
            vectors.store(row, _WORD(i * TILE))
        return context.get_dummy_value()

    return types.void(packed, _i64, a, _i64, _i64), generate


if numba.config.DISABLE_JIT:
    copy_columns, copy_rows = copy_in_python(columns_of), copy_in_python(lambda array: ROWS)
    turn_strip, pair_row, turn_tile = turn_strip_in_python, pair_row_in_python, turn_tile_in_python
    copy_vectors, copy_parts = copy_vectors_in_python, copy_parts_in_python
else:
    copy_columns, copy_rows = _copy_in_llvm(columns_of), _copy_in_llvm(lambda array: ROWS)
    turn_strip, pair_row, turn_tile = _turn_strip_in_llvm, _pair_row_in_llvm, _turn_tile_in_llvm
    copy_vectors, copy_parts = _copy_vectors_in_llvm, _copy_parts_in_llvm

"""Small data: batches of arrays, and readers for the formats that it comes in.

Nothing here uses a network. A reader checks what it reads and says what is wrong with a file;
`progress(done, all)`, bytes, or files of several, is called on the way where one is given.
"""

import csv
import gzip
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_lite.tensor import Tensor

Progress = Callable[[int, int], None]
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
CIFAR = 3 * 32 * 32  # bytes of an image
PIECE = 1 << 20  # bytes that are read at a time


def batches(
    arrays: Sequence[Any], batch_size: int, shuffle: bool = True, seed: Any = None,
    drop_last: bool = False,
) -> Iterator[tuple[Tensor, ...]]:  # fmt: skip
    """Tuples of Tensors, the same rows of each array: one pass over all of them.

    shuffle     in another order in each pass, drawn from `seed`, a number or a Generator; a number
                gives the same order in each pass
    drop_last   without what does not fill a batch
    """
    given = [a.numpy() if isinstance(a, Tensor) else np.asarray(a) for a in arrays]
    if not given or any(a.ndim == 0 or len(a) != len(given[0]) for a in given):
        raise ValueError(
            "batches: arrays have one row for each example.\n"
            f"  got shapes {[a.shape for a in given]}\n  try arrays of equal length"
        )
    if batch_size < 1:
        raise ValueError(f"batches: a batch has an example.\n  got {batch_size}\n  try 32")
    if shuffle and seed is None:
        raise ValueError(
            "batches: random orders are drawn from a seed.\n"
            "  got shuffle=True without one\n  try seed=numpy.random.default_rng(0), or seed=0"
        )
    return _batches(given, batch_size, shuffle, seed, drop_last)


def _batches(
    arrays: list[np.ndarray], size: int, shuffle: bool, seed: Any, drop_last: bool
) -> Iterator[tuple[Tensor, ...]]:
    n = len(arrays[0])
    order = np.random.default_rng(seed).permutation(n) if shuffle else np.arange(n)
    for start in range(0, n - size + 1 if drop_last else n, size):
        rows = order[start : start + size]
        yield tuple(Tensor(a[rows]) for a in arrays)


def _bytes_of(path: str | Path, progress: Progress | None) -> bytes:
    """All of a file, decompressed if it is gzip"""
    path, parts, done = Path(path), [], 0
    size = path.stat().st_size
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            parts.append(piece)
            done += len(piece)
            if progress is not None:
                progress(done, size)
    data = b"".join(parts)
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise _wrong(path, f"is no whole gzip file: {error}") from error


def _wrong(path: str | Path, what: str) -> ValueError:
    return ValueError(
        "data: a file is whole, and in the format that it is read in.\n"
        f"  got {path}, which {what}\n"
        "  try another copy of it"
    )


def read_idx(path: str | Path, progress: Progress | None = None) -> np.ndarray:
    """The array of an IDX file, that of MNIST, also if it is compressed by gzip: (N,) labels or
    (N, height, width) images, in the machine's byte order"""
    data = _bytes_of(path, progress)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in IDX_TYPES:
        raise _wrong(path, "does not begin as IDX files do")
    kind, axes = np.dtype(IDX_TYPES[data[2]]), data[3]
    start = 4 + 4 * axes
    if len(data) < start:
        raise _wrong(path, "ends within its sizes")
    if axes > 32:
        raise _wrong(path, f"has {axes} axes")
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    count = 1
    for n in shape:
        count *= n
    given, wanted = len(data) - start, count * kind.itemsize
    if given != wanted:
        raise _wrong(
            path,
            f"has {len(data) - start} bytes of numbers and should have {count * kind.itemsize}",
        )
    try:
        array = np.frombuffer(data, kind, offset=start).reshape(shape)
    except ValueError as error:  # axes without elements, longer than there can be
        raise _wrong(path, f"has sizes {shape}") from error
    return array.astype(kind.newbyteorder("="))


def read_cifar(
    paths: Sequence[str | Path], labels: int = 1, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(images (N, 3, 32, 32) uint8, labels (N,) or (N, labels) int64) of CIFAR's binary files;
    labels=2 for CIFAR-100, whose images have a coarse and a fine one"""
    parts = []
    for number, path in enumerate(paths):
        data = _bytes_of(path, None)
        if not data or len(data) % (labels + CIFAR):
            raise _wrong(path, f"is no multiple of {labels + CIFAR} bytes long")
        parts.append(np.frombuffer(data, np.uint8).reshape(-1, labels + CIFAR))
        if progress is not None:
            progress(number + 1, len(paths))
    if not parts:
        raise ValueError("data: there is a file to read.\n  got none\n  try a list of paths")
    rows = np.concatenate(parts)
    found = rows[:, :labels].astype(np.int64)
    return rows[:, labels:].reshape(-1, 3, 32, 32).copy(), found[:, 0] if labels == 1 else found


def read_numpy(path: str | Path) -> Any:
    """The array of a .npy file, or {name: array} of a .npz file; none with pickled objects"""
    try:
        with Path(path).open("rb") as file:
            found = np.load(file, allow_pickle=False)
            return found if isinstance(found, np.ndarray) else {n: found[n] for n in found.files}
    except (ValueError, EOFError, OSError, KeyError, SyntaxError, zlib.error,
            zipfile.BadZipFile, tokenize.TokenError) as error:  # fmt: skip
        if isinstance(error, FileNotFoundError):
            raise
        raise _wrong(path, f"NumPy does not read: {error}") from error


def read_csv(
    path: str | Path, header: bool = True, delimiter: str = ","
) -> tuple[list[str], np.ndarray]:
    """(names of columns, table (N, columns) float64) of a file of numbers; ValueError names the
    first line that has other columns, or something else than a number, and a header of numbers"""
    try:
        return _table_of(path, header, delimiter)
    except (UnicodeDecodeError, csv.Error) as error:
        raise _wrong(path, f"is no text of that form: {error}") from error


def _number_of(cell: str) -> float:
    if "_" in cell:  # Python's own way to group digits
        raise ValueError(f"{cell!r} is no number")
    return float(cell)


def _table_of(path: str | Path, header: bool, delimiter: str) -> tuple[list[str], np.ndarray]:
    names: list[str] = []
    rows: list[list[float]] = []
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=delimiter)
        for cells in reader:
            if not cells:
                continue
            if header and not names:
                names = [cell.strip() for cell in cells]
                if all(_is_number(name) for name in names):
                    raise _wrong(path, "begins with numbers, not with names: header=False reads it")
                continue
            try:
                rows.append([_number_of(cell) for cell in cells])
            except ValueError as error:
                raise _wrong(path, f"has in line {reader.line_num}: {error}") from error
            if len(rows[-1]) != len(rows[0]) or (names and len(rows[-1]) != len(names)):
                raise _wrong(path, f"has {len(cells)} columns in line {reader.line_num}")
    width = len(rows[0]) if rows else len(names)
    names = names or [str(i) for i in range(width)]
    return names, np.array(rows, float).reshape(len(rows), width)


def _is_number(cell: str) -> bool:
    try:
        _number_of(cell)
    except ValueError:
        return False
    return True


def _from_sklearn(name: str) -> Any:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            f"data.{name}: this set ships inside scikit-learn.\n  got no scikit-learn\n"
            "  try pip install scikit-learn"
        ) from error
    return getattr(datasets, f"load_{name}")()


def digits() -> tuple[np.ndarray, np.ndarray]:
    """(images (1797, 1, 8, 8) float32 from 0 to 1, labels (1797,) int64): handwritten digits, from
    scikit-learn (UCI's "Optical Recognition of Handwritten Digits", 1998)"""
    found = _from_sklearn("digits")
    return (found.images[:, None] / 16).astype(np.float32), found.target.astype(np.int64)


def iris() -> tuple[np.ndarray, np.ndarray]:
    """(measurements (150, 4) float32 in cm, species (150,) int64), from scikit-learn (Fisher
    1936)"""
    found = _from_sklearn("iris")
    return found.data.astype(np.float32), found.target.astype(np.int64)


def split(
    arrays: Sequence[np.ndarray], share: float, seed: Any
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(the rest, a random `share`) of the rows of each array, for training and for testing"""
    if not 0 < share < 1 or len({len(a) for a in arrays}) != 1:
        raise ValueError(
            "split: a share lies between 0 and 1, and arrays have equal length.\n"
            f"  got {share} of {[len(a) for a in arrays]}\n  try 0.2"
        )
    order = np.random.default_rng(seed).permutation(len(arrays[0]))
    cut = round(share * len(order))
    return [a[order[cut:]] for a in arrays], [a[order[:cut]] for a in arrays]

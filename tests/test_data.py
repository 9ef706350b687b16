"""Batches, and what readers read and refuse."""

import gzip
import struct

import numpy as np
import pytest

import tinygrad_lite as tg
from tinygrad_lite import data


def test_batches_are_a_pass_over_all():
    x, y = np.arange(10), np.arange(10) * 2.0
    found = list(data.batches([x, y], 4, seed=0))
    assert [len(a) for a, _ in found] == [4, 4, 2]
    assert sorted(np.concatenate([a.numpy() for a, _ in found])) == list(range(10))
    assert all((b.numpy() == 2 * a.numpy()).all() for a, b in found)
    again = list(data.batches([x, y], 4, seed=0))
    assert all((a[0].numpy() == b[0].numpy()).all() for a, b in zip(found, again, strict=True))
    rng = np.random.default_rng(0)
    first, second = (next(iter(data.batches([x], 10, seed=rng)))[0].numpy() for _ in range(2))
    assert (first != second).any()
    plain = list(data.batches([tg.Tensor(x)], 4, shuffle=False, drop_last=True))
    assert [b[0].numpy().tolist() for b in plain] == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: data.batches([np.arange(3), np.arange(4)], 2, seed=0), "one row for each"),
        (lambda: data.batches([], 2, seed=0), "one row for each"),
        (lambda: data.batches([np.arange(3)], 0, seed=0), "a batch has an example"),
        (lambda: data.batches([np.arange(3)], 2), "drawn from a seed"),
        (lambda: data.split([np.arange(3)], 1.5, 0), "a share lies between"),
        (lambda: data.read_cifar([]), "a file to read"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n  try " in str(error.value)


def idx(array, code):
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(data.IDX_TYPES[code]).tobytes()


@pytest.mark.parametrize("code", data.IDX_TYPES)
@pytest.mark.parametrize("packed", [False, True])
def test_idx(tmp_path, code, packed):
    array = np.arange(24).reshape(2, 3, 4)
    path, told = tmp_path / "images", []
    path.write_bytes(gzip.compress(idx(array, code)) if packed else idx(array, code))
    found = data.read_idx(path, lambda done, total: told.append((done, total)))
    np.testing.assert_array_equal(found, array)
    assert found.dtype.isnative
    assert told[-1][0] == told[-1][1] == path.stat().st_size


def test_damaged_idx_files_are_refused(tmp_path):
    whole, path = idx(np.arange(24).reshape(2, 3, 4), 0x08), tmp_path / "images"
    packed = gzip.compress(whole)
    for wrong in (b"", whole[:3], whole[:10], whole[:-1], whole + b"0", b"\1" + whole[1:],
                  packed[:-9], packed[:20] + b"?" + packed[21:]):  # fmt: skip
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match="a file is whole"):
            data.read_idx(path)


@pytest.mark.parametrize("labels", [1, 2])
def test_cifar(tmp_path, labels):
    rows = np.random.default_rng(0).integers(0, 256, (3, labels + 3072), np.uint8)
    (tmp_path / "a").write_bytes(rows[:2].tobytes())
    (tmp_path / "b").write_bytes(rows[2:].tobytes())
    images, found = data.read_cifar([tmp_path / "a", tmp_path / "b"], labels)
    np.testing.assert_array_equal(images.reshape(3, -1), rows[:, labels:])
    np.testing.assert_array_equal(found.reshape(3, -1), rows[:, :labels])
    (tmp_path / "b").write_bytes(b"12")
    with pytest.raises(ValueError, match="no multiple of"):
        data.read_cifar([tmp_path / "b"], labels)


def test_numpy_files(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3))
    np.savez(tmp_path / "b.npz", x=np.arange(3), y=np.ones(2))
    np.testing.assert_array_equal(data.read_numpy(tmp_path / "a.npy"), np.arange(3))
    assert sorted(data.read_numpy(tmp_path / "b.npz")) == ["x", "y"]
    np.save(tmp_path / "c.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "d.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-4])
    for name in ("c.npy", "d.npy"):
        with pytest.raises(ValueError, match="a file is whole"):
            data.read_numpy(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        data.read_numpy(tmp_path / "no.npy")


def test_csv(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\ufeffa, b\n1,2.5\n\n-3,1e3\n", encoding="utf-8")
    names, table = data.read_csv(path)
    assert names == ["a", "b"]
    np.testing.assert_array_equal(table, [[1, 2.5], [-3, 1000]])
    path.write_text("1;2\n3;4\n")
    assert data.read_csv(path, header=False, delimiter=";")[1].shape == (2, 2)
    for text, message in (("a,b\n1,x\n", "in line 2"), ("a,b\n1,2\n1\n", "1 columns in line 3")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            data.read_csv(path)


def test_split():
    (a, b), (c, d) = data.split([np.arange(10), np.arange(10) * 2], 0.3, 0)
    assert (len(a), len(c)) == (7, 3)
    assert (b == 2 * a).all()
    assert (d == 2 * c).all()
    assert sorted([*a, *c]) == list(range(10))


def test_sets_of_scikit_learn():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    images, labels = data.digits()
    assert images.shape == (1797, 1, 8, 8)
    assert images.max() == 1
    assert set(labels) == set(range(10))
    assert data.iris()[0].shape == (150, 4)


def test_without_scikit_learn_it_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    with pytest.raises(ImportError, match="ships inside scikit-learn"):
        data.digits()

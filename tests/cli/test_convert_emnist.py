"""EMNIST's files: found by their names, turned upright, labels and names of the classes."""

from pathlib import Path

import numpy as np
import pytest

from ddmlp.cli import convert
from ddmlp.data.dataset import Dataset
from ddmlp.data.emnist import SETS, set_of
from ddmlp.data.idx import write_idx
from tests.support.helpers import inside

# As EMNIST's own mapping files have them: label, then code points.
MERGED = [*range(48, 58), *range(65, 91), 97, 98, 100, 101, 102, 103, 104, 110, 113, 114, 116]


def images_of(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 5, 5), np.uint8)


def put(folder: Path, name: str, classes: int, first: int = 0, end: str = ".gz") -> None:
    for part, count in [("train", 2 * classes), ("test", classes)]:
        labels = (first + np.arange(count) % classes).astype(np.uint8)
        write_idx(folder / f"{name}-{part}-images-idx3-ubyte{end}", images_of(count), compress=bool(end))
        write_idx(folder / f"{name}-{part}-labels-idx1-ubyte{end}", labels, compress=bool(end))


def read(path: Path) -> tuple[np.ndarray, list[int], tuple[str, ...] | None]:
    dataset = Dataset(path)
    pixels, labels = dataset.gather(np.arange(len(dataset)))
    return pixels.reshape(-1, 5, 5), labels.tolist(), dataset.manifest.class_names


def test_letters(tmp_path):
    put(tmp_path, "emnist-letters", 26, 1)
    done = inside(convert.main, tmp_path, tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("emnist-letters, by the name of ")
    assert "columns exchanged, labels from 1 on, of class A to Z; --no-transpose, --first-label" in done.stdout
    for part, count in [("train", 52), ("test", 26)]:
        pixels, labels, names = read(tmp_path / "out" / part)
        assert (pixels == images_of(count).transpose(0, 2, 1)).all()
        assert labels == [row % 26 for row in range(count)]
        assert names == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def test_one_pair_by_its_name(tmp_path):
    put(tmp_path, "emnist-letters", 26, 1, "")
    files = [tmp_path / f"emnist-letters-test-{name}-ubyte" for name in ("images-idx3", "labels-idx1")]
    pair = ["--images", files[0], "--labels", files[1]]
    assert inside(convert.main, *pair, tmp_path / "out").returncode == 0
    assert read(tmp_path / "out")[1:] == (list(range(26)), SETS["emnist-letters"])
    flags = ["--no-transpose", "--first-label", 0, "--class-names", ",".join("?abcdefghijklmnopqrstuvwxyz")]
    done = inside(convert.main, *pair, tmp_path / "as-is", *flags)
    assert done.returncode == 0
    assert "warning: " in done.stderr
    pixels, labels, names = read(tmp_path / "as-is")
    assert (pixels == images_of(26)).all()
    assert labels == list(range(1, 27))
    assert names == tuple("?abcdefghijklmnopqrstuvwxyz")
    done = inside(convert.main, *pair, tmp_path / "more", "--first-label", 0)
    assert read(tmp_path / "more")[2] is None, "A to Z would be wrong"


def test_several_sets(tmp_path):
    put(tmp_path, "emnist-balanced", 47)
    put(tmp_path, "emnist-digits", 10)
    done = inside(convert.main, tmp_path, tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert "emnist-balanced, emnist-digits; choose one, for example by --set emnist-digits" in done.stderr
    assert inside(convert.main, tmp_path, tmp_path / "out", "--set", "emnist-balanced").returncode == 0
    assert read(tmp_path / "out" / "test")[2] == tuple(map(chr, MERGED))
    assert inside(convert.main, tmp_path, tmp_path / "out", "--set", "emnist-letters").returncode == 1


def test_the_sets():
    assert SETS["emnist-bymerge"] == SETS["emnist-balanced"] == tuple(map(chr, MERGED))
    assert SETS["emnist-byclass"] == tuple(map(chr, [*range(48, 58), *range(65, 91), *range(97, 123)]))
    assert {len(SETS[f"emnist-{name}"]) for name in ("digits", "mnist")} == {10}
    assert set_of(Path("x/emnist-mnist-train-images-idx3-ubyte.gz")) == "emnist-mnist"
    assert set_of(Path("emnist-none-train-images-idx3-ubyte")) is None
    assert set_of(Path("train-images-idx3-ubyte")) is None


@pytest.mark.parametrize("text", ["1 65 97\n2 66 98\n", "A\nB\n"])
def test_other_data_with_names(tmp_path, text):
    """A mapping file says where labels begin; a file with a name a line does not."""
    write_idx(tmp_path / "images", images_of(6))
    write_idx(tmp_path / "labels", np.array([1, 2, 1, 1, 2, 2], np.uint8))
    (tmp_path / "names").write_text(text)
    flags = ["--images", tmp_path / "images", "--labels", tmp_path / "labels", "--class-names", tmp_path / "names"]
    begin = [] if text[0] == "1" else ["--first-label", 1]
    assert inside(convert.main, *flags, *begin, tmp_path / "out").returncode == 0
    assert read(tmp_path / "out")[1:] == ([0, 1, 0, 0, 1, 1], ("A", "B"))
    refused = inside(convert.main, *flags, *begin, "--classes", 3, tmp_path / "other")
    assert refused.returncode == 2
    assert "found 2 class names, expected 3" in refused.stderr

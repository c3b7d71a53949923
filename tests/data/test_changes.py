"""Changes of pixels and labels while rows are converted."""

import numpy as np
import pytest

from ddmlp.data.changes import Changes
from ddmlp.data.convert import convert
from ddmlp.data.dataset import Dataset
from ddmlp.data.sources import Rows
from ddmlp.errors import DatasetError
from tests.data.test_convert import put

PIXELS = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
LABELS = np.array([1, 3], np.uint8)


def changed(pixels: np.ndarray = PIXELS, labels: np.ndarray = LABELS, **how: object) -> Rows:
    return Changes(**how).apply(Rows(pixels, labels), 100)


def test_nothing_by_default():
    assert changed().pixels.tolist() == PIXELS.tolist()
    assert changed().labels.tolist() == [1, 3]
    assert Changes().shape((2, 3)) == (2, 3)


def test_transpose():
    assert Changes(transpose=True).shape((2, 3)) == (3, 2)
    assert changed(transpose=True).pixels.tolist() == [[[0, 3], [1, 4], [2, 5]], [[6, 9], [7, 10], [8, 11]]]


def test_first_label():
    assert changed(first_label=1).labels.tolist() == [0, 2]
    assert changed(first_label=1).labels.dtype == np.uint8
    with pytest.raises(DatasetError, match=r"row 100 is 1, .* 2 .*--first-label"):
        changed(first_label=2)


@pytest.mark.parametrize("most", [1, 2, 15, 16, 100, 127, 128, 254, 255])
def test_pixel_max(most):
    values = np.arange(most + 1, dtype=np.uint8).reshape(1, 1, -1)
    found = changed(values, LABELS[:1], pixel_max=most).pixels
    assert found.dtype == np.uint8
    assert found.reshape(-1).tolist() == [int(value * 255 / most + 0.5) for value in range(most + 1)]
    if most < 255:
        with pytest.raises(DatasetError, match=rf"row 100 .* {most + 1}, .* {most}; --pixel-max"):
            changed(values + 1, LABELS[:1], pixel_max=most)


def test_invert():
    assert (changed(invert=True).pixels == 255 - PIXELS).all()
    assert changed(PIXELS % 2, invert=True, pixel_max=1).pixels.max() == 255
    assert (changed(PIXELS % 2, invert=True, pixel_max=1).pixels == np.where(PIXELS % 2, 0, 255)).all()


def test_converted(tmp_path):
    """All changes at once. Class names set the number of classes; errors name the dataset and the row."""
    images = np.random.default_rng(0).integers(0, 16, (3_000, 20, 30), np.uint8)
    labels = (1 + np.arange(3_000) % 26).astype(np.uint8)
    pair = put(tmp_path, images, labels)
    names = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    changes = Changes(transpose=True, first_label=1, pixel_max=15, invert=True)
    convert({tmp_path / "out": pair}, class_names=names, changes=changes)
    dataset = Dataset(tmp_path / "out")
    assert (dataset.manifest.class_names, dataset.manifest.classes) == (names, 26)
    assert dataset.manifest.image_shape == (30, 20)
    pixels, found = dataset.gather(np.arange(3_000))
    assert (found == labels - 1).all()
    assert (pixels.reshape(-1, 30, 20) == 255 - 17 * images.transpose(0, 2, 1)).all()
    convert({tmp_path / "more": pair}, changes=Changes(first_label=1))
    assert Dataset(tmp_path / "more").manifest.classes == 26
    labels[2_500] = 0
    with pytest.raises(DatasetError, match=rf"{tmp_path}/wrong: .*row 2,500 is 0"):
        convert({tmp_path / "wrong": put(tmp_path, images, labels)}, changes=Changes(first_label=1))
    assert not (tmp_path / "wrong").exists()

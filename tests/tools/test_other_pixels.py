"""Images with fewer zero pixels, and the bound that multiplies the nonzero ones."""

from pathlib import Path

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.nn.weights import Weights
from tools.benchmarks.other_pixels import change, grow, invert
from tools.benchmarks.peers.baseline import Rows, scaled


def test_grow():
    images = np.zeros((2, 9, 8), np.uint8)
    images[0, 4, 3], images[1, 0, 0] = 7, 9
    found = grow(images)
    assert found.shape == images.shape
    assert (found[0] == 7).sum() == found[0].astype(bool).sum() == 36
    assert found[1].astype(bool).sum() == 16  # the rest is outside the image


def test_invert():
    assert invert(np.array([0, 1, 254, 255], np.uint8)).tolist() == [255, 254, 1, 1]


def test_changed_dataset(data: Path, tmp_path: Path):
    change(data, invert, tmp_path)
    for part in ("train", "test"):
        before, after = (Rows.load(folder / part) for folder in (data, tmp_path))
        assert np.array_equal(after.pixels, np.maximum(255 - before.pixels, 1))
        assert np.array_equal(after.labels, before.labels)
        assert Dataset(tmp_path / part).manifest.image_shape == (28, 28)


@pytest.mark.bench
@pytest.mark.parametrize("batch", [1, 50, 300])
def test_sparse_bound(data: Path, batch: int):
    """The bound adds the products of all nonzero pixels, step by step, and starts over after the last step."""
    from tools.benchmarks.peers.sparse_bound import SparseBound

    rows = Rows.load(data / "train").first(600)
    weights = Weights.draw(rows.shape(70), 0)
    peer = SparseBound(rows, weights, batch, 0.0)
    x = scaled(rows.pixels)
    for _ in range(4):
        peer.train(np.arange(300))
    z1, slopes = (each.reshape(-1, weights.shape.width)[:, :70] for each in (peer.z1, peer.slopes))
    expected = 2 * (x @ weights.w1).reshape(-1, batch, 70).sum(axis=0)
    np.testing.assert_allclose(z1, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(slopes, np.repeat(x.sum(axis=0)[:, None], 70, axis=1), rtol=1e-3)

"""Warnings about unusual rows, and none about usual ones."""

import numpy as np
import pytest

from ddmlp.data.convert import convert, find_pairs
from ddmlp.data.oddities import odd_labels, odd_pixels
from tests.data.test_convert import put

RANDOM = np.random.default_rng(0)
STROKES = np.where(RANDOM.random((200, 8, 8)) < 0.2, RANDOM.integers(0, 256, (200, 8, 8)), 0).astype(np.uint8)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (STROKES, None),
        (255 * (STROKES > 0), None),
        (RANDOM.integers(0, 256, (200, 8, 8)), None),
        (STROKES > 0, "--pixel-max 1"),
        (STROKES // 16, "--pixel-max 15"),
        (STROKES // 2, "--pixel-max 127"),
        (255 - STROKES, "--invert"),
        (STROKES * 0, "all pixels of the first 200 rows are 0"),
        (STROKES * 0 + 255, "all pixels of the first 200 rows are 255"),
    ],
)
def test_pixels(pixels, expected):
    found = odd_pixels(pixels.astype(np.uint8))
    assert (found is None) == (expected is None)
    assert expected is None or expected in found


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([5, 1, 2], None),
        ([0, 3, 4], "begin at 1, not at 0"),
        ([0, 0, 4, 1], "`ddmlp convert --first-label 2`"),
        ([5, 0, 2], "class 1 has no rows (of 3 classes)"),
        ([5, 0, 0], "classes 1, 2 have no rows (of 3 classes)"),
        ([5] + [0] * 30, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 20 more"),
    ],
)
def test_labels(counts, expected):
    found = odd_labels(np.array(counts))
    assert (found is None) == (expected is None)
    assert expected is None or expected in found


def test_convert_warns(tmp_path, sample):
    """Each dataset gets its warnings; usual data gets none, and appended rows need not have every class."""
    images, labels = (STROKES > 0).astype(np.uint8), (1 + np.arange(200) % 3).astype(np.uint8)
    pair, warnings = put(tmp_path, images, labels), []
    convert({tmp_path / "a": pair, tmp_path / "b": pair}, warn=warnings.append)
    assert [each.split(": ")[0] for each in warnings] == [f"{tmp_path}/{name}" for name in "aabb"]
    assert "--pixel-max 1`" in warnings[0]
    assert "--first-label 1`" in warnings[1]
    warnings.clear()
    convert({tmp_path / "a": put(tmp_path, STROKES, labels % 2)}, extend=True, warn=warnings.append)
    train, test = find_pairs(sample)
    convert({tmp_path / "train": train, tmp_path / "test": test}, warn=warnings.append)
    assert warnings == []

"""Numbers of any type become pixels in one way."""

import numpy as np
import pytest

from ddmlp.data.pixel_range import PixelRange


@pytest.mark.parametrize(
    ("numbers", "pixels"),
    [
        (np.array([0, 1, 77, 255], np.uint8), [0, 1, 77, 255]),
        (np.array([0, 1, 16, 16], np.uint8), [0, 1, 16, 16]),
        (np.array([0, 1, 77, 255], np.int64), [0, 1, 77, 255]),
        (np.array([0, 1, 8, 16], np.float32), [0, 16, 128, 255]),
        (np.array([0, 0.5, 0.1, 1]), [0, 128, 26, 255]),
        (np.array([2, 3, 4, 5], np.int8), [102, 153, 204, 255]),
        (np.array([-1.0, 0.0, 0.5, 1.0]), [0, 128, 191, 255]),
        (np.array([-5.0, -4.0, -3.0, -3.0]), [0, 128, 255, 255]),
        (np.array([False, True, True, False]), [0, 255, 255, 0]),
        (np.zeros(4), [0, 0, 0, 0]),
        (np.full(4, 3.5), [255] * 4),
        (np.array([0, 5e-324, 1e-323, 0]), [0, 128, 255, 0]),
    ],
)
def test_simple(numbers: np.ndarray, pixels: list[int]):
    found = PixelRange.of(numbers).pixels(numbers)
    assert found.dtype == np.uint8
    assert found.tolist() == pixels


def test_other_rows():
    found = PixelRange.of(np.array([[0.0, 16.0]]))
    assert found == (0, 16)
    assert found.pixels(np.array([[-3.0, 1.0], [15, 1e308]])).tolist() == [[0, 16], [239, 255]]
    assert found.pixels(np.array([[1, 200]], np.uint8)).tolist() == [[16, 255]]


def test_parts(monkeypatch: pytest.MonkeyPatch):
    rows = np.arange(70.0).reshape(10, 7)
    expected = PixelRange.of(rows).pixels(rows)
    monkeypatch.setattr("ddmlp.data.pixel_range.SCALE_ROWS", 3)
    assert PixelRange.of(rows).pixels(rows).tolist() == expected.tolist()


def test_too_far_apart():
    with pytest.raises(ValueError, match=r"-1e\+308.*1e\+308"):
        PixelRange.of(np.array([-1e308, 1e308]))

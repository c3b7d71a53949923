"""Distortions: the kernel against slow code, the filter against a Gaussian, and each part by itself."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.errors import MachineError
from ddmlp.nn import known_answer
from ddmlp.nn.augmentation import Augmentation
from ddmlp.nn.distortion import Distorter
from tests.support import slow_distortion as slow

RANDOM = np.random.default_rng(0)
STRONG = "elastic:alpha=90,sigma=2.3,rotation=180,scale=0.9,shear=2,pixels=3"
RECORDED = "02b93b950186f0d6929a3bbb6f001908475a9a95b3dec4b620b5510196332305"  # of `test_one_result`


def distorted(text: str, images: np.ndarray, keys: np.ndarray) -> np.ndarray:
    rows, *shape = images.shape
    return (
        Distorter(Augmentation.of(text), (shape[0], shape[1]))
        .apply(images.reshape(rows, -1), keys)
        .reshape(images.shape)
    )


def keys_of(count: int) -> np.ndarray:
    return RANDOM.integers(0, 2**64, count, np.uint64)


@pytest.mark.parametrize("text", ["shift", "affine", "elastic", STRONG, "elastic:sigma=60,alpha=1000"])
@pytest.mark.parametrize("shape", [(28, 28), (1, 1), (5, 70)])
def test_simple(text: str, shape: tuple[int, int]):
    images, keys = RANDOM.integers(0, 256, (2, *shape), np.uint8), keys_of(2)
    expected = [slow.distort(Augmentation.of(text), *each) for each in zip(images, keys.tolist(), strict=True)]
    assert (distorted(text, images, keys) == expected).all()


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(["affine", STRONG]), st.integers(0, 2**64 - 1))
def test_shapes(height: int, width: int, text: str, key: int):
    image = np.arange(height * width, dtype=np.uint8).reshape(height, width) * np.uint8(29)
    found = distorted(text, image[None], np.array([key], np.uint64))[0]
    assert (found == slow.distort(Augmentation.of(text), image, key)).all()


def test_one_result():
    """The same on every processor: `make portability` compares the hash of a run."""
    found = distorted(STRONG, np.arange(6 * 28 * 28).reshape(6, 28, 28).astype(np.uint8), np.arange(6, dtype=np.uint64))
    assert hashlib.sha256(found.tobytes()).hexdigest() == RECORDED


def test_nothing_done():
    """Limits of zero leave an image as it is, and its border is not lost."""
    images = RANDOM.integers(0, 256, (3, 9, 11), np.uint8)
    for text in ("shift:pixels=0", "elastic:alpha=0,rotation=0,scale=0,shear=0"):
        assert (distorted(text, images, keys_of(3)) == images).all()


def test_rows_are_independent():
    """The result of a row depends on its pixels and its key, not on the rows before it."""
    images, keys = RANDOM.integers(0, 256, (7, 28, 28), np.uint8), keys_of(7)
    whole = distorted("elastic", images, keys)
    assert len({each.tobytes() for each in whole}) == 7
    assert (distorted("elastic", images[::-1], keys[::-1].copy())[::-1] == whole).all()
    assert (distorted("elastic", images[4:5], keys[4:5]) == whole[4:5]).all()
    readonly = images.copy()
    readonly.flags.writeable = False
    assert (distorted("elastic", readonly, keys) == whole).all()


def test_shift():
    """A point moves by whole pixels, as often by each number of them."""
    images, moves = np.zeros((500, 9, 9), np.uint8), {}
    images[:, 4, 4] = 200
    for found in distorted("shift:pixels=1", images, keys_of(500)):
        (y,), (x,) = np.nonzero(found)
        assert found[y, x] == 200
        moves[int(y) - 4, int(x) - 4] = moves.get((int(y) - 4, int(x) - 4), 0) + 1
    assert set(moves) == {(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)}
    assert min(moves.values()) > 25


def test_outside_is_zero():
    found = distorted("shift:pixels=1000", np.full((50, 8, 8), 255, np.uint8), keys_of(50))
    assert (found == 0).all(axis=(1, 2)).sum() > 45


@pytest.mark.parametrize("degrees", [10, 60, 180])
def test_affine_map(degrees: int):
    """Angles, scales and shears are uniform within their limits, and sine and cosine are those of the angle."""
    found = Augmentation.of(f"affine:rotation={degrees},scale=0.2,shear=0.3")
    matrices = np.array([slow.affine(found, key) for key in keys_of(400).tolist()])
    angles = np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0])
    scales = np.hypot(matrices[:, 0, 0], matrices[:, 1, 0]), np.linalg.det(matrices)
    scales = scales[0], scales[1] / scales[0]
    for values, limit in [(np.degrees(angles), degrees), (scales[0] - 1, 0.2), (scales[1] - 1, 0.2)]:
        assert abs(values).max() <= limit * (1 + 1e-12)
        assert abs(values).max() > 0.97 * limit
        assert abs(values.mean()) < 0.2 * limit


@pytest.mark.parametrize(("sigma", "error"), [(2.0, 0.12), (4.5, 0.08)])
def test_field_is_gaussian(sigma: float, error: float):
    """Displacements are alpha times noise from -1 to 1, after a periodic Gaussian filter; nearly."""
    found, height, width = Augmentation.of(f"elastic:alpha=36,sigma={sigma}"), 30, 24
    fields = np.array([slow.displacements(found, key, height, width) / slow.ONE for key in range(8)])
    raw = np.array([slow.noise(key, height, width) for key in range(8)]) / 2**15
    response = [np.exp(-2 * (math.pi * sigma * np.fft.fftfreq(size)) ** 2) for size in (height, width)]
    exact = 36 * np.fft.ifft2(np.fft.fft2(raw) * np.outer(*response)).real
    assert np.sqrt(((fields - exact) ** 2).mean()) < error * exact.std()
    if sigma == 4.5:  # that of white noise: sqrt(1/3) / (2 sqrt(pi) sigma) of alpha
        assert 1.1 < fields.std() < 1.5


def test_wrong_shapes():
    distorter = Distorter(Augmentation.of("shift"), (2, 3))
    with pytest.raises(ValueError, match=r"\(4, 6\)"):
        distorter.apply(np.zeros((4, 5), np.uint8), keys_of(4))
    with pytest.raises(ValueError, match=r"\(3, 6\)"):
        distorter.apply(np.zeros((4, 6), np.uint8), keys_of(3))


def test_other_machines_are_found(monkeypatch: pytest.MonkeyPatch):
    known_answer.check_distortion()
    monkeypatch.setattr(known_answer, "KNOWN_DISTORTION", "0" * 64)
    known_answer.check_distortion.cache_clear()
    with pytest.raises(MachineError, match="0" * 64):
        known_answer.check_distortion()

"""fit with an augmentation: what it trains on, what is recorded, and that it is the same whenever it is computed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ddmlp
from ddmlp.data.ingest import mark_end
from ddmlp.errors import ConfigError, RunError
from ddmlp.nn.augmentation import Augmentation
from ddmlp.nn.distortion import Distorter
from ddmlp.numerics import DISTORTION, row_bits

SMALL: dict[str, Any] = {"hidden": 4, "batch": 8, "epochs": 2, "progress": False, "augment": "elastic:alpha=9,sigma=2"}
TEXT = "elastic:alpha=9,sigma=2,rotation=10,scale=0.1,shear=0.1,pixels=0"
LABELS = (np.arange(60) % 3).astype(np.uint8)
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 4, 5), np.uint8)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for part in ("train", "test"):
        with ddmlp.DatasetWriter(f"data/{part}", image_shape=(4, 5), classes=3) as writer:
            writer.append(IMAGES, LABELS)


def fit(run: str = "run", **more: Any) -> ddmlp.Result:
    return ddmlp.fit(**{"data": "data", "run": run, **SMALL, **more})


def distorted(pixels, rows, seed, epoch):
    """A transform that does the same."""
    count, *shape = pixels.shape
    distorter, keys = Distorter(Augmentation.of(TEXT), tuple(shape)), row_bits(rows, seed, epoch, DISTORTION)
    return distorter.apply(pixels.reshape(count, -1), keys).reshape(pixels.shape)


def test_simple():
    """The weights are those of the rows as they are distorted; the test data are as they are."""
    before = distorted(IMAGES, np.arange(60), 7, 0)
    expected = fit("before", data=(before, LABELS), test=(IMAGES, LABELS), augment="", epochs=1, seed=7)
    found = fit(epochs=1, seed=7)
    assert (found.weights_sha256, found.test_error) == (expected.weights_sha256, expected.test_error)
    assert found.weights_sha256 != fit("without", augment="", epochs=1, seed=7).weights_sha256


def test_each_epoch_anew():
    rows = np.arange(60)
    assert (distorted(IMAGES, rows, 0, 0) != distorted(IMAGES, rows, 0, 1)).any(axis=(1, 2)).all()
    assert fit(epochs=3).weights_sha256 == fit("before", augment="", transform=distorted, epochs=3).weights_sha256


def test_after_the_transform():
    """Both: the transform first."""
    expected = fit("before", data=(distorted(255 - IMAGES, np.arange(60), 0, 0), LABELS), augment="", epochs=1)
    assert fit(transform=negative, epochs=1).weights_sha256 == expected.weights_sha256
    assert ddmlp.verify("run", transform=negative).weights_sha256 == expected.weights_sha256


def negative(pixels, *_):
    return 255 - pixels


def test_recorded():
    """All parameters are in config.json, and belong to the identity of the run."""
    whole = fit()
    config = json.loads(Path("run/config.json").read_text())
    assert config["augment"] == TEXT
    part = fit("part", stop_after=9)
    assert not part.finished
    assert ddmlp.resume(part.run, progress=False).weights_sha256 == whole.weights_sha256
    assert ddmlp.verify("part").weights_sha256 == whole.weights_sha256
    Path("run/config.json").write_text(json.dumps(config | {"augment": TEXT.replace("alpha=9", "alpha=8")}))
    with pytest.raises(RunError):
        ddmlp.verify("run")


@pytest.mark.parametrize("more", [{"delay": 2}, {"staleness": 2}, {"follow": True, "epochs": 1}, {"microbatch": 3}])
def test_modes(more: dict[str, Any]):
    if "follow" in more:
        mark_end(Path("data/train"))
    found = fit(**more)
    assert ddmlp.replay("run").weights_sha256 == found.weights_sha256
    assert found.weights_sha256 != fit("without", augment="", **more).weights_sha256


@pytest.mark.parametrize(
    ("given", "words"),
    [("elastic:alpha=x", ["alpha is x", "0 to 1000"]), ("warp", ["'warp'", "elastic"]), (5, ["augment is 5"])],
)
def test_refused(given: object, words: list[str]):
    with pytest.raises(ConfigError) as caught:
        fit(augment=given)
    assert [word for word in words if word not in str(caught.value)] == []
    assert not Path("run").exists()


def test_all_parameters_are_needed():
    """The settings of a run have no defaults that a later version could change."""
    with pytest.raises(ConfigError, match="'elastic'"):
        ddmlp.TrainConfig(augment="elastic")

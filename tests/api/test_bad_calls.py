"""Bad calls of the Python API: each ends in one of ddmlp's errors, which names the argument, and leaves nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import ddmlp
from ddmlp.errors import ConfigError, DatasetError, DdmlpError, RunError
from ddmlp.nn.weights import Shape, Weights

IMAGES, LABELS = np.zeros((8, 2, 2), np.uint8), (np.arange(8) % 3).astype(np.uint8)
ROWS = IMAGES, LABELS
MODEL = ddmlp.Model(Weights.draw(Shape(4, 3, 3), seed=1), image_shape=(2, 2))


def fit(**given: Any) -> ddmlp.Result:
    return ddmlp.fit(given.pop("data", ROWS), **{"hidden": 2, "batch": 4, "epochs": 1, "run": "run", **given})


def table(labels: list[int]) -> pa.Table:
    pixels = pa.array([[0] * 4] * len(labels), pa.list_(pa.uint8()))
    return pa.table({"pixels": pixels, "label": labels})


def writer(**given: Any) -> ddmlp.DatasetWriter:
    return ddmlp.DatasetWriter(given.pop("path", "out"), **{"image_shape": (2, 2), "classes": 3, **given})


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fit(run="file"), RunError, ["/file "]),
        (lambda: fit(run="file/run"), RunError, ["/file/run "]),
        (lambda: fit(run="x" * 5000), ConfigError, ["run is", "too long"]),
        (lambda: fit(run=""), ConfigError, ["run is ''"]),
        (lambda: fit(data="nowhere"), ConfigError, ["nowhere does not exist"]),
        (lambda: fit(data="file"), DatasetError, ["file is text", "Parquet"]),
        (lambda: fit(test=(IMAGES, LABELS + 3)), ConfigError, ["test", "6", "3"]),
        (lambda: fit(test=(IMAGES, LABELS + 3), classes=4), ConfigError, ["test", "6", "4"]),
        (lambda: fit(progress="yes"), ConfigError, ["progress is 'yes'"]),
        (lambda: fit(report=1), ConfigError, ["report is 1"]),
        (lambda: fit(dashboard="x"), ConfigError, ["dashboard is 'x'"]),
        (lambda: fit(init=MODEL, hidden=2), ConfigError, ["init", "4-3-3", "4-2-3"]),
        (lambda: fit(init=3), ConfigError, ["init is 3"]),
        (lambda: fit(lr_schedule=np.zeros(2)), ConfigError, ["lr_schedule"]),
        (lambda: fit(staleness=np.zeros(2)), ConfigError, ["staleness"]),
        (lambda: fit(data=table([0, -1])), DatasetError, ["row 1", "-1", "0 to 255"]),
        (lambda: ddmlp.resume("none"), RunError, ["none"]),
        (lambda: ddmlp.resume(4), ConfigError, ["run is 4"]),
        (lambda: ddmlp.load(4), ConfigError, ["path is 4"]),
        (lambda: ddmlp.load("file"), RunError, ["file"]),
        (lambda: ddmlp.verify(3), ConfigError, ["run is 3"]),
        (lambda: ddmlp.verify("none"), RunError, ["none", "does not exist"]),
        (lambda: ddmlp.replay(3), ConfigError, ["run is 3"]),
        (lambda: ddmlp.evaluate(ROWS, MODEL), ConfigError, ["model is a tuple"]),
        (lambda: ddmlp.evaluate(MODEL, 4), ConfigError, ["data is a int"]),
        (lambda: ddmlp.Model(MODEL.weights, (3, 3)), ConfigError, ["(3, 3)", "4 pixels"]),
        (lambda: writer(image_shape=12), DatasetError, ["image_shape is 12"]),
        (lambda: writer(image_shape=(1, 2, 3)), DatasetError, ["(1, 2, 3)"]),
        (lambda: writer(image_shape=(2.0, 2)), DatasetError, ["(2.0, 2)"]),
        (lambda: writer(classes="3"), DatasetError, ["classes is '3'"]),
        (lambda: writer(shard_rows="x"), DatasetError, ["shard_rows is 'x'"]),
        (lambda: writer(class_names=5), DatasetError, ["class_names is 5"]),
        (lambda: writer(class_names=(1, 2, 3)), DatasetError, ["class_names is (1, 2, 3)"]),
        (lambda: writer(path=3), ConfigError, ["path is 3"]),
        (lambda: writer(path="file/out"), DatasetError, ["file/out", "Not a directory"]),
    ],
)  # fmt: skip
def test_bad_call(
    call: Callable[[], object],
    error: type[DdmlpError],
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("import sys, os\nimport re\n")
    with pytest.raises(error) as caught:
        call()
    assert [word for word in words if word not in str(caught.value)] == []
    assert "--" not in str(caught.value), "a flag, which no argument has"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_lists_of_rows(tmp_path: Path):
    with ddmlp.DatasetWriter(tmp_path / "out", image_shape=(2, 2), classes=3) as out:
        with pytest.raises(DatasetError, match="list"):
            out.append(IMAGES.tolist(), LABELS.tolist())  # type: ignore[arg-type]
        out.append(IMAGES, LABELS)


def test_bad_data_of_a_run(tmp_path: Path):
    run = fit(run=tmp_path / "run", stop_after=1).run
    with pytest.raises(ConfigError, match="data is a tuple"):
        ddmlp.resume(run, data=ROWS)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="end is 1"):
        ddmlp.resume(run, end=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="data is 5"):
        ddmlp.verify(run, data=5)  # type: ignore[arg-type]


def test_classes_without_training_rows(tmp_path: Path):
    assert fit(run=tmp_path / "run", test=(IMAGES, LABELS + 3), classes=6).model.weights.shape.outputs == 6


def test_model_in_one_line():
    assert repr(MODEL) == f"Model(4-3-3, (2, 2), weights_sha256={MODEL.weights.sha256()!r})"

"""fit and resume: what they train on, what they return, and how they end."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import ddmlp
from ddmlp.cli import train, verify
from ddmlp.data.dataset import Dataset
from ddmlp.errors import ConfigError, DatasetError, ImageError, RunError
from tests.support.api import SMALL, STEPS
from tests.support.helpers import inside

FLAGS = ["--hidden", "8", "--batch", "50", "--epochs", "2"]


def rows(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The pixels (rows, 28, 28) and the labels of a dataset."""
    dataset = Dataset(folder)
    pixels, labels = dataset.gather(np.arange(len(dataset)))
    return pixels.reshape(-1, 28, 28), labels


def table(pixels: np.ndarray, labels: np.ndarray) -> pa.Table:
    tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(pixels)
    return pa.table({"pixels": tensor, "label": labels.astype(np.int64)})


@pytest.fixture(scope="module")
def arrays(data: Path) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    return rows(data / "train"), rows(data / "test")


def test_simple(expected: ddmlp.Result, data: Path):
    assert (expected.steps, expected.finished) == (STEPS, True)
    assert expected.test_error == ddmlp.evaluate(expected.model, data).error
    assert expected.model.weights.sha256() == expected.weights_sha256
    assert ddmlp.verify(expected.run).weights_sha256 == expected.weights_sha256
    assert ddmlp.replay(expected.run).weights_sha256 == expected.weights_sha256
    assert expected.speed > 0 < expected.seconds
    assert expected.weights_sha256 in repr(expected)


def test_the_command_trains_the_same(expected: ddmlp.Result, data: Path, tmp_path: Path):
    done = inside(train.main, "--data", data, "--run", tmp_path / "run", "--no-report", *FLAGS)
    assert f"weights sha256  {expected.weights_sha256}" in done.stdout
    assert inside(verify.main, expected.run).returncode == 0


@pytest.mark.parametrize("form", ["arrays", "lists", "tables", "integers"])
def test_data_in_memory(form: str, arrays: Any, expected: ddmlp.Result, data: Path, tmp_path: Path):
    """They are the same rows, so the same model; and the run keeps them."""
    whole, test = arrays
    given, other = {
        "arrays": (whole, test),
        "lists": ([*whole], data / "test"),
        "tables": (table(*whole), table(*test)),
        "integers": ((whole[0].astype(np.int32), whole[1].astype(np.int64)), data),
    }[form]
    found = ddmlp.fit(given, test=other, run=tmp_path / "run", stop_after=100, **SMALL)
    assert found.test_error is not None
    assert inside(train.main, "--run", found.run, "--resume", "--no-report").returncode == 0
    found = ddmlp.resume(found.run)
    assert (found.weights_sha256, found.test_error) == (expected.weights_sha256, expected.test_error)
    assert inside(verify.main, found.run).returncode == 0


def test_no_test_data(arrays: Any, expected: ddmlp.Result, tmp_path: Path):
    found = ddmlp.fit(arrays[0], run=tmp_path / "run", stop_after=100, **SMALL)
    assert found.test_error is None
    moved = tmp_path / "moved"
    found.run.rename(moved)
    found = ddmlp.resume(moved)
    assert (found.weights_sha256, found.test_error) == (expected.weights_sha256, None)
    assert ddmlp.verify(moved, data=moved / "data").tested is False


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"data": "none"}, ConfigError, ["none does not exist"]),
        ({"data": 7}, ConfigError, ["int", "folder"]),
        ({"test": 7}, ConfigError, ["int"]),
        ({"data": (np.zeros((8, 2, 2)), np.zeros(8, int))}, DatasetError, ["float64", "0 to 255"]),
        ({"data": (np.zeros((8, 2, 2), int) - 1, np.zeros(8, int))}, DatasetError, ["-1", "0 to 255"]),
        ({"data": (np.zeros((8, 4), int), np.zeros(8, int))}, DatasetError, ["(8, 4)", "(rows, height, width)"]),
        ({"data": (np.zeros((8, 2, 2), int), np.zeros(7, int))}, DatasetError, ["(7,)"]),
        ({"data": (np.zeros((0, 2, 2), int), np.zeros(0, int))}, DatasetError, ["(0, 2, 2)"]),
        ({"test": (np.zeros((8, 2, 3), int), np.zeros(8, int))}, ConfigError, ["test", "2 x 3", "2 x 2"]),
        ({"data": pa.table({"pixels": [[1]]})}, DatasetError, ["'label'"]),
        ({"data": pa.array([1])}, DatasetError, ["Table"]),
        ({"classes": 0}, ConfigError, ["0", "256"]),
        ({"init_sha256": "0" * 64}, ConfigError, ["'init_sha256'", "hidden"]),
        ({"classes": 2}, DatasetError, ["label", "0 to 1"]),
        ({"batch": 9}, ConfigError, ["9", "8 rows"]),
        ({"layers": 9}, ConfigError, ["'layers'", "hidden"]),
        ({"hidden": 0}, ConfigError, ["0", "whole number"]),
        ({"workers": -1}, ConfigError, ["-1"]),
        ({"workers": 1.5}, ConfigError, ["1.5"]),
        ({"keep": 0}, ConfigError, ["0"]),
        ({"stop_after": "x"}, ConfigError, ["'x'"]),
        ({"idle_timeout": -1}, ConfigError, ["-1"]),
        ({"follow": True}, ConfigError, ["memory"]),
        ({"callbacks": [print]}, ConfigError, ["builtin_function", "Callback"]),
        ({"init": "none"}, RunError, ["none"]),
    ],
)
def test_bad_values(given: dict[str, Any], error: type[Exception], words: list[str], tmp_path: Path):
    good = {"data": (np.zeros((8, 2, 2), np.uint8), np.arange(8) % 3), "hidden": 2, "batch": 4}
    with pytest.raises(error) as caught:
        ddmlp.fit(**{**good, **given}, run=tmp_path / "run")
    for word in words:
        assert word in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_settings_of_numpy(tmp_path: Path):
    """As a grid search gives them."""
    zeros = np.zeros((8, 2, 2), np.uint8), np.arange(8) % 3
    found = ddmlp.fit(zeros, run=tmp_path / "run", hidden=np.int64(2), lr=np.float64(0.5), batch=4, epochs=1)
    assert found.steps == 2


def test_run_is_new(expected: ddmlp.Result, data: Path):
    with pytest.raises(RunError, match=str(expected.run)):
        ddmlp.fit(data, run=expected.run, **SMALL)


def test_init(expected: ddmlp.Result, data: Path, tmp_path: Path):
    forms = [expected.model, expected.run, expected.model.weights, expected.run / "model.npz"]
    runs = [ddmlp.fit(data, run=tmp_path / f"{each}", init=init, epochs=0) for each, init in enumerate(forms)]
    assert {run.weights_sha256 for run in runs} == {expected.weights_sha256}


def test_exponential(data: Path, tmp_path: Path):
    """Stopped in the middle, it is the same; but it cannot become longer."""
    falling = {**SMALL, "lr_schedule": "exponential", "lr_end": 0.25}
    whole = ddmlp.fit(data, run=tmp_path / "whole", **falling)
    ddmlp.fit(data, run=tmp_path / "run", stop_after=whole.steps // 2, **falling)
    assert ddmlp.resume(tmp_path / "run").weights_sha256 == whole.weights_sha256
    assert ddmlp.verify(tmp_path / "run").weights_sha256 == whole.weights_sha256
    with pytest.raises(ddmlp.errors.ConfigError, match=r"^epochs is 9, expected 2: .*exponential"):
        ddmlp.resume(whole.run, epochs=9)


def test_more_epochs(data: Path, tmp_path: Path):
    found = ddmlp.fit(data, run=tmp_path / "run", lr_schedule="constant", **SMALL)
    assert ddmlp.resume(found.run).weights_sha256 == found.weights_sha256
    more = ddmlp.resume(found.run, epochs=3)
    assert (more.steps, more.finished) == (240, True)
    assert ddmlp.verify(found.run).weights_sha256 == more.weights_sha256


@pytest.mark.parametrize(("progress", "shown"), [(None, False), (False, False), (True, True)])
def test_progress(progress: bool | None, shown: bool, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ddmlp.fit(data, run=tmp_path / "run", progress=progress, **SMALL)
    assert ("epoch 2/2  test error" in capsys.readouterr().out) == shown


def test_report(expected: ddmlp.Result, data: Path, tmp_path: Path):
    assert "&lt;title&gt;" in expected._repr_html_()
    assert expected._repr_html_().startswith("<iframe srcdoc=")
    assert expected.write_report(tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    found = ddmlp.fit(data, run=tmp_path / "run", hidden=2, epochs=0, report=True)
    assert (found.run / "report.html").exists()
    assert not (expected.run / "report.html").exists()


def test_a_moved_run_has_its_own_rows(arrays: Any, expected: ddmlp.Result, tmp_path: Path):
    """Another run, with other test data, is in the old place."""
    (images, labels), test = arrays
    part = ddmlp.fit((images, labels), test=test, run=tmp_path / "run", stop_after=100, **SMALL)
    moved = tmp_path / "moved"
    part.run.rename(moved)
    other = ddmlp.fit((images, labels), test=(test[0], (test[1] + 1) % 10), run=tmp_path / "run", **SMALL)
    found = ddmlp.resume(moved)
    assert (found.weights_sha256, found.test_error) == (expected.weights_sha256, expected.test_error)
    assert other.test_error != expected.test_error
    assert ddmlp.verify(moved).tested
    assert ddmlp.replay(moved).weights_sha256 == expected.weights_sha256


WRONG: dict[str, dict[str, Any]] = {
    "run": {"run": ""},
    "callbacks": {"callbacks": None},
    "init": {"init": 3},
    "address": {"address": 3},
    "hidden": {"hidden": np.array([8, 8])},
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_refused(name: str, data: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=name):
        ddmlp.fit(data, **{"run": tmp_path / "run", **SMALL, **WRONG[name]})
    assert not (tmp_path / "run").exists()


def test_wrong_steps_and_epochs_are_refused(expected: ddmlp.Result):
    for steps in [5, (0,), (0, None), "ab"]:
        with pytest.raises(ConfigError, match=r"^steps is"):
            ddmlp.verify(expected.run, steps=steps)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^epochs is '9'"):
        ddmlp.resume(expected.run, epochs="9")  # type: ignore[arg-type]


def test_a_missing_test_dataset_is_refused(arrays: Any, tmp_path: Path):
    with pytest.raises(DatasetError, match="nowhere"):
        ddmlp.fit(arrays[0], test=tmp_path / "nowhere", run=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run").exists()


def test_images_of_another_form_are_not_evaluated(expected: ddmlp.Result, arrays: Any, tmp_path: Path):
    """They have as many pixels."""
    images, labels = arrays[1]
    wide = images.reshape(-1, 14, 56)
    with ddmlp.DatasetWriter(tmp_path / "test", image_shape=(14, 56), classes=10) as writer:
        writer.append(wide, labels)
    for model in (expected.model, expected.run):
        for rows_ in ((wide, labels), tmp_path):
            with pytest.raises(RunError, match="14 x 56"):
                ddmlp.evaluate(model, rows_)


def test_predict_needs_an_array(expected: ddmlp.Result):
    with pytest.raises(ImageError, match="list"):
        expected.model.predict([[0]])  # type: ignore[arg-type]


def test_unusable_rows_are_refused(arrays: Any, tmp_path: Path):
    images, labels = arrays[0]
    for wrong, why in [
        (([[[1, 2]], [[1]]], [0, 1]), "images cannot be converted"),
        ((images.astype("m8[s]"), labels), "images are timedelta64"),
        ((images, labels.astype("m8[s]")), "labels are timedelta64"),
        ((np.ma.masked_array(images, mask=images > 200), labels), "images have masked"),
        ((images, np.ma.masked_array(labels, mask=labels == 3)), "labels have masked"),
    ]:
        with pytest.raises(DatasetError, match=why):
            ddmlp.fit(wrong, run=tmp_path / "run", **SMALL)

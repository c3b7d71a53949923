"""fit and resume: what they train on, what they return, and how they end."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import ddmlp
from ddmlp.api import session
from ddmlp.cli import train, verify
from ddmlp.data.dataset import Dataset
from ddmlp.errors import ConfigError, DatasetError, RunError
from tests.support.helpers import inside

SMALL: dict[str, Any] = {"hidden": 8, "batch": 50, "epochs": 2}
FLAGS = ["--hidden", "8", "--batch", "50", "--epochs", "2"]
STEPS = 160


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


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> ddmlp.Result:
    """What the settings come to on the sample."""
    return ddmlp.fit(data, run=tmp_path_factory.mktemp("expected") / "run", **SMALL)


class Watch(ddmlp.Callback):
    """Notes the calls; stops at the first test if it is to."""

    def __init__(self, stop: bool = False) -> None:
        self.calls: list[str] = []
        self._stop = stop

    def on_begin(self, run: Path, config: ddmlp.TrainConfig) -> None:
        assert (run / "config.json").exists()
        self.calls.append(f"begin {config.hidden}")

    def on_step(self, progress: Any) -> None:
        self.calls.append(f"step {progress.step}")

    def on_test(self, epoch: Any) -> None:
        self.calls.append(f"test {epoch.epoch} {epoch.error}")
        if self._stop:
            self.stop()

    def on_checkpoint(self, saved: Any) -> None:
        self.calls.append(f"checkpoint {saved.step}")

    def on_end(self, result: ddmlp.Result) -> None:
        self.calls.append(f"end {result.weights_sha256}")

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at requests to stop after each stretch of steps."""
    monkeypatch.setattr(session, "ADVANCE_SECONDS", 0)


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
        ({"data": "none"}, ConfigError, ["none", "train/"]),
        ({"data": 7}, ConfigError, ["int", "folder"]),
        ({"test": 7}, ConfigError, ["int"]),
        ({"data": (np.zeros((8, 2, 2)), np.zeros(8, int))}, DatasetError, ["float64", "0 to 255"]),
        ({"data": (np.zeros((8, 2, 2), int) - 1, np.zeros(8, int))}, DatasetError, ["-1", "0 to 255"]),
        ({"data": (np.zeros((8, 4), int), np.zeros(8, int))}, DatasetError, ["(8, 4)", "(rows, height, width)"]),
        ({"data": (np.zeros((8, 2, 2), int), np.zeros(7, int))}, DatasetError, ["(7,)"]),
        ({"data": (np.zeros((0, 2, 2), int), np.zeros(0, int))}, DatasetError, ["(0, 2, 2)"]),
        ({"test": (np.zeros((8, 2, 3), int), np.zeros(8, int))}, ConfigError, ["(2, 3)", "(2, 2)"]),
        ({"data": pa.table({"pixels": [[1]]})}, DatasetError, ["'label'"]),
        ({"data": pa.array([1])}, DatasetError, ["Table"]),
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


def test_callbacks(expected: ddmlp.Result, data: Path, tmp_path: Path):
    watch = Watch()
    found = ddmlp.fit(data, run=tmp_path / "run", callbacks=[watch], **SMALL)
    assert found.weights_sha256 == expected.weights_sha256
    steps = [call for call in watch.calls if call.startswith("step")]
    assert watch.calls[:2] == ["begin 8", "checkpoint 0"]
    assert steps[-1] == f"step {STEPS}"
    assert len(steps) > 3
    assert f"test 2 {found.test_error}" in watch.calls
    assert watch.calls[-2:] == [f"end {found.weights_sha256}", "close"]


@pytest.mark.usefixtures("often")
def test_stop(expected: ddmlp.Result, data: Path, tmp_path: Path):
    watch = Watch(stop=True)
    found = ddmlp.fit(data, run=tmp_path / "run", callbacks=[watch], **SMALL)
    assert STEPS // 2 <= found.steps < STEPS
    assert not found.finished
    assert f"checkpoint {found.steps}" in watch.calls
    assert watch.calls[-2:] == [f"end {found.weights_sha256}", "close"]
    again = ddmlp.resume(found.run, callbacks=[Watch()])
    assert (again.weights_sha256, again.finished) == (expected.weights_sha256, True)
    with pytest.raises(RunError, match="continued"):
        _ = found.model


def test_failing_callback(data: Path, tmp_path: Path):
    class Failing(Watch):
        def on_step(self, progress: Any) -> None:
            raise KeyError(progress.step)

    watch = Failing()
    with pytest.raises(KeyError):
        ddmlp.fit(data, run=tmp_path / "run", callbacks=[watch], **SMALL)
    assert watch.calls[-1] == "close"
    assert ddmlp.resume(tmp_path / "run").finished


def test_more_epochs(data: Path, tmp_path: Path):
    found = ddmlp.fit(data, run=tmp_path / "run", lr_schedule="constant", **SMALL)
    assert ddmlp.resume(found.run).weights_sha256 == found.weights_sha256
    more = ddmlp.resume(found.run, epochs=3)
    assert (more.steps, more.finished) == (240, True)
    assert ddmlp.verify(found.run).weights_sha256 == more.weights_sha256


class Interrupt(ddmlp.Callback):
    """Ctrl-C, as a terminal or a notebook sends it."""

    def on_test(self, epoch: Any) -> None:  # noqa: ARG002
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def handlers() -> Iterator[None]:
    before = [signal.getsignal(number) for number in signal.valid_signals()]
    yield
    assert [signal.getsignal(number) for number in signal.valid_signals()] == before


@pytest.mark.usefixtures("often", "handlers")
def test_ctrl_c(expected: ddmlp.Result, data: Path, tmp_path: Path):
    with pytest.raises(KeyboardInterrupt, match="after step") as caught:
        ddmlp.fit(data, run=tmp_path / "run", callbacks=[Interrupt()], keep=2, **SMALL)
    (note,) = caught.value.__notes__
    assert not (tmp_path / "run" / "result.json").exists()
    found = eval(note.partition("continue with: ")[2])
    assert found.weights_sha256 == expected.weights_sha256
    assert "keep=2" in note


@pytest.mark.usefixtures("handlers")
def test_in_a_thread(expected: ddmlp.Result, data: Path, tmp_path: Path):
    found: list[ddmlp.Result] = []
    thread = threading.Thread(target=lambda: found.append(ddmlp.fit(data, run=tmp_path / "run", **SMALL)))
    thread.start()
    thread.join()
    assert [result.weights_sha256 for result in found] == [expected.weights_sha256]


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

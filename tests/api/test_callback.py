"""Callbacks are told what happens, and can stop a run."""

from pathlib import Path
from typing import Any

import pytest

import ddmlp
from ddmlp.errors import RunError
from tests.support.api import SMALL, STEPS, Watch


def test_simple(expected: ddmlp.Result, data: Path, tmp_path: Path):
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

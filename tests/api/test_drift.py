"""The drift alarm of a run: it is recorded and shown, and changes no bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ddmlp
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import ConfigError
from ddmlp.reporting import facts
from ddmlp.reporting.charts import charts
from ddmlp.reporting.summary import read_summary
from ddmlp.runs.events import Drift
from tests.support.training import events


class Alarms(ddmlp.Callback):
    def __init__(self) -> None:
        self.found: list[Drift] = []

    def on_drift(self, drift: Drift) -> None:
        self.found.append(drift)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """2,000 rows of ten classes that are easy to learn, and 2,000 whose labels are others."""
    labels = np.random.default_rng(0).integers(0, 10, 4_000, np.uint8)
    images = np.zeros((4_000, 10, 10), np.uint8)
    images[np.arange(4_000), labels] = 255
    labels[2_000:] = (labels[2_000:] + 1) % 10
    with DatasetWriter(tmp_path / "data" / "train", (10, 10), 10) as writer:
        writer.append(images, labels)
        writer.end()
    return tmp_path / "data"


@pytest.mark.slow  # importing River takes seconds
def test_simple(folder: Path, tmp_path: Path):
    settings: dict[str, Any] = {"follow": True, "hidden": 16, "batch": 10, "microbatch": 10, "lr": 1.0}
    alarms, run = Alarms(), tmp_path / "run"
    plain = ddmlp.fit(folder, run=tmp_path / "plain", progress=False, **settings)
    found = ddmlp.fit(folder, run=run, callbacks=[alarms], drift_alarm=True, progress=False, **settings)
    assert found.weights_sha256 == plain.weights_sha256
    [drift] = alarms.found
    assert 2_000 < drift.rows == 10 * drift.step <= 2_200
    assert drift.before < 0.2 < drift.after
    [line] = [each for each in events(run) if each["event"] == "drift"]
    assert (line["step"], line["after"]) == (drift.step, drift.after)
    assert ddmlp.verify(run).weights_sha256 == found.weights_sha256
    summary = read_summary(run)
    assert facts.result(summary)["drift alarms"] == "1"
    assert "drift alarms" not in facts.result(read_summary(tmp_path / "plain"))
    pictures = [
        next(chart.svg for chart in charts(["one"], [each]) if chart.title == "Prequential error")
        for each in (summary, read_summary(tmp_path / "plain"))
    ]
    assert pictures[0].count("<use") > pictures[1].count("<use"), "the dot"


def test_rows_more_than_once(tmp_path: Path):
    images, labels = np.zeros((64, 4, 4), np.uint8), np.arange(64) % 2
    with pytest.raises(ConfigError, match="drift_alarm"):
        ddmlp.fit((images, labels), run=tmp_path / "run", drift_alarm=True, hidden=4)
    assert not (tmp_path / "run").exists()


def test_not_installed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ddmlp.errors.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"ddmlp\[drift\]"):
        ddmlp.fit(folder, run=tmp_path / "run", follow=True, drift_alarm=True)

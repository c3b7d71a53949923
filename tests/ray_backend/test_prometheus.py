"""Metrics on Ray: at the endpoint that Prometheus reads, and in the dashboard that Grafana shows."""

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ddmlp.ray_backend.prometheus import RayMetrics
from ddmlp.runs.events import Drift, Progress, Queue, Queues, Started
from ddmlp.runs.lag import Lag
from tests.api.test_progress import REPORT
from tests.support.events import progress

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]  # which sets up Ray before it is imported

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "cluster" / "grafana.json"

Samples = dict[str, dict[tuple[str, ...], float]]


@pytest.fixture(scope="module")
def scraped(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of a run, and what Prometheus reads at its end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    measuring = {"RAY_enable_metrics_collection": "1", "RAY_metrics_report_interval_ms": "500"}
    command = [sys.executable, "-m", "tests.support.scrape", data, tmp_path_factory.mktemp("metrics") / "run"]
    done = subprocess.run(command, env=clean | measuring, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])  # Ray may print lines before
    return found


def samples(text: str, run: str) -> Samples:
    """The values of the metrics of ddmlp for a run: by name, and by the values of its labels."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("ray_ddmlp_") and sample.labels["run"] == run:
                ours = [label for label in ("staleness", "kind", "queue", "le") if label in sample.labels]
                found.setdefault(sample.name, {})[tuple(sample.labels[label] for label in ours)] = sample.value
    return found


@pytest.mark.cluster
def test_simple(scraped):
    result, found = scraped["result"], samples(scraped["text"], "run")
    assert result["steps"] == 30 * 27
    assert found["ray_ddmlp_rows_total"] == {(): result["rows"]}
    assert found["ray_ddmlp_steps_total"] == {("0",): result["steps"]}
    assert found["ray_ddmlp_position"] == {(): result["steps"]}
    assert found["ray_ddmlp_restarts_total"] == {("worker",): result["worker_deaths"]}
    assert result["worker_deaths"] >= 1
    assert found["ray_ddmlp_test_error"][()] == pytest.approx(result["test_error"])
    assert 0 < found["ray_ddmlp_loss"][()] < 1
    assert found["ray_ddmlp_workers"][()] in (1, 2)
    assert set(found["ray_ddmlp_queue_depth"]) == {("units",), ("gradients",)}
    assert found["ray_ddmlp_wait_seconds_total"][()] > 0
    checkpoints = 1 + 30  # at the beginning, and at the end of each epoch
    assert found["ray_ddmlp_checkpoint_seconds_count"][()] == checkpoints
    assert found["ray_ddmlp_staleness_bucket"][("0.5",)] == found["ray_ddmlp_staleness_count"][()] > 0


@pytest.mark.cluster
def test_dashboard(scraped):
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) >= 10
    named = set(re.findall(r"ray_\w+", " ".join([*queries, dashboard["templating"]["list"][1]["definition"]])))
    shown = samples(scraped["text"], "everything")
    assert named <= shown.keys()
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown if not name.endswith("_created")}
    assert families == {re.sub(r"_bucket$", "", name) for name in named}, "the dashboard shows every metric"


class Recorded:
    """A metric of Ray, as far as it is used, that records its values."""

    recorded: dict[str, list[Any]]

    def __init__(self, name: str, _text: str, tag_keys: tuple[str, ...], boundaries: object = None) -> None:
        self.info, self._keys, self._boundaries = {"name": name}, tag_keys, boundaries

    def set_default_tags(self, tags: dict[str, str]) -> "Recorded":
        assert tags == {"run": "it"}
        return self

    def note(self, value: float, tags: dict[str, str] | None = None) -> None:
        assert {"run", *(tags or {})} == set(self._keys)
        self.recorded.setdefault(self.info["name"].removeprefix("ddmlp_"), []).append((value, *(tags or {}).values()))

    def inc(self, value: float, tags: dict[str, str] | None = None) -> None:
        assert value > 0, "which Ray refuses"
        self.note(value, tags)

    set = observe = note


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """The values that Ray gets, by metric, each with its labels."""
    Recorded.recorded = {}
    # Ray itself is not imported: it reads its environment then, and a local Ray that starts later sets its own.
    kinds = SimpleNamespace(Counter=Recorded, Gauge=Recorded, Histogram=Recorded)
    monkeypatch.setitem(sys.modules, "ray.util.metrics", kinds)
    return Recorded.recorded


def test_a_report(recorded):
    shown = RayMetrics("it")
    shown.show(
        replace(REPORT, trained=6_400, updates={0: 60, 2: 30, 64: 9, 99: 1}, staleness=(3.3, 99)),
        {"worker": 0, "server": 0},
    )
    assert recorded == {
        "position": [(30,)],
        "workers": [(2,)],
        "rows": [(6_400,)],
        "loss": [(0.25,)],
        "staleness": [(99,)],
        "steps": [(60, "0"), (30, "2"), (9, "64 and more"), (1, "64 and more")],
    }


def test_a_new_server(recorded):
    shown, begun = RayMetrics("it"), Started(0, [])
    quiet = replace(REPORT, trained=0, updates={}, error=math.nan)

    def progress_of(blocked: float, waited: float) -> Progress:
        return progress(1, queues=Queues(Queue(1, 2, blocked), Queue(1, 2, 0.0)), waited=waited, reissued=0)

    shown.show(replace(quiet, events=[begun, progress_of(1.0, 10.0), progress_of(1.0, 12.0)]), {"server": 0})
    shown.show(replace(quiet, events=[begun, progress_of(0.25, 11.0)]), {"server": 1})
    shown.show(replace(quiet, events=[progress_of(0.5, 11.0)]), {"server": 1})
    assert recorded["queue_blocked_seconds"] == [(1.0, "units"), (0.25, "units"), (0.25, "units")]
    assert len(recorded["queue_depth"]) == 2 * 3, "once for each report, whatever its number of progress events"
    assert recorded["wait_seconds"] == [(12.0,), (11.0,)]
    assert recorded["restarts"] == [(1, "server")]
    assert not {"loss", "rows", "reissued"} & recorded.keys()


def test_stream(recorded):
    """What is not known is absent, and NaN once it was known."""
    shown = RayMetrics("it")
    for lag in (None, Lag(messages=4), Lag(messages=0, rows=0, seconds=0.0), Lag(messages=4, rows=9), None):
        shown.show(REPORT, {}, lag)
    assert str(recorded["lag_rows"]) == "[(0,), (9,), (nan,)]"
    assert str(recorded["lag_seconds"]) == "[(0.0,), (nan,), (nan,)]"
    assert "drift_alarms" not in recorded
    shown.show(replace(REPORT, events=[Drift(step=4, rows=400, before=0.1, after=0.5)]), {})
    assert recorded["drift_alarms"] == [(1,)]

"""The charts of runs, and their texts for screen readers."""

from dataclasses import replace

import pytest
from msgspec import structs

from ddmlp.reporting.charts import WAITS, Chart, _waits, charts
from ddmlp.reporting.summary import read_summary
from ddmlp.runs.events import Queue, Queues, Started
from ddmlp.runs.records import Records
from tests.support.events import progress


@pytest.fixture(scope="module")
def drawn(runs) -> dict[str, dict[str, Chart]]:
    """The charts of each run, by title."""
    return {
        name: {chart.title: chart for chart in charts([name], [read_summary(runs / name)])}
        for name in ("plain", "late", "stream")
    }


def test_simple(drawn):
    assert drawn["plain"].keys() == {"Loss", "Error", "Speed"}
    assert drawn["late"].keys() == {"Loss", "Error", "Speed", "Staleness"}
    assert drawn["stream"].keys() == {"Loss", "Error", "Speed", "Prequential error"}
    for chart in drawn["late"].values():
        assert chart.svg.startswith("<svg")
        assert chart.caption


def test_text_of_a_curve(drawn, runs):
    lines = read_summary(runs / "plain").records.progress
    ends = f"plain {lines[0].error:.4g} to {lines[-1].error:.4g}"
    assert drawn["plain"]["Loss"].alternative == f"Loss over rows trained on, E, nats: {ends}"


def test_text_of_a_histogram(drawn):
    assert drawn["late"]["Staleness"].alternative.endswith("late: 0 versions: 1, 1 versions: 1, 2 versions: 78")


def test_several_runs_in_one(runs):
    names = ["plain", "late", "part"]
    found = charts(names, [read_summary(runs / name) for name in names])
    assert all(name in found[0].alternative for name in names)
    assert [chart.title for chart in found].count("Staleness") == 1


def test_no_lines(runs, tmp_path):
    (tmp_path / "config.json").write_bytes((runs / "late" / "config.json").read_bytes())
    assert charts(["late"], [read_summary(tmp_path)]) == []


def test_waiting(runs):
    late = read_summary(runs / "late")
    summary = replace(late, result=structs.replace(late.result, workers=2))
    lines = [
        progress(100 * n, seconds=1.0 * n, waited=0.25 * n, rows=1_000 * n, workers=2,
                 queues=Queues(Queue(1, 1, 0.0), Queue(0, 1, 1.5 * n)))
        for n in range(1, 41)
    ]  # fmt: skip
    records = Records([*lines[:20], Started(2_000, []), *lines[20:]])
    found = {chart.title: chart for chart in charts(["late"], [replace(summary, records=records)])}
    assert found["Waiting"].alternative.endswith(": late 25 to 25")
    server, worker = _waits(0, replace(summary, records=records))
    assert {*server.y} == {25}
    assert {*worker.y} == {75}  # each of two workers
    assert len(server.x) == WAITS - 1  # the interval with the start does not count

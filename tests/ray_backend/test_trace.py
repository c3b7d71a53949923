"""The trace of a run whose workers and servers are processes: whole, and of no influence on the weights."""

from pathlib import Path
from typing import Any

import pytest

from ddmlp.ray_backend.cluster import Cluster
from ddmlp.ray_backend.trainer import RayTrainer
from tests.support.faults import ANY, Fault, fired
from tests.support.process_trainer import ProcessTrainer
from tests.support.runs import CONFIG, alone, begin, job, train
from tests.support.traces import UNIT, events, named, units

STEPS = 54


def trained(data: Path, tmp_path: Path, *faults: Fault, relay: bool = False, **more: Any) -> list[dict[str, Any]]:
    """Train with two workers and a trace; returns its events."""
    marks, run = tmp_path / "marks", tmp_path / "run"
    marks.mkdir()
    begin(run, CONFIG, data)
    trainer = ProcessTrainer(job(data, run, 2, trace=True, **more), faults, marks, relay=relay)
    assert train(trainer, run)["weights_sha256"] == alone(data, tmp_path / "alone")["weights_sha256"]
    assert all(fired(marks, fault) for fault in faults)
    return events(run)


@pytest.mark.slow
def test_killed(data: Path, tmp_path: Path):
    """A worker and the server are killed: the trace continues, and has both."""
    faults = Fault("kill", ANY, 17, "computed"), Fault("kill", None, 35, "applied")
    found = trained(data, tmp_path, *faults)
    [death] = [event for event in named(found, "death") if event["args"]["cause"] == "exited"]
    [start], [restart] = named(found, "start"), named(found, "restart")
    assert restart["args"]["step"] == 30
    assert start["ts"] < death["ts"] < restart["ts"]
    joined = [event["ts"] for event in named(found, "joined")]
    assert min(joined) < death["ts"]
    assert max(joined) > restart["ts"]
    applied = [event["args"]["step"] for event in named(found, "applied")]
    assert {*applied} > {*range(30, STEPS)}
    assert applied[-1] == STEPS - 1
    for name in UNIT:
        assert {step for step, _, _ in units(found, name)} > {*range(30, STEPS)}
    assert named(found, "test")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "lanes"), [({"relay": True}, {1}), ({"servers": 2}, {1, 2})], ids=["relay", "servers"]
)
def test_others(data: Path, tmp_path: Path, more: dict[str, Any], lanes: set[int]):
    """A relay computes a unit by its workers; several servers have one coordinator."""
    found = trained(data, tmp_path, **more)
    assert sorted(event["args"]["step"] for event in named(found, "applied")) == [*range(STEPS)]
    computed = named(found, "computed")
    assert {event["tid"] for event in computed} == lanes
    assert all(event["dur"] > 0 for event in computed)
    assert sorted(units(found, "computed")) == sorted(units(found, "added"))


@pytest.mark.ray
@pytest.mark.chaos
def test_ray(cluster: Cluster, data: Path, tmp_path: Path):
    run = tmp_path / "run"
    begin(run, CONFIG, data)
    found = train(RayTrainer(job(data, run, 2, trace=True), cluster), run)
    assert found["weights_sha256"] == alone(data, tmp_path / "alone")["weights_sha256"]
    seen = events(run)
    assert len(named(seen, "applied")) == found["steps"]
    assert {event["args"]["worker"] for event in named(seen, "joined")} == {0, 1}

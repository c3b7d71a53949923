"""Relays on Ray: workers behind one that dies or hangs, and workers that die or hang behind one."""

from dataclasses import replace
from pathlib import Path

import pytest

from ddmlp.config import Timeouts, TrainConfig
from ddmlp.ray_backend.cluster import Cluster
from ddmlp.ray_backend.relays import Relays
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.training.setup import build_trainer
from tests.support.far_group import FarGroup
from tests.support.faults import ANY, RELAY, Fault, faulty_on_ray, fired
from tests.support.faulty_relay import faulty_relay
from tests.support.processes import assert_no_actor_is_left
from tests.support.runs import CONFIG, begin, job, train

pytestmark = [pytest.mark.ray, pytest.mark.slow]


LONGER = replace(CONFIG, epochs=60)  # so long that a worker that hangs is missed


def far_trainer(fault: Fault, marks: Path) -> type[RayTrainer]:
    """A class of trainers all of whose workers are behind a relay, with a fault."""
    faulty = faulty_on_ray([fault], marks)
    relays = type("FaultyRelays", (Relays,), {"relay_class": faulty_relay([fault], marks)})
    group = type("FarFaultyGroup", (FarGroup, faulty.group_class), {"relays_class": relays})
    return type("FarTrainer", (faulty,), {"group_class": group})


@pytest.mark.parametrize(
    ("fault", "relays", "hung", "config"),
    [
        (Fault("kill", RELAY, 17, "computed"), 2, 0, CONFIG),
        pytest.param(Fault("stop", RELAY, 17, "taken"), 2, 2, CONFIG, marks=pytest.mark.chaos),
        (Fault("stop", ANY, 17, "taken"), 1, 1, LONGER),
        pytest.param(Fault("kill", None, 26, "applied"), 2, 0, CONFIG, marks=pytest.mark.chaos),
    ],
    ids=["killed", "hangs", "worker hangs", "server killed"],
)
def test_simple(
    fault: Fault,
    relays: int,
    hung: int,
    config: TrainConfig,
    cluster: Cluster,
    data: Path,
    tmp_path: Path,
):
    if cluster.cpus < 2:
        pytest.skip("a node with one CPU has no relay")
    for name in ("alone", "run"):
        begin(tmp_path / name, config, data)
    expected = train(build_trainer(job(data, tmp_path / "alone", 0, config)), tmp_path / "alone")
    (marks := tmp_path / "marks").mkdir()
    timeouts = Timeouts(overdue=0.5, unresponsive=1.0)
    trainer = far_trainer(fault, marks)(job(data, tmp_path / "run", 2, config, timeouts=timeouts), cluster)
    found = train(trainer, tmp_path / "run")
    assert fired(marks, fault)
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["workers_lost"] == {"exited": 0, "unresponsive": hung, "rejected": 0}
    assert trainer._group._relays._started == relays
    assert_no_actor_is_left()

"""The only worker hangs when no report of the server can name it: it is replaced all the same."""

import os
import signal
from pathlib import Path

import pytest

from ddmlp.config import Timeouts, TrainConfig
from ddmlp.ray_backend.cluster import Cluster
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.training.setup import build_trainer
from tests.support.faults import ANY, Fault, faulty_on_ray, fired
from tests.support.processes import actors, assert_no_actor_is_left
from tests.support.runs import CONFIG, begin, job, train

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_simple(cluster: Cluster, data: Path, tmp_path: Path):
    """It has a unit of a step that a checkpoint waits for."""
    config = TrainConfig(hidden=20, batch=150, microbatch=32, staleness="inf")
    begin(tmp_path / "run", config, data)
    (marks := tmp_path / "marks").mkdir()
    fault = Fault("stop", ANY, 17, "taken")
    made = job(data, tmp_path / "run", 1, config, timeouts=Timeouts(unresponsive=0.5, join=20.0))
    trainer = faulty_on_ray([fault], marks)(made, cluster)
    assert train(trainer, tmp_path / "run", lambda: fired(marks, fault), 0.0) == {}
    assert fired(marks, fault)
    saved = max(int(path.stem.removeprefix("step-")) for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert saved > 17
    assert_no_actor_is_left()


def test_no_server_knows_it(cluster: Cluster, data: Path, tmp_path: Path):
    """The server to which it was connected has died."""
    for name in ("alone", "run"):
        begin(tmp_path / name, CONFIG, data)
    expected = train(build_trainer(job(data, tmp_path / "alone", 0)), tmp_path / "alone")
    trainer = RayTrainer(job(data, tmp_path / "run", 1, timeouts=Timeouts(join=20.0)), cluster)
    trainer.advance(0)
    (worker,), (server,) = actors(b"ray::WorkerActor"), actors(b"ray::ServerActor")
    os.kill(worker, signal.SIGSTOP)
    os.kill(server, signal.SIGKILL)
    found = train(trainer, tmp_path / "run")
    assert (found["weights_sha256"], found["server_deaths"]) == (expected["weights_sha256"], 1)
    assert found["workers_lost"]["unresponsive"] == 1
    assert_no_actor_is_left()

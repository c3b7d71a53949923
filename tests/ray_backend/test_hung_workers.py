"""A worker hangs when no report of the server can name it: it is replaced all the same."""

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from ddmlp.config import Timeouts, TrainConfig
from ddmlp.ray_backend import attendance
from ddmlp.ray_backend.cluster import Cluster
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.training.setup import build_trainer
from tests.support.faults import ANY, Fault, faulty_on_ray, fired
from tests.support.processes import actors, alive, assert_no_actor_is_left
from tests.support.runs import CONFIG, begin, job, train

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_simple(cluster: Cluster, data: Path, tmp_path: Path):
    """The only worker has a unit of a step that a checkpoint waits for."""
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


@pytest.mark.chaos
def test_no_server_knows_it(cluster: Cluster, data: Path, tmp_path: Path):
    """The server to which the only worker was connected has died."""
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


@pytest.mark.chaos
def test_others_are_connected(cluster: Cluster, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The server to which it was connected has died, and another worker is connected to the next one."""
    monkeypatch.setattr(attendance, "PATIENCE", 4)
    config = TrainConfig(hidden=20, batch=150, microbatch=32, epochs=10_000)
    begin(tmp_path / "run", config, data)
    trainer = RayTrainer(job(data, tmp_path / "run", 2, config, timeouts=Timeouts(join=6.0)), cluster)
    with closing(trainer):
        trainer.advance(0)
        hung, (server,) = actors(b"ray::WorkerActor")[:1], actors(b"ray::ServerActor")
        os.kill(hung[0], signal.SIGSTOP)
        os.kill(server, signal.SIGKILL)
        report = trainer.advance(0)
        while alive(hung) or report.workers < 2:
            report = trainer.advance(0.2)
            assert report.result is None
    assert_no_actor_is_left()

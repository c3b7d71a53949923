"""The trainer on a real Ray: one result for any number of workers, and nothing left behind."""

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ddmlp.config import Timeouts
from ddmlp.errors import ClusterError, DatasetError
from ddmlp.ray_backend import worker_group
from ddmlp.ray_backend.actors import ServerActor, WorkerActor
from ddmlp.ray_backend.cluster import Cluster
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.training.job import Job
from ddmlp.training.setup import build_trainer
from ddmlp.transport.handshake import CHALLENGE
from tests.support.certificates import write_files
from tests.support.far_group import FarGroup
from tests.support.helpers import plain
from tests.support.processes import actors, assert_no_actor_is_left
from tests.support.runs import CONFIG, finish


def train(trainer: Any) -> dict[str, Any]:
    """The result of training to the end."""
    found: dict[str, Any] = plain(finish(trainer)[1])
    return found


def job(data: Path, run: Path, workers: int, **more: Any) -> Job:
    run.mkdir(exist_ok=True)
    return Job(CONFIG, data, run, workers, checkpoint_every=1000, **more)


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of the single-process mode."""
    return train(build_trainer(job(data, tmp_path_factory.mktemp("run"), 0)))


@pytest.fixture
def own_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificates of a user."""
    return write_files(tmp_path_factory.mktemp("tls"))


def test_simple(cluster: Cluster, data: Path, expected: dict[str, Any], tmp_path: Path, temporary: Path):
    trainer = RayTrainer(job(data, tmp_path, 2), cluster)
    assert len(actors()) == 3
    (folder,) = temporary.glob("ddmlp-*")
    assert (folder / "server-1").is_socket()
    found = train(trainer)
    assert not folder.exists()
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["test_error"] == expected["test_error"] < 0.3
    assert_no_actor_is_left()


@pytest.mark.parametrize("workers", [3, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 4, 7))])
def test_any_number_of_workers(workers: int, cluster: Cluster, data: Path, expected: dict[str, Any], tmp_path: Path):
    class Fair(ServerActor):
        pool_options: ClassVar[dict[str, Any]] = {"cores": workers, "time_slice": 1}  # all workers compute

    class FairTrainer(RayTrainer):
        server_class = Fair

    patient = Timeouts(overdue=3_600.0)  # no worker is late, however busy the machine is
    found = train(FairTrainer(job(data, tmp_path, workers, timeouts=patient), cluster))
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["chain"] == expected["chain"]
    assert sorted(map(int, found["answered"])) == list(range(workers))
    assert min(found["answered"].values()) > 0
    assert (found["worker_deaths"], found["server_deaths"]) == (0, 0)


@pytest.mark.parametrize(
    ("host", "files", "encrypted"),
    [
        ("0.0.0.0", False, True),
        pytest.param("0.0.0.0", True, True, marks=pytest.mark.slow),
        pytest.param("127.0.0.1", False, False, marks=pytest.mark.slow),
    ],
    ids=["other nodes", "own files", "loopback"],
)
def test_encrypted(
    cluster: Cluster,
    data: Path,
    expected: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own_files: Path,
    host: str,
    files: bool,
    encrypted: bool,
):
    """Connections between nodes are, by the certificates of the run or of the user. On loopback nothing is."""
    monkeypatch.setattr(cluster.ray.util, "get_node_ip_address", lambda: host)
    monkeypatch.setattr(RayTrainer, "group_class", FarGroup)
    trainer = RayTrainer(job(data, tmp_path, 2, certificates=own_files if files else None), cluster)
    far = trainer._endpoint.far
    assert far is not None
    with socket.create_connection(("127.0.0.1", far[1]), 10) as client:
        client.sendall(bytes(12))  # a frame that is no hello; no TLS
        found = train(trainer)
        answer = b""
        with suppress(ConnectionResetError):
            answer = client.recv(1)
    assert (answer == bytes([CHALLENGE])) != encrypted, "the length of the challenge"
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["worker_deaths"] == 0
    for each in (*tmp_path.rglob("*"), *(tmp_path / "run").rglob("*")):
        assert each.is_dir() or b"PRIVATE KEY" not in each.read_bytes()


@pytest.mark.slow
def test_workers_change(cluster: Cluster, data: Path, expected: dict[str, Any], tmp_path: Path):
    assert train(RayTrainer(job(data, tmp_path, 2, stop_after=13), cluster))["steps"] == 13
    assert train(build_trainer(job(data, tmp_path, 0, stop_after=31)))["steps"] == 31
    trainer = RayTrainer(job(data, tmp_path, 3), cluster)
    assert trainer.step == 31
    assert train(trainer)["weights_sha256"] == expected["weights_sha256"]


def test_no_place_for_workers(cluster: Cluster, data: Path, tmp_path: Path):
    class Holder:
        def ready(self) -> bool:
            return True

    holder = cluster.ray.remote(Holder).options(num_cpus=cluster.cpus).remote()
    assert cluster.ray.get(holder.ready.remote())
    with pytest.raises(ClusterError, match=r"2 of 2 workers .* 1 s\b.* 0 of them free.* fewer workers"):
        RayTrainer(job(data, tmp_path, 2, timeouts=Timeouts(place=1)), cluster)
    cluster.ray.kill(holder)
    assert_no_actor_is_left()


def test_error_in_an_actor(cluster: Cluster, tmp_path: Path):
    with pytest.raises(DatasetError, match=r"nowhere/train .*dataset\.json"):
        RayTrainer(job(tmp_path / "nowhere", tmp_path / "run", 1), cluster)
    assert_no_actor_is_left()


def kill(title: bytes) -> None:
    """SIGKILL one process, and wait until it has ended."""
    (process,) = actors(title)
    os.kill(process, signal.SIGKILL)
    while actors(title) == [process]:
        pass


def test_reports_and_a_checkpoint(cluster: Cluster, data: Path, tmp_path: Path):
    trainer = RayTrainer(job(data, tmp_path, 2), cluster)
    report = trainer.advance(0)
    assert (report.workers, report.steps, report.result) == (2, 54, None)
    while not (report := trainer.advance(0.01)).step:
        pass
    folder = trainer.checkpoint()
    assert (folder / f"step-{report.step:012d}.npz").exists()
    assert report.step == trainer.step
    trainer.close()
    assert_no_actor_is_left()


def test_server_dies(cluster: Cluster, data: Path, expected: dict[str, Any], tmp_path: Path):
    """A checkpoint that is asked for then raises a clear error."""
    trainer = RayTrainer(job(data, tmp_path, 1), cluster)
    trainer.advance(0)
    kill(b"ray::ServerActor")
    with pytest.raises(ClusterError, match=r"server .* checkpoint"):
        trainer.checkpoint()
    found = train(trainer)  # a caller that continues gets another server
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["server_deaths"] == 1
    assert_no_actor_is_left()


@pytest.mark.slow
def test_server_dies_repeatedly(cluster: Cluster, data: Path, tmp_path: Path):
    trainer = RayTrainer(job(data, tmp_path, 1, max_deaths=1), cluster)
    for _ in range(2):
        trainer.advance(0)
        kill(b"ray::ServerActor")
    with pytest.raises(ClusterError, match=r"server .* 2 times .*ActorDied"):
        trainer.advance(0)
    trainer.close()
    assert_no_actor_is_left()


@pytest.mark.slow
def test_server_deaths_count(cluster: Cluster, data: Path, tmp_path: Path):
    """Deaths count only since the newest checkpoint."""
    trainer = RayTrainer(job(data, tmp_path, 1, max_deaths=1), cluster)
    try:
        for _ in range(3):
            before = trainer.step
            while trainer.advance(0.01).step <= before:
                pass
            trainer.checkpoint()
            kill(b"ray::ServerActor")
        assert trainer.advance(0.01).step > before
    finally:
        trainer.close()


def test_workers_die_repeatedly(cluster: Cluster, data: Path, tmp_path: Path):
    class Mortal(WorkerActor):
        def work(self, *_: Any, **__: Any) -> str:
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError("it was not killed")

    class MortalGroup(worker_group.WorkerGroup):
        worker_class = Mortal

    class MortalTrainer(RayTrainer):
        group_class = MortalGroup

    with pytest.raises(ClusterError, match=r"^2 workers .*ActorDied"):
        MortalTrainer(job(data, tmp_path, 1, max_deaths=1), cluster)
    assert_no_actor_is_left()

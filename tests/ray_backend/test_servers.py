"""Several servers on a real Ray: the weights of one, whichever dies or hangs."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddmlp.config import Timeouts
from ddmlp.errors import DatasetError
from ddmlp.ray_backend.cluster import Cluster
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.training.setup import build_trainer
from tests.support.helpers import plain
from tests.support.processes import actors, assert_no_actor_is_left
from tests.support.runs import CONFIG, begin, finish, job

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of one process."""
    run = tmp_path_factory.mktemp("alone") / "run"
    begin(run, CONFIG, data)
    found: dict[str, Any] = plain(finish(build_trainer(job(data, run, 0)))[1])
    return found


@pytest.fixture
def trained(cluster: Cluster, data: Path, tmp_path: Path):
    """Trains with 2 servers; `disturb` is called once some steps are applied."""

    def trained(disturb: Callable[[], None] = lambda: None, **more: Any) -> dict[str, Any]:
        begin(tmp_path / "run", CONFIG, data)
        trainer = RayTrainer(job(data, tmp_path / "run", 2, servers=2, **more), cluster)
        assert len(actors(b"ray::SliceActor")) == 2
        while trainer.advance(0).step < 5:
            pass
        disturb()
        found: dict[str, Any] = plain(finish(trainer)[1])
        assert_no_actor_is_left()
        return found

    return trained


def test_simple(trained: Any, expected: dict[str, Any], tmp_path: Path, temporary: Path):
    found = trained(log_level=20)
    assert (found["weights_sha256"], found["chain"]) == (expected["weights_sha256"], expected["chain"])
    assert found["server_deaths"] == 0
    assert not list(temporary.glob("ddmlp-*"))
    logs = {path.name for path in (tmp_path / "run" / "logs").iterdir()}
    assert logs == {"server.log", "server-1.log", "server-2.log", "worker-0.log", "worker-1.log"}


@pytest.mark.parametrize("title", [b"ray::SliceActor", b"ray::ServerActor"])
def test_killed(title: bytes, trained: Any, expected: dict[str, Any]):
    killed: list[int] = []

    def kill() -> None:
        killed.append(actors(title)[0])
        os.kill(killed[0], signal.SIGKILL)

    found = trained(kill)
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert (len(killed), found["server_deaths"]) == (1, 1)


def test_stopped(trained: Any, expected: dict[str, Any]):
    """A server that hangs is killed once it does not answer a ping."""
    found = trained(
        lambda: os.kill(actors(b"ray::SliceActor")[0], signal.SIGSTOP),
        timeouts=Timeouts(ping=1.0),
    )
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["server_deaths"] == 1


def test_error_of_a_server(cluster: Cluster, tmp_path: Path):
    with pytest.raises(DatasetError, match=r"nowhere/train .*dataset\.json"):
        RayTrainer(job(tmp_path / "nowhere", tmp_path / "run", 1, servers=2), cluster)
    assert_no_actor_is_left()

"""The logs of a run on Ray: complete in its folder, without secrets, and in a bounded number of files."""

import logging
import os
import re
import secrets
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ddmlp.config import TrainConfig
from ddmlp.ray_backend.cluster import Cluster
from ddmlp.ray_backend.endpoint import Endpoint
from ddmlp.ray_backend.member import Member
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.ray_backend.worker_group import WorkerGroup
from ddmlp.runs.log_files import LogFile, logging_to
from ddmlp.training.job import Job
from ddmlp.training.setup import build_trainer
from ddmlp.training.worker_pool import EXITED
from tests.support import runs

CONFIG = TrainConfig(hidden=20, batch=150, microbatch=32, epochs=1)
SECRET = b"the secret of this run: \x00\x01, 32 bytes"


class OneFar(WorkerGroup):
    """Worker 1 is on another node than the server, as far as its group knows."""

    def _send(self, member: Member) -> None:
        self._here = "elsewhere" if member.number == 1 else member.node
        super()._send(member)


class LoggedTrainer(RayTrainer):
    group_class = OneFar


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The weights of the single-process mode, which logs nothing."""
    run = tmp_path_factory.mktemp("run")
    return runs.train(build_trainer(runs.job(data, run, 0, CONFIG)), run)["weights_sha256"]


@pytest.mark.slow
def test_simple(cluster: Cluster, data: Path, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """All at DEBUG. The weights are the same, and neither the run's secret nor Ray's token is in any log."""
    monkeypatch.setattr(secrets, "token_bytes", lambda _: SECRET)
    job = runs.job(data, tmp_path, 2, CONFIG, log_level=logging.DEBUG)
    with logging_to(LogFile.of_run(tmp_path, "train"), logging.DEBUG):
        logging.getLogger("ddmlp.test").warning("token %s, %s", os.environ["RAY_AUTH_TOKEN"], "tcp://me:pass@host:1")
        assert runs.train(LoggedTrainer(job, cluster), tmp_path)["weights_sha256"] == expected
    texts = {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert sorted(texts) == ["relay-0.log", "server.log", "train.log", "worker-0.log", "worker-1.log"]
    for name, fact in {
        "server.log": r"INFO ddmlp\.training\.recorder: checkpoint of step 27 ",
        "train.log": r"INFO ddmlp\.ray_backend\.worker_group: worker 1 .*worker-1\.log",
        "worker-0.log": "memory is shared(?s:.*)DEBUG .*step 26",
        "worker-1.log": "memory is shared(?s:.*)DEBUG .*step 26",
        "relay-0.log": "over the network(?s:.*)DEBUG .*step 0",
    }.items():
        assert re.search(fact, texts[name]), name
    hidden = [SECRET.hex(), repr(SECRET)[2:20], SECRET.decode()[:20], os.environ["RAY_AUTH_TOKEN"], "me:pass"]
    assert [(name, secret) for name, text in texts.items() for secret in hidden if secret in text] == []
    assert "token ***, tcp://***@host:1" in texts["train.log"]


def test_secret_not_shown():
    assert repr(SECRET)[2:20] not in repr(Endpoint("here", None, SECRET))


def test_many_restarts(tmp_path: Path):
    """A worker that replaces another one has the same slot, and so the same file."""
    handle: Any = SimpleNamespace(remote=lambda *_: SimpleNamespace(place=SimpleNamespace(remote=object)))
    ray = SimpleNamespace(remote=lambda _: SimpleNamespace(options=lambda **_: handle), kill=lambda _: None)
    cluster: Any = SimpleNamespace(ray=ray, here="here", share=lambda _: 1.0)
    group = WorkerGroup(cluster, Job(CONFIG, tmp_path, tmp_path, 3, 1000), lambda: Endpoint("here", None, b""))
    for _ in range(3):
        group._start({})
    for number in range(1_000):
        call = list(group._calls)[number % 2]
        group._replace(group._calls.pop(call), EXITED)
        group.replace_released([], stepped=True)
        assert sorted(member.slot for member in group._calls.values()) == [0, 1, 2]
    assert group.losses.counts[EXITED] == 1_000
    assert max(member.number for member in group._calls.values()) == 1_002

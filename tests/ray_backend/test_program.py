"""Training inside a program or a notebook: repeatedly, beside its Ray, without changing the state of the program."""

import faulthandler
import logging
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import ddmlp
from ddmlp.ray_backend.cluster import Cluster

SETTINGS: dict[str, Any] = {"hidden": 20, "batch": 150, "epochs": 1}


def state() -> dict[str, Any]:
    """The state of a program that Ray would change."""
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in ("ray", "asyncio", "ddmlp"))]
    return {
        "environment": dict(os.environ),
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "blocked signals": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.stdout, sys.stderr),
        "loggers": [(each.level, list(each.handlers), each.propagate) for each in loggers],
        "group": (os.getpgrp(), os.getsid(0)),
        "limits": [resource.getrlimit(each) for each in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)],
        "paths": (list(sys.path), list(sys.argv), Path.cwd()),
        "umask": os.umask(os.umask(0o077)),
        "faults": faulthandler.is_enabled(),
    }


class Trainer:
    """An actor that trains."""

    def train(self, *arguments: Any, **options: Any) -> str:
        return train(*arguments, **options)


def train(data: Path | str, run: Path | str, **options: Any) -> str:
    """The hash of the weights."""
    return ddmlp.fit(data, run=run, progress=True, **SETTINGS, **options).weights_sha256


@pytest.fixture
def expected(data: Path, tmp_path: Path) -> str:
    return train(data, tmp_path / "alone")


@pytest.mark.slow
def test_simple(cluster: Cluster, data: Path, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """In a thread. The program's Ray is used, and stays."""
    before, found = state(), []
    thread = threading.Thread(target=lambda: found.append(train(data, tmp_path / "run", workers=2)))
    thread.start()
    thread.join()
    assert state() == before
    assert f"using the Ray at {cluster.address} (this program is connected to it)" in capsys.readouterr().out
    assert found == [expected]
    assert cluster.ray.is_initialized()
    assert cluster.cpus > 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("threads", [1, 2])
def test_in_a_task_and_an_actor(
    cluster: Cluster, data: Path, expected: str, tmp_path: Path, workers: int, threads: int
):
    """Two threads: the actor's methods are not called in its main thread."""
    task = cluster.ray.remote(num_cpus=0)(train)
    found = task.remote(str(data), str(tmp_path / "task"), workers=workers)
    assert cluster.ray.get(found) == expected
    actor = cluster.ray.remote(num_cpus=0, max_concurrency=threads)(Trainer).remote()
    found = actor.train.remote(str(data), str(tmp_path / "actor"), workers=workers)
    assert cluster.ray.get(found) == expected
    cluster.ray.kill(actor)


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.cluster
def test_twice_on_local_rays(
    cluster: Cluster, data: Path, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """As a cell of a notebook that is run again."""
    before = state()
    for run in ("first", "second"):
        assert train(data, tmp_path / run, workers=2, address="local") == expected
        assert "started a local Ray" in capsys.readouterr().out
        assert state() == before
    assert cluster.ray.is_initialized()

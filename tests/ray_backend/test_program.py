"""Training inside a program, a notebook say: as often as it likes, beside a Ray of its own; nothing of it changes."""

import faulthandler
import json
import logging
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from ddmlp.cli.train import main
from ddmlp.ray_backend.cluster import Cluster
from tests.support.helpers import inside

SETTINGS = ["--no-report", "--hidden", "20", "--batch", "150", "--epochs", "1"]


def state() -> dict[str, Any]:
    """What belongs to a program, and Ray would change."""
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


def train(data: Path, run: Path, *more: str) -> tuple[CompletedProcess[str], str]:
    """Train; what was said, and the weights' hash."""
    done = inside(main, *SETTINGS, "--data", data, "--run", run, *more)
    assert done.returncode == 0, done.stderr
    return done, json.loads((run / "result.json").read_bytes())["weights_sha256"]


@pytest.fixture
def expected(data: Path, tmp_path: Path) -> str:
    return train(data, tmp_path / "alone")[1]


def test_beside_the_programs_ray(cluster: Cluster, data: Path, expected: str, tmp_path: Path):
    """In a thread. It is used, and stays."""
    before, found = state(), []
    thread = threading.Thread(target=lambda: found.append(train(data, tmp_path / "run", "--workers", "2")))
    thread.start()
    thread.join()
    assert state() == before
    ((done, weights),) = found
    assert f"using the Ray at {cluster.address} (this program is connected to it)" in done.stdout
    assert weights == expected
    assert cluster.ray.is_initialized()
    assert cluster.cpus > 0


@pytest.mark.slow
@pytest.mark.cluster
def test_twice_on_rays_of_their_own(cluster: Cluster, data: Path, expected: str, tmp_path: Path):
    """As a notebook's cell that is run again."""
    before = state()
    for run in ("first", "second"):
        done, weights = train(data, tmp_path / run, "--workers", "2", "--address", "local")
        assert "started a local Ray (--address)" in done.stdout
        assert weights == expected
        assert state() == before
    assert cluster.ray.is_initialized()

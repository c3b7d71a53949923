"""Fixtures for the tests of runs: a folder of checkpoints, and runs that have begun."""

from pathlib import Path

import pytest

from ddmlp.runs.checkpoint import Checkpoints
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from tests.support.delays import begun
from tests.support.runs import ORIGIN


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


@pytest.fixture
def job(data: Path, tmp_path: Path) -> Job:
    return begun(tmp_path / "run", data)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path / "run")
    made.path.mkdir()
    made.create(ORIGIN)
    return made

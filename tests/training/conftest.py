"""Asynchronous runs that the tests share."""

from pathlib import Path

import pytest

from ddmlp.training.job import Job
from tests.support.asynchronous import begun, train


@pytest.fixture
def async_job(data: Path, tmp_path: Path) -> Job:
    """A run that has begun."""
    return begun(tmp_path / "run", data)


@pytest.fixture(scope="package")
def async_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A finished run, not to be changed."""
    job = begun(tmp_path_factory.mktemp("async") / "run", data)
    train(job)
    return job

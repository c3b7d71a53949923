"""Shared jobs and runs: in one process, asynchronous, and on a stream."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.training.job import Job
from tests.support.asynchronous import begun, train
from tests.support.growing import ROWS, Stream
from tests.support.local import CONFIG


@pytest.fixture
def async_job(data: Path, tmp_path: Path) -> Job:
    """The job of an asynchronous run that has begun."""
    return begun(tmp_path / "run", data)


@pytest.fixture(scope="package")
def async_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The job of a finished asynchronous run. Tests must not change the run."""
    job = begun(tmp_path_factory.mktemp("async") / "run", data)
    train(job)
    return job


@pytest.fixture(scope="package")
def digits(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """The pixels and the labels of the first ROWS rows of the sample."""
    pixels, labels = Dataset(data / "train").gather(np.arange(ROWS))
    return pixels.reshape(-1, 28, 28), labels


@pytest.fixture
def stream(tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]) -> Stream:
    """An empty dataset for those rows, and a job that trains on it as a stream."""
    return Stream(tmp_path, digits)


@pytest.fixture(scope="package")
def whole_stream(tmp_path_factory: pytest.TempPathFactory, digits: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    """The result of a run that finds all rows at its start."""
    stream = Stream(tmp_path_factory.mktemp("whole"), digits)
    stream.publish(ROWS, end=True)
    return stream.result()


@pytest.fixture
def job(data: Path, tmp_path: Path) -> Job:
    """A job that trains in this process."""
    (tmp_path / "run").mkdir()
    return Job(CONFIG, data, tmp_path / "run", workers=0, checkpoint_every=10)

"""Jobs and runs that the tests share: of this process, asynchronous ones, and those that follow a stream."""

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
    """A run that has begun."""
    return begun(tmp_path / "run", data)


@pytest.fixture(scope="package")
def async_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A finished run, not to be changed."""
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
    """A dataset of those rows that has none yet, and a job that follows it."""
    return Stream(tmp_path, digits)


@pytest.fixture(scope="package")
def whole_stream(tmp_path_factory: pytest.TempPathFactory, digits: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    """The result of all rows at once."""
    stream = Stream(tmp_path_factory.mktemp("whole"), digits)
    stream.publish(ROWS, end=True)
    return stream.result()


@pytest.fixture
def job(data: Path, tmp_path: Path) -> Job:
    """Trains in this process."""
    (tmp_path / "run").mkdir()
    return Job(CONFIG, data, tmp_path / "run", workers=0, checkpoint_every=10)

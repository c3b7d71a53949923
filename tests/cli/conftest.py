"""What the tests of the training command share: the command on the sample, and a run of it."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddmlp.cli.train import main
from ddmlp.data.dataset import Dataset
from ddmlp.training.setup import build_trainer
from tests.support.followed import CONFIG, ROWS, publish
from tests.support.helpers import inside
from tests.support.runs import begin, job
from tests.support.runs import train as train_to_the_end
from tests.support.training import SMALL, Train


@pytest.fixture(scope="module")
def train(data: Path) -> Train:
    """Run the command on the sample; a --data among the arguments comes later, and so counts."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return inside(main, "--no-report", "--data", data, *arguments)

    return run


@pytest.fixture(scope="module")
def whole(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing has stopped, not to be changed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train(*SMALL, "--run", run).returncode == 0
    return run


@pytest.fixture(scope="module")
def rows(data: Path) -> tuple[Any, Any]:
    """The pixels (rows, 28, 28) and the labels of the sample."""
    pixels, labels = Dataset(data / "train").gather(np.arange(ROWS))
    return pixels.reshape(-1, 28, 28), labels


@pytest.fixture(scope="module")
def ended(rows: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all rows in train/, and the end marked."""
    folder = tmp_path_factory.mktemp("ended")
    publish(folder, rows, 0, ROWS, end=True)
    return folder


@pytest.fixture(scope="module")
def expected(ended: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of the weights after a run in one process on all rows."""
    run = tmp_path_factory.mktemp("expected") / "run"
    begin(run, CONFIG, ended)
    found = train_to_the_end(build_trainer(job(ended, run, 0, CONFIG)), run)
    assert (found["steps"], found["rows"], found["finished"]) == (27, ROWS, True)
    return str(found["weights_sha256"])

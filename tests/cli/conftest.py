"""What the tests of the training command share: the command on the sample, and a run of it."""

import subprocess
from pathlib import Path

import pytest

from ddmlp.cli.train import main
from tests.support.helpers import inside
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

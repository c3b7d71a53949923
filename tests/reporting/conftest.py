"""The runs that the tests report on."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import ddmlp
from ddmlp.api import trainer
from ddmlp.training.worker import Worker
from tests.support.local import trainer_with

SMALL = {"hidden": 16, "batch": 100, "epochs": 2}
RUNS: dict[str, dict[str, Any]] = {
    "plain": SMALL,
    "late": {**SMALL, "delay": 2, "lr": 0.5},
    "part": {**SMALL, "stop_after": 50},
    "stream": {"hidden": 16, "follow": True, "idle_timeout": 0},
}


@pytest.fixture(scope="package")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `plain`, `late` (a delay and a queue of units), `part` (stopped) and `stream`.

    Tests must not change them.
    """
    folder = tmp_path_factory.mktemp("report")
    for name, options in RUNS.items():
        queue = mock.patch.object(trainer, "build_trainer", lambda job: trainer_with(job, Worker))
        with queue if name == "late" else nullcontext():
            ddmlp.fit(data, run=folder / name, **options)
    return folder

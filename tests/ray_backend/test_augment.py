"""A run with distorted images: one hash for any number of workers, servers and relays, whatever dies."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ddmlp.training.setup import build_trainer
from tests.support.faults import ANY, Fault
from tests.support.process_trainer import train_with
from tests.support.runs import CONFIG, alone, begin, job, train

AUGMENTED = replace(CONFIG, augment="elastic:alpha=36,sigma=4.5,rotation=10,scale=0.1,shear=0.1,pixels=0")


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of one process."""
    run = tmp_path_factory.mktemp("alone") / "run"
    begin(run, AUGMENTED, data)
    return train(build_trainer(job(data, run, 0, AUGMENTED)), run)


@pytest.mark.slow
def test_simple(expected: dict[str, Any], data: Path, tmp_path: Path):
    assert expected["weights_sha256"] != alone(data, tmp_path / "run")["weights_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "faults", "servers", "relay"),
    [
        (2, [Fault("kill", ANY, 30, "computed")], 1, False),
        (3, [], 2, False),
        (2, [], 1, True),
    ],
)
def test_processes(
    workers: int,
    faults: list[Fault],
    servers: int,
    relay: bool,
    expected: dict[str, Any],
    data: Path,
    tmp_path: Path,
):
    run = tmp_path / "run"
    begin(run, AUGMENTED, data)
    found = train_with(faults, job(data, run, workers, AUGMENTED, servers=servers), tmp_path / "marks", relay=relay)
    assert (found["weights_sha256"], found["chain"]) == (expected["weights_sha256"], expected["chain"])

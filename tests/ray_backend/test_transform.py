"""A run with a transform: one hash for any number of workers and servers, whatever dies; its errors are named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ddmlp.config import TrainConfig
from ddmlp.data.transform import Transform
from ddmlp.errors import TrainingError
from ddmlp.ray_backend.cluster import Cluster
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.training.setup import build_trainer
from tests.support import transforms
from tests.support.faults import ANY, Fault
from tests.support.process_trainer import ProcessTrainer, train_with
from tests.support.runs import CONFIG, alone, begin, train

SHORT = replace(CONFIG, epochs=1)


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of one process."""
    run = tmp_path_factory.mktemp("alone") / "run"
    begin(run, transforms.config("drawn"), data)
    return train(build_trainer(transforms.job("drawn", data, run, 0)), run)


def test_simple(expected: dict[str, Any], data: Path, tmp_path: Path):
    assert expected["weights_sha256"] != alone(data, tmp_path / "run")["weights_sha256"]


@pytest.mark.parametrize(
    ("workers", "faults", "more", "relay"),
    [
        pytest.param(1, [], {}, False, marks=pytest.mark.slow),
        (2, [Fault("kill", ANY, 17, "computed")], {}, False),
        pytest.param(4, [Fault("kill", None, 31, "half")], {}, False, marks=pytest.mark.slow),
        pytest.param(2, [Fault("kill", ANY, 30, "taken")], {"servers": 2}, False, marks=pytest.mark.slow),
        pytest.param(2, [], {}, True, marks=pytest.mark.slow),
    ],
)
def test_processes(
    workers: int,
    faults: list[Fault],
    more: dict[str, Any],
    relay: bool,
    expected: dict[str, Any],
    data: Path,
    tmp_path: Path,
):
    run = tmp_path / "run"
    begin(run, transforms.config("drawn"), data)
    job = transforms.job("drawn", data, run, workers, **more)
    found = train_with(faults, job, tmp_path / "marks", relay=relay)
    assert (found["weights_sha256"], found["chain"]) == (expected["weights_sha256"], expected["chain"])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "words"), [("failing", "LookupError: there is no 17"), ("exiting", "SystemExit: 3")])
def test_failure(name: str, words: str, data: Path, tmp_path: Path):
    """The error of a transform is the run's, not the death of a worker."""
    run = tmp_path / "run"
    begin(run, transforms.config(name), data)
    with pytest.raises(TrainingError, match=rf"transforms:{name} raised {words}, for the rows .* of epoch 1$"):
        train(ProcessTrainer(transforms.job(name, data, run, 2)), run)


@pytest.mark.ray
def test_on_ray(cluster: Cluster, data: Path, tmp_path: Path):
    """The function of a notebook, which no worker could import."""

    def lighter(pixels, rows, *_):
        return pixels | (rows % 64).astype("uint8")[:, None, None]

    transform, found = Transform.of(lighter), []
    config = replace(SHORT, transform_sha256=transform.sha256)
    for workers in (0, 2):
        run = tmp_path / f"{workers}"
        job = replace(transforms.job("drawn", data, run, workers), config=config, transform=transform)
        begin(run, config, data)
        found.append(train(RayTrainer(job, cluster) if workers else build_trainer(job), run)["weights_sha256"])
    assert found[0] == found[1] != alone(data, tmp_path / "run", TrainConfig(**SHORT.as_dict()))["weights_sha256"]

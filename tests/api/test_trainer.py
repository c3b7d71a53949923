"""A job is checked against its data, and a trainer leaves nothing behind."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddmlp.api.options import Options
from ddmlp.api.rows import find_data
from ddmlp.api.trainer import open_trainer, prepare_job
from ddmlp.config import Timeouts, TrainConfig
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import ConfigError
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from ddmlp.training.setup import build_trainer

CONFIG = TrainConfig(hidden=2, batch=5, epochs=1)


def write(path: Path, shape: tuple[int, int] = (2, 2), classes: int = 3, rows: int = 10) -> Path:
    with DatasetWriter(path, shape, classes) as writer:
        writer.append(np.zeros((rows, *shape), np.uint8), np.zeros(rows, np.uint8))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with training and test data."""
    write(tmp_path / "train")
    write(tmp_path / "test")
    return tmp_path


@pytest.fixture
def job(folder: Path) -> Job:
    (folder / "run").mkdir()
    return Job(CONFIG, folder, folder / "run", workers=2, checkpoint_every=10)


def test_simple(folder: Path):
    job, origin = prepare_job(
        CONFIG, folder, Run(folder / "run"), Options(workers=(2, 5), checkpoint_every=7, stop_after=3)
    )
    assert (job.config, job.data, job.run) == (CONFIG, folder, folder / "run")
    assert (job.fewest, job.workers, job.elastic) == (2, 5, True)
    assert (job.checkpoint_every, job.keep, job.stop_after) == (7, 3, 3)
    assert (origin.config, origin.data) == (CONFIG, folder)
    assert not (folder / "run").exists()


def test_timeouts(folder: Path):
    limits = Timeouts(join=1.5)
    assert prepare_job(CONFIG, folder, Run(folder / "run"), Options(timeouts=limits))[0].timeouts == limits
    assert prepare_job(CONFIG, folder, Run(folder / "run"))[0].timeouts == Timeouts()


@pytest.mark.parametrize("workers", [(0, 2), (3, 2), (1, 1025), (100_000, 100_000), (-1, -1)])
def test_workers_that_cannot_be(workers: tuple[int, int]):
    with pytest.raises(ConfigError, match=r"^workers is .*1024"):
        Options(workers=workers)


@pytest.mark.parametrize(("servers", "workers"), [(0, 2), (65, 2), (-1, 2), (1.0, 2), (True, 2), (2, 0), (2, (0, 0))])
def test_servers_that_cannot_be(servers: Any, workers: Any):
    with pytest.raises(ConfigError, match="servers is"):
        Options(servers=servers, workers=workers)


def test_servers(folder: Path):
    for options, servers in [(Options(), 1), (Options(workers=2, servers=64), 64)]:
        assert prepare_job(CONFIG, folder, Run(folder / "run"), options)[0].servers == servers


def test_run_is_an_absolute_path(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """The server may have another working directory."""
    monkeypatch.chdir(folder)
    job, _ = prepare_job(CONFIG, folder, Run(Path("run")))
    assert job.run == folder.resolve() / "run"


@pytest.mark.parametrize(
    ("test", "numbers"),
    [({"shape": (2, 3)}, ["(2, 3) in 3", "(2, 2) in 3"]), ({"classes": 4}, ["(2, 2) in 4", "(2, 2) in 3"])],
)
def test_test_data_must_fit(test: dict[str, Any], numbers: list[str], tmp_path: Path):
    write(tmp_path / "train")
    write(tmp_path / "test", **test)
    with pytest.raises(ConfigError) as caught:
        prepare_job(CONFIG, tmp_path, Run(tmp_path / "run"))
    for words in [str(tmp_path / "test"), str(tmp_path / "train"), *numbers]:
        assert words in str(caught.value)


def test_test_data_may_have_fewer_classes(tmp_path: Path):
    write(tmp_path / "train")
    write(tmp_path / "test", classes=2)
    assert prepare_job(CONFIG, tmp_path, Run(tmp_path / "run"))[0].test == tmp_path / "test"


def test_only_a_stream_needs_no_test_data(tmp_path: Path):
    write(tmp_path / "train")
    follow = replace(CONFIG, follow=True, lr_schedule="constant")
    assert prepare_job(follow, tmp_path, Run(tmp_path / "run"))[0].test is None
    with pytest.raises(ConfigError, match=f"{tmp_path} has no dataset test/"):
        find_data(tmp_path, follow=False)


@pytest.mark.parametrize(("name", "why"), [("nowhere", "nowhere does not exist"), ("train", "train is one dataset")])
def test_not_the_folder_of_two_datasets(tmp_path: Path, name: str, why: str):
    write(tmp_path / "train")
    with pytest.raises(ConfigError, match=f"^{tmp_path}/{why}"):
        find_data(tmp_path / name, follow=False)


def test_trainer_here_is_closed(job: Job, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ddmlp.runs.run.WRITER_SECONDS", 0.1)
    alone, notes = replace(job, workers=0), []
    with open_trainer(alone, note=notes.append) as trainer:
        assert trainer.step == 0
    with pytest.raises(KeyError), open_trainer(alone):
        raise KeyError
    build_trainer(alone).close()
    assert notes == []

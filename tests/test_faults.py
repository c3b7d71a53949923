"""Whatever dies, the same weights come out. A few of the faults; `make chaos` has them all."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ddmlp import remote
from ddmlp.cluster import Cluster
from ddmlp.config import TrainConfig
from ddmlp.errors import TrainingError
from ddmlp.job import Job
from ddmlp.local import local_trainer
from tests.faults import ANY, Fault, faulty, fired

# Nothing divides evenly: 27 steps an epoch, the last of 100 rows; microbatches of 32, the last ones of 22 and 4.
CONFIG = TrainConfig(hidden=20, batch=150, microbatch=32, epochs=2)
LONGER = replace(CONFIG, epochs=12)  # so long that who is late by 50 ms still meets it
EVERY = 10  # steps between checkpoints


def train(trainer: Any) -> dict[str, Any]:
    """Train to the end and let everything go."""
    try:
        while (report := trainer.advance(0.2)).result is None:
            pass
        return report.result
    finally:
        trainer.close()


def job(data: Path, run: Path, workers: int, config: TrainConfig = CONFIG) -> Job:
    run.mkdir(exist_ok=True)
    return Job(config, data, run, workers, checkpoint_every=EVERY)


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of the single-process mode, undisturbed."""
    return train(local_trainer(job(data, tmp_path_factory.mktemp("run"), 0)))


@pytest.fixture
def disturbed(cluster: Cluster, data: Path, tmp_path: Path):
    """Trains with faults, and asserts that each of them fired."""

    def disturbed(workers: int, *faults: Fault, config: TrainConfig = CONFIG) -> dict[str, Any]:
        marks = tmp_path / "marks"
        marks.mkdir()
        try:
            return train(faulty(faults, marks)(job(data, tmp_path / "run", workers, config), cluster))
        finally:
            assert faults
            assert [fault for fault in faults if not fired(marks, fault)] == [], "a fault has not fired"

    return disturbed


@pytest.mark.parametrize(
    ("workers", "fault"),
    [
        (1, Fault("kill", ANY, 0, "taken")),
        (2, Fault("kill", ANY, 17, "computed")),
        (3, Fault("kill", ANY, 26, "answered")),
        (4, Fault("kill", ANY, 53, "taken")),
    ],
)
def test_a_worker_killed(workers: int, fault: Fault, disturbed: Any, expected: dict[str, Any]):
    found = disturbed(workers, fault)
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert (found["worker_deaths"], found["server_deaths"]) == (1, 0)


@pytest.mark.parametrize(
    ("workers", "fault"),
    [
        (1, Fault("kill", None, 0, "begun")),
        (2, Fault("kill", None, 17, "half")),
        (3, Fault("kill", None, 26, "applied")),
        (4, Fault("kill", None, 20, "torn")),
        (2, Fault("kill", None, 54, "saved")),
    ],
)
def test_the_server_killed(workers: int, fault: Fault, disturbed: Any, expected: dict[str, Any]):
    found = disturbed(workers, fault)
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["chain"] == expected["chain"]
    assert (found["worker_deaths"], found["server_deaths"]) == (0, 1)


def test_all_workers_killed_at_once(disturbed: Any, expected: dict[str, Any]):
    found = disturbed(3, *(Fault("kill", number, 17, "taken") for number in range(3)))
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["worker_deaths"] == 3


def test_a_server_that_hangs_is_given_up(disturbed: Any, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    """It still holds the checkpoints until it is dead, so the next one waits for that."""
    monkeypatch.setattr(remote, "SERVER_SECONDS", 3)
    found = disturbed(2, Fault("stop", None, 17, "half"))
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["server_deaths"] == 1


def test_everyone_killed_again_and_again(disturbed: Any, expected: dict[str, Any]):
    faults = [Fault("kill", 0, 3, "taken"), Fault("kill", 1, 3, "computed"), Fault("kill", None, 5, "half")]
    faults += [Fault("kill", None, 10, "linked"), Fault("kill", ANY, 12, "answered"), Fault("kill", None, 40, "saved")]
    found = disturbed(2, *faults)
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert (found["worker_deaths"], found["server_deaths"]) == (3, 3)


def test_a_worker_stopped_does_not_stop_the_others(disturbed: Any, expected: dict[str, Any]):
    found = disturbed(2, Fault("stop", ANY, 17, "taken"))
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["reissued"] >= 1


def test_the_only_worker_stopped_is_replaced(disturbed: Any, expected: dict[str, Any]):
    found = disturbed(1, Fault("stop", 0, 17, "computed"))
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["worker_deaths"] == 1


def test_a_slow_worker_does_not_set_the_pace_and_its_answers_are_compared(disturbed: Any, data: Path, tmp_path: Path):
    found = disturbed(2, Fault("slow", ANY, 2, "taken", seconds=0.05), config=LONGER)
    alone = train(local_trainer(job(data, tmp_path / "alone", 0, LONGER)))
    assert found["weights_sha256"] == alone["weights_sha256"]
    assert found["reissued"] >= 1
    assert found["compared"] >= 1
    assert found["worker_deaths"] == 0


def test_a_late_answer_that_differs_names_the_unit_and_both_workers(disturbed: Any):
    with pytest.raises(TrainingError, match=r"workers (0 and 1|1 and 0) computed different gradients of step 2"):
        disturbed(2, Fault("slow", ANY, 2, "taken", 0.05), Fault("corrupt", ANY, 2, "computed"), config=LONGER)

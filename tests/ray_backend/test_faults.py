"""Whatever dies, the weights are the same: real processes and signals, without Ray. `make chaos` repeats it on Ray."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ddmlp.cli import replay
from ddmlp.config import Timeouts, TrainConfig
from ddmlp.errors import TrainingError
from tests.support.faults import ANY, Fault, fired
from tests.support.helpers import inside
from tests.support.process_trainer import ProcessTrainer
from tests.support.runs import CONFIG, alone, begin, job, train, verified

LONGER = replace(CONFIG, epochs=30)  # so long that a worker that is LATE seconds late still takes part
LATE = 0.2


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of the single-process mode, undisturbed."""
    return alone(data, tmp_path_factory.mktemp("alone") / "run")


@pytest.fixture
def disturbed(data: Path, tmp_path: Path):
    """Trains with faults, and asserts that each of them fired."""

    def disturbed(workers: int, *faults: Fault, config: TrainConfig = CONFIG, **more: Any) -> dict[str, Any]:
        marks, run = tmp_path / "marks", tmp_path / "run"
        marks.mkdir()
        begin(run, config, data)
        try:
            return train(ProcessTrainer(job(data, run, workers, config, **more), faults, marks), run)
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
def test_worker_killed(workers: int, fault: Fault, disturbed: Any, expected: dict[str, Any]):
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
def test_server_killed(workers: int, fault: Fault, disturbed: Any, expected: dict[str, Any]):
    found = disturbed(workers, fault)
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["chain"] == expected["chain"]
    assert (found["worker_deaths"], found["server_deaths"]) == (0, 1)


def test_all_workers_killed(disturbed: Any, expected: dict[str, Any]):
    found = disturbed(3, *(Fault("kill", number, 17, "taken") for number in range(3)))
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["worker_deaths"] == 3


@pytest.mark.slow
def test_server_hangs(disturbed: Any, expected: dict[str, Any]):
    """It holds the lock of the run until it is dead, so the next server waits for that."""
    found = disturbed(2, Fault("stop", None, 17, "half"), timeouts=Timeouts(server=3.0))
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["server_deaths"] == 1


@pytest.mark.slow
def test_all_killed_repeatedly(disturbed: Any, expected: dict[str, Any]):
    faults = [Fault("kill", 0, 3, "taken"), Fault("kill", 1, 3, "computed"), Fault("kill", None, 5, "half")]
    faults += [Fault("kill", None, 10, "linked"), Fault("kill", ANY, 12, "answered"), Fault("kill", None, 40, "saved")]
    found = disturbed(2, *faults)
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert (found["worker_deaths"], found["server_deaths"]) == (3, 3)


@pytest.mark.slow
def test_one_of_many_stopped(disturbed: Any, expected: dict[str, Any]):
    found = disturbed(2, Fault("stop", ANY, 17, "taken"))
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["reissued"] >= 1


def test_only_worker_stopped(disturbed: Any, expected: dict[str, Any]):
    found = disturbed(1, Fault("stop", 0, 17, "computed"), timeouts=Timeouts(unresponsive=0.5))
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["worker_deaths"] == 1


@pytest.mark.slow
def test_slow_worker(disturbed: Any, data: Path, tmp_path: Path):
    found = disturbed(2, Fault("slow", ANY, 2, "taken", seconds=LATE), config=LONGER)
    assert found["weights_sha256"] == alone(data, tmp_path / "alone", LONGER)["weights_sha256"]
    assert found["reissued"] >= 1
    assert found["compared"] >= 1
    assert found["worker_deaths"] == 0


def test_late_answer_differs(disturbed: Any):
    with pytest.raises(TrainingError, match=r"workers (0 and 1|1 and 0) computed different gradients of step 2"):
        disturbed(2, Fault("corrupt", ANY, 2, "computed", LATE), config=replace(LONGER, epochs=300))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "fault"),
    [
        ({"delay": 2}, Fault("kill", ANY, 17, "computed")),
        ({"delay": 2}, Fault("kill", None, 17, "half")),
        ({"staleness": 3}, Fault("kill", ANY, 17, "taken")),
        ({"staleness": 3}, Fault("kill", None, 20, "torn")),
        ({"staleness": "inf"}, Fault("kill", ANY, 26, "answered")),
        ({"staleness": "inf"}, Fault("stop", ANY, 17, "taken")),
        ({"staleness": "inf"}, Fault("kill", None, 17, "applied")),
    ],
)
def test_rows_in_other_modes(mode: dict[str, Any], fault: Fault, disturbed: Any, tmp_path: Path):
    found = disturbed(3, fault, config=replace(CONFIG, **mode))
    assert (found["steps"], found["rows"], found["finished"]) == (54, 8_000, True)
    assert sum(found["staleness"]["histogram"].values()) == 54
    assert verified(tmp_path / "run")


def test_delay(disturbed: Any, data: Path, tmp_path: Path):
    config = replace(CONFIG, delay=3)
    found = disturbed(2, Fault("kill", ANY, 12, "taken"), Fault("kill", None, 30, "saved"), config=config)
    expected = alone(data, tmp_path / "alone", config)
    assert (found["weights_sha256"], found["chain"]) == (expected["weights_sha256"], expected["chain"])


def test_asynchronous_replay(data: Path, tmp_path: Path):
    config = replace(CONFIG, staleness="inf", epochs=6)
    begin(tmp_path / "run", config, data)
    found = train(ProcessTrainer(job(data, tmp_path / "run", 4, config)), tmp_path / "run")
    assert found["staleness"]["max"] >= 1, "no gradient was stale"
    done = inside(replay.main, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert found["weights_sha256"] in done.stdout

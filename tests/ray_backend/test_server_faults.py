"""Several servers, whatever dies: the weights of one. Real processes and signals, without Ray."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ddmlp.errors import TrainingError
from tests.support.faults import ANY, SLICE, Fault, fired
from tests.support.process_trainer import ProcessTrainer
from tests.support.runs import CONFIG, alone, begin, job, train, verified

pytestmark = pytest.mark.slow
LATE = 1.0  # seconds: overdue, also on a busy machine


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of one process, undisturbed."""
    return alone(data, tmp_path_factory.mktemp("alone") / "run")


@pytest.fixture
def trained(data: Path, tmp_path: Path):
    """Trains with 2 servers and faults, and asserts that each of them fired."""

    def trained(workers: int, *faults: Fault, servers: int = 2, **more: Any) -> dict[str, Any]:
        config, marks, run = replace(CONFIG, **more.pop("mode", {})), tmp_path / "marks", tmp_path / "run"
        marks.mkdir()
        begin(run, config, data)
        try:
            given = job(data, run, workers, config, servers=servers, **more)
            return train(ProcessTrainer(given, faults, marks), run)
        finally:
            assert [fault for fault in faults if not fired(marks, fault)] == [], "a fault has not fired"

    return trained


@pytest.mark.parametrize("servers", [2, 3])
def test_simple(servers: int, trained: Any, expected: dict[str, Any]):
    found = trained(3, servers=servers)
    assert (found["weights_sha256"], found["chain"]) == (expected["weights_sha256"], expected["chain"])
    assert found["test_error"] == expected["test_error"]
    assert (found["worker_deaths"], found["server_deaths"]) == (0, 0)


@pytest.mark.parametrize(
    ("workers", "fault"),
    [
        (2, Fault("kill", SLICE, 17, "half")),
        (3, Fault("kill", SLICE - 1, 26, "applied")),
        (1, Fault("kill", SLICE, 0, "begun")),
        (2, Fault("kill", SLICE - 1, 0, "loaded")),
        (2, Fault("kill", None, 17, "half")),
        (3, Fault("kill", None, 20, "torn")),
        (2, Fault("kill", None, 26, "applied")),
    ],
)
def test_a_server_killed(workers: int, fault: Fault, trained: Any, expected: dict[str, Any]):
    found = trained(workers, fault)
    assert (found["weights_sha256"], found["chain"]) == (expected["weights_sha256"], expected["chain"])
    assert found["server_deaths"] == 1


@pytest.mark.parametrize(
    ("workers", "faults"),
    [
        (2, [Fault("kill", ANY, 17, "computed")]),
        (3, [Fault("kill", ANY, 26, "answered")]),
        (1, [Fault("kill", ANY, 0, "taken")]),
        (3, [Fault("kill", number, 17, "taken") for number in range(3)]),
    ],
)
def test_workers_killed(workers: int, faults: list[Fault], trained: Any, expected: dict[str, Any]):
    found = trained(workers, *faults)
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert (found["worker_deaths"], found["server_deaths"]) == (len(faults), 0)


def test_all_killed_repeatedly(trained: Any, expected: dict[str, Any]):
    faults = [Fault("kill", 0, 3, "taken"), Fault("kill", SLICE, 5, "half"), Fault("kill", None, 10, "linked")]
    faults += [
        Fault("kill", SLICE - 1, 12, "begun"),
        Fault("kill", ANY, 12, "answered"),
        Fault("kill", None, 40, "saved"),
    ]
    found = trained(2, *faults)
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["server_deaths"] == 4


def test_a_worker_stopped(trained: Any, expected: dict[str, Any]):
    found = trained(2, Fault("stop", ANY, 17, "taken"))
    assert found["weights_sha256"] == expected["weights_sha256"]
    assert found["reissued"] >= 1


def test_late_answer_differs(trained: Any):
    """A server compares its slice of both answers."""
    with pytest.raises(TrainingError, match=r"workers (0 and 1|1 and 0) computed different gradients of step 2"):
        trained(2, Fault("corrupt", ANY, 2, "computed", LATE), mode={"epochs": 300})


@pytest.mark.parametrize(
    ("mode", "faults"),
    [
        ({"delay": 2}, [Fault("kill", SLICE, 17, "half"), Fault("kill", ANY, 30, "computed")]),
        ({"staleness": 3}, [Fault("kill", SLICE - 1, 20, "applied"), Fault("kill", ANY, 17, "taken")]),
        ({"staleness": "inf"}, [Fault("kill", None, 17, "applied"), Fault("stop", ANY, 26, "taken")]),
    ],
)
def test_other_modes(mode: dict[str, Any], faults: list[Fault], trained: Any, tmp_path: Path):
    """Each checkpoint has the weights that one process computes, in the order of the updates."""
    found = trained(3, *faults, mode=mode)
    assert (found["steps"], found["rows"], found["server_deaths"]) == (54, 8_000, 1)
    assert verified(tmp_path / "run")


def test_resume_with_other_servers(trained: Any, expected: dict[str, Any], data: Path, tmp_path: Path):
    trained(2, servers=2, stop_after=31)
    given = job(data, tmp_path / "run", 2, servers=3)
    assert train(ProcessTrainer(given), tmp_path / "run")["weights_sha256"] == expected["weights_sha256"]

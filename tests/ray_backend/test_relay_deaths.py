"""Workers behind a relay, whatever dies: the weights of one process. Real processes and signals, without Ray."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults import ANY, RELAY, SLICE, Fault, fired
from tests.support.process_trainer import ProcessTrainer
from tests.support.runs import CONFIG, alone, begin, job, train, verified

pytestmark = pytest.mark.slow
more = pytest.mark.chaos  # only in `make chaos`


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of one process, undisturbed."""
    return alone(data, tmp_path_factory.mktemp("alone") / "run")


@pytest.fixture
def trained(data: Path, tmp_path: Path):
    """Trains with a relay and faults, and asserts that each of them fired; returns the result and the trainer."""

    def trained(workers: int, *faults: Fault, **more: Any) -> tuple[dict[str, Any], ProcessTrainer]:
        config, marks, run = replace(CONFIG, **more.pop("mode", {})), tmp_path / "marks", tmp_path / "run"
        marks.mkdir()
        begin(run, config, data)
        trainer = ProcessTrainer(job(data, run, workers, config, **more), faults, marks, relay=True)
        try:
            return train(trainer, run), trainer
        finally:
            assert [fault for fault in faults if not fired(marks, fault)] == [], "a fault has not fired"

    return trained


@pytest.mark.parametrize(("workers", "servers"), [pytest.param(1, 1, marks=more), (3, 1), (2, 2)])
def test_simple(workers: int, servers: int, trained: Any, expected: dict[str, Any]):
    found, _ = trained(workers, servers=servers)
    assert (found["weights_sha256"], found["chain"]) == (expected["weights_sha256"], expected["chain"])
    assert (found["worker_deaths"], found["server_deaths"]) == (0, 0)
    assert len(found["answered"]) == workers
    assert min(found["answered"].values()) > 0


@pytest.mark.parametrize(
    ("workers", "servers", "fault"),
    [
        (3, 1, Fault("kill", ANY, 17, "computed")),
        (2, 2, Fault("kill", RELAY, 26, "computed")),
        (2, 1, Fault("kill", None, 20, "torn")),
        pytest.param(1, 1, Fault("kill", ANY, 17, "taken"), marks=more),
        pytest.param(2, 1, Fault("kill", RELAY, 17, "taken"), marks=more),
        pytest.param(2, 1, Fault("kill", RELAY, 26, "computed"), marks=more),
        pytest.param(2, 2, Fault("kill", SLICE, 17, "half"), marks=more),
        pytest.param(3, 2, Fault("kill", ANY, 26, "computed"), marks=more),
    ],
)
def test_death(workers: int, servers: int, fault: Fault, trained: Any, expected: dict[str, Any]):
    found, trainer = trained(workers, fault, servers=servers)
    assert (found["weights_sha256"], found["chain"]) == (expected["weights_sha256"], expected["chain"])
    assert found["worker_deaths"] == (fault.worker == ANY)
    assert found["server_deaths"] == (fault.worker in (None, SLICE))
    if workers > 1 and not found["server_deaths"]:  # without its workers or its server, a relay ends, too
        assert trainer.deaths["relay"] == (fault.worker == RELAY)


@pytest.mark.parametrize(
    ("mode", "victim"),
    [
        ({"delay": 2}, RELAY),
        ({"staleness": "inf"}, ANY),
        pytest.param({"delay": 2}, ANY, marks=more),
        pytest.param({"staleness": 3}, ANY, marks=more),
        pytest.param({"staleness": 3}, RELAY, marks=more),
        pytest.param({"staleness": "inf"}, RELAY, marks=more),
    ],
)
def test_other_modes(mode: dict[str, Any], victim: int, trained: Any, tmp_path: Path):
    found, _ = trained(2, Fault("kill", victim, 17, "computed"), mode=mode)
    assert (found["steps"], found["rows"], found["finished"]) == (54, 8_000, True)
    assert verified(tmp_path / "run")

"""Training on a dataset that grows: the same weights as from one that is whole, whatever dies meanwhile."""

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from ddmlp.runs.run import Run
from tests.support.faults import ANY, Fault, fired
from tests.support.followed import BATCH, CONFIG, FLAGS, ROWS, SECONDS, command, publish
from tests.support.process_trainer import ProcessTrainer
from tests.support.processes import descendants
from tests.support.runs import begin, job, train, verified
from tests.support.training import COMMAND, result


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.02)


def steps_noted(run: Path) -> int:
    """How far the run says that it is."""
    path = run / "metrics.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return max((event["step"] for event in events), default=-1)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.cluster)])
def test_sigterm_is_an_end(rows: tuple[Any, Any], expected: str, workers: int, tmp_path: Path):
    folder, run = tmp_path / "data", tmp_path / "run"
    publish(folder, rows, 0, 3_100)
    words = [*COMMAND, "--data", folder, *FLAGS, "--run", run, "--workers", str(workers)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    piped: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": clean}
    with subprocess.Popen([*map(str, words)], **piped, start_new_session=True) as process:
        wait_until(lambda: steps_noted(run) >= 18)
        below = descendants(process.pid)
        assert (workers > 0) == bool(below)
        assert [each for each in below if os.getpgid(each) == process.pid] == [], "Ray would be ended, too"
        os.killpg(process.pid, signal.SIGTERM)  # to the whole group, as timeout sends it
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (0, b"")
    found = result(run)
    assert 18 <= found["steps"] <= 20
    assert (found["rows"], found["finished"]) == (found["steps"] * BATCH, False)
    assert b"continue with" in out
    publish(folder, rows, 3_100, ROWS, end=True)
    assert command("--run", run, "--resume").returncode == 0
    assert result(run)["weights_sha256"] == expected


def test_idle_timeout(rows: tuple[Any, Any], expected: str, tmp_path: Path):
    folder, run = tmp_path / "data", tmp_path / "run"
    publish(folder, rows, 0, 1_000)
    done = command("--data", folder, *FLAGS, "--run", run, "--idle-timeout", "0.3")
    assert (done.returncode, done.stderr) == (0, "")
    assert (result(run)["steps"], result(run)["rows"], result(run)["finished"]) == (6, 900, False)
    publish(folder, rows, 1_000, ROWS, end=True)
    assert command("--run", run, "--resume").returncode == 0
    assert result(run)["weights_sha256"] == expected


def test_the_user_marks_the_end(rows: tuple[Any, Any], expected: str, tmp_path: Path):
    folder, run = tmp_path / "data", tmp_path / "run"
    publish(folder, rows, 0, ROWS)
    assert command("--data", folder, *FLAGS, "--run", run, "--idle-timeout", "0.1").returncode == 0
    assert (result(run)["steps"], result(run)["finished"]) == (26, False)
    with DatasetWriter(folder / "train", (28, 28), 10, extend=True):
        assert command("--run", run, "--resume", "--end").returncode == 1, "rows are still coming"
    assert command("--run", run, "--resume", "--end").returncode == 0
    assert (result(run)["steps"], result(run)["finished"]) == (27, True)
    assert result(run)["weights_sha256"] == expected


def test_no_row_at_all(tmp_path: Path):
    done = command("--data", tmp_path, *FLAGS, "--run", tmp_path / "run", "--idle-timeout", "0.3")
    assert (done.returncode, "no rows have arrived in" in done.stderr) == (1, True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("kill", ANY, 5, "computed"), Fault("kill", None, 14, "half")],
        pytest.param(
            [Fault("kill", None, 10, "saved"), Fault("stop", ANY, 17, "taken"), Fault("kill", None, 26, "applied")],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_deaths_meanwhile(faults: list[Fault], rows: tuple[Any, Any], expected: str, tmp_path: Path):
    folder, run, marks = tmp_path / "data", tmp_path / "run", tmp_path / "marks"
    marks.mkdir()
    cuts = [0, 70, 900, 901, 1_650, 2_400, 3_900, ROWS]
    publish(folder, rows, *cuts[:2])
    left = list(itertools.pairwise(cuts[1:]))

    def more() -> bool:
        """Publish what comes next, once what was published before is trained on."""
        if left and steps_noted(run) >= len(Dataset(folder / "train")) // BATCH:
            first, last = left.pop(0)
            publish(folder, rows, first, last, end=not left)
        return False

    begin(run, CONFIG, folder)
    found = train(ProcessTrainer(job(folder, run, 2, CONFIG), faults, marks), run, until=more)
    assert [fault for fault in faults if not fired(marks, fault)] == []
    assert (found["weights_sha256"], found["rows"]) == (expected, ROWS)
    assert found["server_deaths"] == sum(fault.worker is None for fault in faults)
    assert verified(run)


def test_staleness_is_replayed(ended: Path, tmp_path: Path):
    config = TrainConfig(**{**CONFIG.as_dict(), "staleness": 2, "lr_schedule": "inverse", "lr_half": 20})
    run = tmp_path / "run"
    begin(run, config, ended)
    found = train(ProcessTrainer(job(ended, run, 3, config)), run)
    assert found["rows"] == ROWS
    assert found["staleness"]["max"] <= 2
    assert verified(run)
    assert Run(run).updates.stat().st_size == 27 * 26

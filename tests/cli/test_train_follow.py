"""Training on what is still arriving: the same weights as from a file, however it comes and whatever dies meanwhile."""

import io
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ddmlp.cli.train import main
from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from ddmlp.runs.run import Run
from ddmlp.training.setup import build_trainer
from tests.support.faults import ANY, Fault, fired
from tests.support.helpers import inside
from tests.support.process_trainer import ProcessTrainer
from tests.support.processes import descendants
from tests.support.runs import begin, job, train, verified

ROWS, BATCH = 4_000, 150  # 26 whole steps, and 100 rows
FLAGS = ["--follow", "--hidden", "20", "--batch", str(BATCH), "--microbatch", "32"]
CONFIG = TrainConfig(hidden=20, batch=BATCH, microbatch=32, epochs=1, lr_schedule="constant", follow=True)
COMMAND = [sys.executable, "-m", "ddmlp.train", "--no-report"]
SECONDS = 60  # the longest that anything may take


@pytest.fixture(scope="module")
def rows(data: Path) -> tuple[Any, Any]:
    """The pixels (rows, 28, 28) and the labels of the sample."""
    pixels, labels = Dataset(data / "train").gather(np.arange(ROWS))
    return pixels.reshape(-1, 28, 28), labels


@pytest.fixture(scope="module")
def ended(rows: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all rows in train/, and the end marked."""
    folder = tmp_path_factory.mktemp("ended")
    publish(folder, rows, 0, ROWS, end=True)
    return folder


@pytest.fixture(scope="module")
def expected(ended: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of the weights after a run in one process on all rows."""
    run = tmp_path_factory.mktemp("expected") / "run"
    begin(run, CONFIG, ended)
    found = train(build_trainer(job(ended, run, 0, CONFIG)), run)
    assert (found["steps"], found["rows"], found["finished"]) == (27, ROWS, True)
    return str(found["weights_sha256"])


def publish(folder: Path, rows: tuple[Any, Any], first: int, last: int, *, end: bool = False) -> None:
    pixels, labels = rows
    with DatasetWriter(folder / "train", (28, 28), 10, extend=True, shard_rows=700) as writer:
        writer.append(pixels[first:last], labels[first:last])
        if end:
            writer.end()


def stream(rows: tuple[Any, Any], first: int = 0, *, cut: int = 0) -> bytes:
    """Rows as an Arrow IPC stream of lists, as other programs have them; without its last `cut` bytes."""
    pixels, labels = rows
    sink = io.BytesIO()
    kind = pa.schema([("label", pa.int32()), ("pixels", pa.list_(pa.uint8(), 784))])
    with pa.ipc.new_stream(sink, kind) as writer:
        for start in range(first, ROWS, 300):
            flat = pa.array(pixels[start : start + 300].ravel())
            batch = [pa.array(labels[start : start + 300], pa.int32()), pa.FixedSizeListArray.from_arrays(flat, 784)]
            writer.write_batch(pa.record_batch(batch, schema=kind))
    return sink.getvalue()[: -cut or None]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return inside(main, "--no-report", *arguments)


def result(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "result.json").read_bytes())
    return found


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


def test_simple(rows: tuple[Any, Any], expected: str, tmp_path: Path):
    words = [*COMMAND, "--data", "-", *FLAGS, "--run", tmp_path / "run"]
    done = subprocess.run(words, input=stream(rows), capture_output=True, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (0, b"")
    found = result(tmp_path / "run")
    assert found["weights_sha256"] == expected
    assert (found["rows"], found["finished"]) == (ROWS, True)
    assert "test_error" not in found
    assert b"tested first" in done.stdout
    assert len(Dataset(tmp_path / "run" / "data" / "train")) == ROWS, "it was put on disk"
    assert verified(tmp_path / "run")


@contextmanager
def sending(content: bytes) -> Iterator[str]:
    """The address at which one who connects is sent this."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(content)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_socket(rows: tuple[Any, Any], expected: str, tmp_path: Path):
    with sending(stream(rows)) as address:
        done = command("--data", address, *FLAGS, "--run", tmp_path / "run", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert result(tmp_path / "run")["weights_sha256"] == expected


def test_binarised_pixels_are_told(rows: tuple[Any, Any], tmp_path: Path):
    with sending(stream(((rows[0] > 127).astype(np.uint8), rows[1]))) as address:
        done = command("--data", address, *FLAGS, "--run", tmp_path / "run")
    assert f"warning: {address}: the largest pixel of the first 300 rows is 1" in done.stderr + done.stdout


def test_stream_breaks_off(rows: tuple[Any, Any], expected: str, tmp_path: Path):
    run = tmp_path / "run"
    with sending(stream(rows, cut=8 + 300 * 784 * 4)) as address:
        done = command("--data", address, *FLAGS, "--run", run)
    assert done.returncode == 1
    assert f" -m ddmlp.train --run {run} --resume --data {address} --no-report\n" in done.stderr
    kept = len(Dataset(run / "data" / "train"))
    assert 0 < kept < ROWS
    assert f"broke off after {kept:,} rows" in done.stderr
    with sending(stream(rows, first=kept)) as address:
        done = command("--data", address, *FLAGS, "--run", run)
        assert done.returncode == 1, "--resume is missing"
        assert "--resume" in done.stderr
        done = command("--data", address, "--run", run, "--resume")
    assert (done.returncode, done.stderr) == (0, "")
    assert result(run)["weights_sha256"] == expected
    assert verified(run)


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
    assert b"go on with" in out
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


def test_no_row_at_all(tmp_path: Path):
    done = command("--data", tmp_path, *FLAGS, "--run", tmp_path / "run", "--idle-timeout", "0.3")
    assert (done.returncode, "no rows have come to" in done.stderr) == (1, True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("kill", ANY, 5, "computed"), Fault("kill", None, 14, "half")],
        [Fault("kill", None, 10, "saved"), Fault("stop", ANY, 17, "taken"), Fault("kill", None, 26, "applied")],
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

"""Training on an Arrow IPC stream: the same weights as from a file, also if it breaks off, begins again or is ended."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from tests.support.followed import FLAGS, ROWS, SECONDS, command, publish, stream
from tests.support.runs import verified
from tests.support.streams import serving
from tests.support.training import COMMAND, result


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


def test_socket(rows: tuple[Any, Any], expected: str, tmp_path: Path):
    """Streams one behind the other, as from a program that opens a writer for some rows at a time."""
    with serving(b"".join(stream(rows, first, first + 800) for first in range(0, ROWS, 800))) as address:
        done = command("--data", address, *FLAGS, "--run", tmp_path / "run", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert result(tmp_path / "run")["weights_sha256"] == expected


def test_binarised_pixels_are_told(rows: tuple[Any, Any], tmp_path: Path):
    with serving(stream(((rows[0] > 127).astype(np.uint8), rows[1]))) as address:
        done = command("--data", address, *FLAGS, "--run", tmp_path / "run")
    assert f"warning: {address}: the largest pixel of the first 300 rows is 1" in done.stderr + done.stdout


@pytest.mark.parametrize("again", [False, True])
def test_stream_breaks_off(rows: tuple[Any, Any], expected: str, tmp_path: Path, again: bool):
    """It goes on with the rest, or begins again: no row is trained on twice."""
    run = tmp_path / "run"
    with serving(stream(rows, cut=8 + 300 * 784 * 4)) as address:
        done = command("--data", address, *FLAGS, "--run", run)
    assert done.returncode == 1
    assert f" -m ddmlp.train --run {run} --resume --data {address} --no-report\n" in done.stderr
    kept = len(Dataset(run / "data" / "train"))
    assert 0 < kept < ROWS
    assert f"broke off after {kept:,} rows" in done.stderr
    with serving(stream(rows, first=0 if again else kept)) as address:
        done = command("--data", address, *FLAGS, "--run", run)
        assert done.returncode == 1, "--resume is missing"
        assert f"{run} already holds a run; resume it" in done.stderr
        done = command("--data", address, "--run", run, "--resume")
    assert (done.returncode, done.stderr) == (0, "")
    assert (f"first {kept:,} rows" in done.stdout) == again
    assert result(run)["weights_sha256"] == expected
    assert verified(run)


def test_the_user_ends_a_stream(rows: tuple[Any, Any], tmp_path: Path):
    run, other, folder = tmp_path / "run", tmp_path / "other", tmp_path / "data"
    with serving(stream(rows, cut=8 + 300 * 784 * 9)) as address:
        assert "--end" in command("--data", address, *FLAGS, "--run", run).stderr
    kept = len(Dataset(run / "data" / "train"))
    done = command("--run", run, "--resume", "--end")
    assert (done.returncode, done.stderr) == (0, "")
    assert (result(run)["rows"], result(run)["finished"]) == (kept, True)
    publish(folder, rows, 0, kept, end=True)
    assert command("--data", folder, *FLAGS, "--run", other).returncode == 0
    assert result(run)["weights_sha256"] == result(other)["weights_sha256"]

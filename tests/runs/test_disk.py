"""Disks that are full or refuse: a clear error, the last good checkpoint intact, and the run goes on from it."""

import ctypes
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddmlp.ray_backend.cluster import Cluster
from ddmlp.runs.checkpoint import Checkpoints

COMMAND = [sys.executable, "-m", "ddmlp.train", "--no-report"]
SETTINGS = ["--hidden", "20", "--batch", "150", "--epochs", "2", "--checkpoint-every", "10"]
CHECKPOINT = 65_000  # bytes, at least: 794 x 20 weights of 4 bytes and more
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of an undisturbed run."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train(data, run).returncode == 0
    return weights_of(run)


def train(data: Path, run: Path, *more: str, before: Callable[[], Any] | None = None, **options: Any) -> Any:
    command = [*COMMAND, "--data", str(data), *SETTINGS, "--run", str(run), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, preexec_fn=before, **options)


def weights_of(run: Path) -> str:
    found: str = json.loads((run / "result.json").read_bytes())["weights_sha256"]
    return found


def refused(done: Any, *words: str) -> None:
    """Assert that a command failed with one clear line that has these words."""
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def resumes(data: Path, run: Path, step: int, expected: str) -> None:
    """Assert that the newest checkpoint is good and of `step`, and that the run goes on from it to the same hash."""
    checkpoint, complaints = Checkpoints(run / "checkpoints").newest()
    assert checkpoint is not None
    assert (checkpoint.step, complaints) == (step, [])
    assert not (run / "result.json").exists()
    done = train(data, run, "--resume")
    assert done.returncode == 0, done.stderr
    assert weights_of(run) == expected
    assert [path.name for path in run.rglob("*.tmp")] == []


def limited(size: int) -> Callable[[], None]:
    """No file may grow beyond `size` bytes: what comes then fails as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def obedient() -> None:
    """Even root keeps to the permissions of files."""
    if os.geteuid() == 0:
        assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) == 0


def test_a_checkpoint_that_finds_no_room(data: Path, expected: str, tmp_path: Path):
    assert train(data, tmp_path / "run", "--stop-after", "13").returncode == 0
    (tmp_path / "run" / "result.json").unlink()
    done = train(data, tmp_path / "run", "--resume", before=limited(CHECKPOINT // 2))
    refused(done, "checkpoints/step-000000000020.npz", "File too large")
    resumes(data, tmp_path / "run", 13, expected)


def test_a_checkpoint_that_cannot_be_written_on_ray(cluster: Cluster, data: Path, expected: str, tmp_path: Path):
    """There the server writes it, whose limits are Ray's: so something is in its place."""
    run = tmp_path / "run"
    assert train(data, run, "--stop-after", "13").returncode == 0
    (run / "result.json").unlink()
    obstacle = run / "checkpoints" / "step-000000000020.npz"
    obstacle.mkdir()
    done = train(data, run, "--resume", "--workers", "2", "--address", cluster.address)
    refused(done, obstacle.name, "directory")
    obstacle.rmdir()
    resumes(data, run, 13, expected)


def test_metrics_that_find_no_room(data: Path, expected: str, tmp_path: Path):
    """The limit is one that the checkpoints keep to, so that only metrics.jsonl, which was padded, is too long."""
    run = tmp_path / "run"
    assert train(data, run, "--stop-after", "10").returncode == 0
    (run / "result.json").unlink()
    padding = json.dumps({"event": "note", "step": 0, "text": "x" * 200_000}) + "\n"
    (run / "metrics.jsonl").write_text(padding + (run / "metrics.jsonl").read_text())
    limit = (run / "metrics.jsonl").stat().st_size + 1_000
    refused(train(data, run, "--resume", before=limited(limit)), "metrics.jsonl", "File too large")
    step = max(int(path.stem.removeprefix("step-")) for path in (run / "checkpoints").iterdir())
    assert step > 10
    resumes(data, run, step, expected)


def test_a_folder_that_is_read_only(data: Path, expected: str, tmp_path: Path):
    run = tmp_path / "run"
    assert train(data, run, "--stop-after", "13").returncode == 0
    (run / "result.json").unlink()
    (run / "checkpoints").chmod(0o555)
    try:
        refused(train(data, run, "--resume", before=obedient), "checkpoints/", "Permission denied")
    finally:
        (run / "checkpoints").chmod(0o755)
    resumes(data, run, 13, expected)


def test_a_run_cannot_begin_where_nothing_can_be_written(data: Path, tmp_path: Path):
    (tmp_path / "closed").mkdir(mode=0o555)
    refused(train(data, tmp_path / "closed" / "run", before=obedient), "closed", "Permission denied")

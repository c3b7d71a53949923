"""Full and read-only disks: one clear error, the last good checkpoint intact, and the run resumes from it."""

import ctypes
import json
import resource
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from ddmlp.cli.train import main
from ddmlp.config import TrainConfig
from ddmlp.ray_backend.cluster import Cluster
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.runs.checkpoint import Checkpoints
from tests.support import runs
from tests.support.helpers import inside

CONFIG = TrainConfig(hidden=20, batch=150, epochs=2)
SETTINGS = ["--hidden", "20", "--batch", "150", "--epochs", "2", "--checkpoint-every", "10", "--no-report"]
CHECKPOINT = 65_000  # bytes, at least: 794 x 20 weights of 4 bytes and more
CAPABILITIES, DAC_OVERRIDE = 0x20080522, 1 << 1  # of capset(2): the version of its structures, and a bit


@contextmanager
def limited(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes: further writes fail as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def obedient() -> Iterator[None]:
    """Make even root respect file permissions."""
    libc, header, sets = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    effective = sets[0]
    try:
        sets[0] = effective & ~DAC_OVERRIDE
        assert libc.capset(header, sets) == 0
        yield
    finally:
        sets[0] = effective
        assert libc.capset(header, sets) == 0


def train(
    data: Path, run: Path, *more: str, within: AbstractContextManager[None] | None = None
) -> subprocess.CompletedProcess[str]:
    with within or nullcontext():
        return inside(main, "--data", data, *SETTINGS, "--run", run, *more)


def weights_of(run: Path) -> str:
    return str(json.loads((run / "result.json").read_bytes())["weights_sha256"])


def stopped(data: Path, run: Path, step: int) -> None:
    """Make a run that has a checkpoint of `step` and no result."""
    assert train(data, run, "--stop-after", str(step)).returncode == 0
    (run / "result.json").unlink()


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The SHA-256 of the weights of an undisturbed run."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train(data, run).returncode == 0
    return weights_of(run)


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Assert that a command failed with one line that contains these words."""
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: ")
    _, *more = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in more] in ([], ["continue with"])
    for word in words:
        assert word in done.stderr


def assert_resumes(data: Path, run: Path, step: int, expected: str) -> None:
    """Assert that the newest checkpoint is good and of `step`, and that a resume gives the expected hash."""
    checkpoint, complaints = Checkpoints(run / "checkpoints").newest()
    assert checkpoint is not None
    assert (checkpoint.step, complaints) == (step, [])
    assert not (run / "result.json").exists()
    done = train(data, run, "--resume")
    assert done.returncode == 0, done.stderr
    assert weights_of(run) == expected
    assert [path.name for path in run.rglob("*.tmp")] == []


def test_no_room_for_a_checkpoint(data: Path, expected: str, tmp_path: Path):
    run = tmp_path / "run"
    stopped(data, run, 13)
    done = train(data, run, "--resume", within=limited(CHECKPOINT // 2))
    assert_refused(done, "checkpoints/step-000000000020.npz", "File too large")
    assert_resumes(data, run, 13, expected)


@pytest.mark.slow
def test_no_room_on_ray(cluster: Cluster, data: Path, expected: str, tmp_path: Path):
    """The server writes the checkpoint, and Ray sets its limits, so a folder blocks the path instead."""
    run = tmp_path / "run"
    stopped(data, run, 13)
    obstacle = run / "checkpoints" / "step-000000000020.npz"
    obstacle.mkdir()
    with pytest.raises(OSError, match="directory") as caught:
        runs.train(RayTrainer(runs.job(data, run, 2, CONFIG), cluster), run)
    assert obstacle.name in f"{caught.value.filename} {caught.value.filename2}"
    obstacle.rmdir()
    assert_resumes(data, run, 13, expected)


def test_no_room_for_metrics(data: Path, expected: str, tmp_path: Path):
    """Checkpoints are smaller than the limit; only metrics.jsonl, which was padded, exceeds it."""
    run = tmp_path / "run"
    stopped(data, run, 10)
    metrics = run / "metrics.jsonl"
    padding: dict[str, Any] = {"event": "note", "step": 0, "text": "x" * 200_000}
    metrics.write_text(f"{json.dumps(padding)}\n{metrics.read_text()}")
    limit = metrics.stat().st_size + 1_000
    assert_refused(train(data, run, "--resume", within=limited(limit)), "metrics.jsonl", "File too large")
    step = max(int(path.stem.removeprefix("step-")) for path in (run / "checkpoints").iterdir())
    assert step >= 10  # a busy machine may get no further
    assert_resumes(data, run, step, expected)


def test_read_only_folder(data: Path, expected: str, tmp_path: Path):
    run = tmp_path / "run"
    stopped(data, run, 13)
    (run / "checkpoints").chmod(0o555)
    try:
        done = train(data, run, "--resume", within=obedient())
        assert_refused(done, "checkpoints/", "Permission denied")
    finally:
        (run / "checkpoints").chmod(0o755)
    assert_resumes(data, run, 13, expected)


def test_read_only_parent(data: Path, tmp_path: Path):
    (tmp_path / "closed").mkdir(mode=0o555)
    assert_refused(train(data, tmp_path / "closed" / "run", within=obedient()), "closed", "Permission denied")

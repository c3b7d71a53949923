"""Asynchronous runs, replayed and verified in the order of their updates: equal weights, or the first difference."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ddmlp.cli import replay, verify
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from tests.support.asynchronous import STEPS, begun, order_of, train
from tests.support.helpers import elsewhere, inside, plain
from tests.support.runs import assert_computed_again


@pytest.fixture
def copy(async_run: Job, tmp_path: Path) -> Job:
    """A copy of the run that the test may change."""
    return replace(async_run, run=Path(shutil.copytree(async_run.run, tmp_path / "run")))


def result_of(job: Job) -> dict[str, Any]:
    found = Run(job.run).result()
    assert found is not None
    return plain(found)


def refused(job: Job, *words: str) -> None:
    done = inside(replay.main, job.run)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    for word in words:
        assert word in done.stderr


def test_simple(async_run: Job):
    result = result_of(async_run)
    done = inside(replay.main, async_run.run)
    assert done.returncode == 0, done.stderr
    mean = sum(version - read for version, (_, read) in enumerate(order_of(async_run).tolist())) / STEPS
    replayed, weights = done.stdout.splitlines()
    assert re.findall(r"\d+(?:\.\d+)?", replayed) == ["54", f"{mean:.2f}", "3"]
    assert result["weights_sha256"] in weights
    assert re.search(r"0\.\.54, 8 checkpoints", inside(verify.main, async_run.run).stdout)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["replay", "verify"])
def test_other_processor(command: str, async_run: Job):
    """A recomputation for another processor than that of the training gives the same bits."""
    done = subprocess.run(
        [sys.executable, "-m", f"ddmlp.{command}", async_run.run],
        env=os.environ | elsewhere(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"weights sha256  {result_of(async_run)['weights_sha256']}" in done.stdout


@pytest.mark.parametrize("asked", ["0..10", "30..40", "40..54", "50..54"])
def test_from_a_checkpoint(asked: str, async_run: Job):
    done = inside(verify.main, async_run.run, "--steps", asked)
    assert done.returncode == 0, done.stderr
    assert "40..54" not in asked or done.stdout.startswith("verified        steps 40..54, 3 checkpoints")


def swap(lines: list[str]) -> None:
    """Swap the steps of two updates of the second epoch. Each still reads the same version."""
    lines[35], lines[36] = lines[36][:12] + lines[35][12:], lines[35][:12] + lines[36][12:]


def older(lines: list[str]) -> None:
    """Let an update read one version earlier."""
    lines[35] = f"{lines[35][:12]} {int(lines[35][12:]) - 1:12}"


@pytest.mark.parametrize("change", [swap, older])
def test_different_order(change: Callable[[list[str]], None], copy: Job):
    path = Run(copy.run).updates
    change(lines := path.read_text().splitlines())
    path.write_text("\n".join([*lines, ""]))
    refused(copy, str(copy.run), "54 updates", "ddmlp verify")
    done = inside(verify.main, copy.run)
    assert (done.returncode, "30..40" in done.stderr) == (1, True)
    assert inside(verify.main, copy.run, "--steps", "0..30").returncode == 0


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.unlink(), "updates.txt"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "54 lines"),
        (lambda path: path.write_bytes(path.read_bytes()[26:]), "54 lines"),
        (lambda path: path.write_bytes(b"x" + path.read_bytes()[1:]), "updates.txt"),
        (lambda path: path.write_bytes(path.read_bytes()[:26] * 54), "line 2 "),
    ],
)
def test_damaged_order(damage: Callable[[Path], object], says: str, copy: Job):
    damage(Run(copy.run).updates)
    refused(copy, says)
    assert says in inside(verify.main, copy.run).stderr


def test_different_result(copy: Job):
    path = copy.run / "result.json"
    found = json.loads(path.read_bytes())
    path.write_text(json.dumps(found | {"weights_sha256": "f" * 64}))
    refused(copy, "result.json", "chain.jsonl")


def test_moved_data(copy: Job, data: Path, tmp_path: Path):
    config = json.loads((copy.run / "config.json").read_bytes())
    (copy.run / "config.json").write_text(json.dumps(config | {"data": str(tmp_path / "gone")}))
    refused(copy, f"{tmp_path}/gone")
    assert inside(replay.main, copy.run, "--data", data).returncode == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train").symlink_to(data / "test")
    done = inside(replay.main, copy.run, "--data", tmp_path / "other")
    assert (done.returncode, str(copy.run) in done.stderr) == (1, True)


def test_no_run(tmp_path: Path):
    done = inside(replay.main, tmp_path / "none")
    assert (done.returncode, "holds no run" in done.stderr) == (1, True)


def test_no_updates(data: Path, tmp_path: Path):
    job = begun(tmp_path / "run", data, epochs=0)
    assert_computed_again(job.run, train(job))

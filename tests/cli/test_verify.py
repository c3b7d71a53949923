"""The command that computes a run again: it says verified, or where the run first differs."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from ddmlp.cli import train, verify
from ddmlp.runs.checkpoint import Checkpoint, Checkpoints, load_checkpoint
from ddmlp.runs.hash_chain import HashChain
from ddmlp.runs.run import Run
from ddmlp.training.figures import NOT_COVERED
from tests.support.helpers import inside

SETTINGS = ["--hidden", "8", "--batch", "200", "--epochs", "2", "--checkpoint-every", "15", "--keep", "2"]
POSITIONS = [0, 15, 20, 30, 40]  # of the checkpoints; the last two are kept


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, not to be changed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    done = inside(train.main, "--data", data, *SETTINGS, "--run", run)
    assert done.returncode == 0, done.stderr
    return run


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def verified(*arguments: object) -> subprocess.CompletedProcess[str]:
    return inside(verify.main, *arguments)


def refused(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert done.returncode == status, done.stdout
    assert len(done.stderr.splitlines()) == 1
    for word in words:
        assert word in done.stderr


def result(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "result.json").read_bytes())
    return found


def test_simple(whole: Path):
    done = verified(whole)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "verified        steps 0..40, 5 checkpoints",
        f"weights sha256  {result(whole)['weights_sha256']}",
        f"chain           {result(whole)['chain']}",
        "metrics         47 lines",  # 40 of progress, 2 of epochs, 5 of checkpoints
        "result          as recorded",
        f"not covered     {NOT_COVERED}",
    ]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("30..40", "steps 30..40, 2"),
        ("15..20", "steps 0..20, 3"),
        ("40..40", "steps 40..40, 1"),
        ("0..0", "steps 0..0, 1"),
    ],
)
def test_begins_at_a_checkpoint(asked: str, said: str, whole: Path):
    done = verified(whole, "--steps", asked)
    assert done.returncode == 0, done.stderr
    assert f"verified        {said} checkpoint" in done.stdout


def test_unfinished_run(data: Path, tmp_path: Path):
    inside(train.main, "--data", data, *SETTINGS, "--run", tmp_path / "run", "--stop-after", "17")
    assert "steps 0..17, 3 checkpoints" in verified(tmp_path / "run").stdout
    (tmp_path / "run" / "result.json").unlink()
    assert "steps 0..17, 3 checkpoints" in verified(tmp_path / "run").stdout


def test_data_that_were_moved(data: Path, run: Path, tmp_path: Path):
    config = json.loads((run / "config.json").read_bytes())
    (run / "config.json").write_text(json.dumps(config | {"data": str(tmp_path / "gone")}))
    refused(verified(run), 1, f"{tmp_path}/gone")
    assert verified(run, "--data", data).returncode == 0
    shutil.copytree(data / "train", tmp_path / "gone" / "train")
    assert "no test data" in verified(run).stdout
    (tmp_path / "other").mkdir()
    shutil.copytree(data / "test", tmp_path / "other" / "train")
    refused(verified(run, "--data", tmp_path / "other"), 1, "other/train", "is not the dataset that")


@pytest.mark.parametrize(
    ("asked", "status"), [("40..30", 2), ("x", 2), ("1..", 2), ("-1..3", 2), ("0..41", 2), ("14..15", 2)]
)
def test_bad_steps(asked: str, status: int, whole: Path):
    refused(verified(whole, f"--steps={asked}"), status, "step")


def test_nearest_positions_are_named(whole: Path):
    refused(verified(whole, "--steps", "14..40"), 2, "no checkpoint of step 14", "[15, 20]")


def test_no_run(tmp_path: Path):
    refused(verified(tmp_path / "none"), 1, "holds no run")
    assert not (tmp_path / "none").exists()


def change_weights(path: Path) -> None:
    """One bit of a checkpoint's weights, its own hash made to fit."""
    found = load_checkpoint(path)
    found.weights.w1[0].view(np.uint32)[-1] ^= 1
    Checkpoints(path.parent).save(found)


def edit(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def edited(run: Path) -> None:
        before = (run / name).read_text()
        (run / name).write_text(change(before))
        assert (run / name).read_text() != before

    return edited


def other_model(run: Path) -> None:
    weights = load_checkpoint(run / "checkpoints" / "step-000000000030.npz").weights
    Run(run).write_model(weights)


TAMPERING = {
    "a digit of the chain": (edit("chain.jsonl", lambda text: text.replace("1", "2", 1)), "chain.jsonl, line"),
    "a link missing": (edit("chain.jsonl", lambda text: text.partition("\n")[2]), "chain.jsonl, line 1"),
    "the last link missing": (edit("chain.jsonl", lambda text: "\n".join(text.split("\n")[:-2]) + "\n"), "result.json"),
    "no chain": (lambda run: (run / "chain.jsonl").unlink(), "chain.jsonl has no entry for step 0"),
    "another configuration": (edit("config.json", lambda text: text.replace('"seed": 0', '"seed": 1')), "line 1"),
    "another result": (
        edit("result.json", lambda text: text.replace('weights_sha256": "', 'weights_sha256": "f')),
        "result",
    ),
    "another model": (other_model, "model.npz"),
    "another checkpoint": (
        lambda run: change_weights(run / "checkpoints" / "step-000000000030.npz"),
        "step-000000000030.npz does not match",
    ),
    "a damaged checkpoint": (lambda run: (run / "checkpoints" / "step-000000000030.npz").write_bytes(b""), "damaged"),
}


@pytest.mark.parametrize("kind", TAMPERING)
def test_tampering_is_found(kind: str, run: Path):
    tamper, named = TAMPERING[kind]
    assert verified(run).returncode == 0
    tamper(run)
    refused(verified(run), 1, named)


def test_wrong_computation_is_found(data: Path, tmp_path: Path):
    """Whoever could write a consistent chain over wrong weights is found out by the recomputation."""
    run = Run(tmp_path / "run")
    inside(train.main, "--data", data, *SETTINGS, "--run", run.path, "--stop-after", "20")
    right = load_checkpoint(run.checkpoints.paths()[0])
    chain = HashChain(run.chain, run.origin().fixed)
    before = chain.entries()[-2]
    assert (before.step, right.step) == (15, 20)
    assert chain.rewind(15, before.digest) is None
    right.weights.w1[0].view(np.uint32)[-1] ^= 1
    digest = chain.append(20, right.weights.sha256())
    run.checkpoints.save(Checkpoint(right.weights, 20, replace(right.header, chain=digest)))
    (run.path / "result.json").unlink()
    done = inside(train.main, "--resume", "--run", run.path, "--checkpoint-every", "15", "--keep", "2")
    assert done.returncode == 0, done.stderr
    assert "note" not in done.stdout
    refused(verified(run.path), 1, "differs in steps 15..20", right.weights.sha256()[:16])
    assert verified(run.path, "--steps", "30..40").returncode == 0, "from there on it was right again"

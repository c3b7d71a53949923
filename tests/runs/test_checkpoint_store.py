"""Checkpoints in a store: whole, pruned, and of one run."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from ddmlp.data.dataset import file_sha256
from ddmlp.data.store import Store
from ddmlp.errors import RunError, StoreError
from ddmlp.nn.weights import Shape, Weights
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.runs.checkpoint_store import Archive, CheckpointStore
from ddmlp.runs.run import Run
from tests.support.runs import ORIGIN


def save(run: Run, step: int) -> None:
    run.checkpoints.save(Checkpoint(Weights.draw(Shape(4, 3, 2), seed=step), step))
    with run.chain.open("a") as file:
        file.write(f"{step}\n")


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(Store((tmp_path / "store").as_uri()), keep=2)


def steps(store: CheckpointStore) -> list[int]:
    return [archive.step for archive in store.archives()]


def restored(store: CheckpointStore, path: Path) -> tuple[Run, list[str]]:
    with Run(path) as run:
        return run, store.restore(run)


def test_simple(run: Run, store: CheckpointStore, tmp_path: Path):
    for step in (0, 5, 9):
        save(run, step)
        assert store.save(run) == step
    assert steps(store) == [9, 5]
    found, complaints = restored(store, tmp_path / "again")
    assert complaints == []
    assert found.origin() == ORIGIN
    checkpoint, _ = found.checkpoints.newest()
    assert checkpoint is not None
    assert checkpoint.weights.sha256() == Weights.draw(Shape(4, 3, 2), seed=9).sha256()
    assert found.chain.read_text() == "0\n5\n9\n"
    assert sorted(each.name for each in found.path.iterdir()) == [".lock", "chain.jsonl", "checkpoints", "config.json"]
    assert sorted(each.name for each in run.path.iterdir()) == ["chain.jsonl", "checkpoints", "config.json"]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_damaged_is_skipped(run: Run, store: CheckpointStore, tmp_path: Path, damage: str):
    for step in (5, 9):
        save(run, step)
        store.save(run)
    path = tmp_path / "store" / store.archives()[0].name
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes({"cut": path.read_bytes()[:-1], "flip": bytes(data), "empty": b""}[damage])
    found, (complaint,) = restored(store, tmp_path / "again")
    assert "step-000000000009" in complaint
    checkpoint, _ = found.checkpoints.newest()
    assert checkpoint is not None
    assert checkpoint.step == 5


def test_nothing_to_restore(store: CheckpointStore, tmp_path: Path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / Archive(3, 64 * "a").name).touch()
    with pytest.raises(RunError, match="step-000000000003"):
        restored(store, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_foreign_archive(store: CheckpointStore, tmp_path: Path):
    """Only files with known names are taken from an archive, whatever else it has."""
    (tmp_path / "store").mkdir()
    path = tmp_path / "archive"
    with tarfile.open(path, "w") as tar:
        for name in ("../outside", "config.json", "step-000000000003.npz"):
            info = tarfile.TarInfo(name)
            info.size = 2
            tar.addfile(info, io.BytesIO(b"{}"))
    path.rename(tmp_path / "store" / Archive(3, file_sha256(path)).name)
    with pytest.raises(RunError, match="step-000000000003"):
        restored(store, tmp_path / "again")
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "again").exists()


def test_other_run(run: Run, store: CheckpointStore):
    store.check_origin(None, run)
    save(run, 5)
    store.save(run)
    store.check_origin(ORIGIN, run)
    with pytest.raises(RunError, match="step 5"):
        store.check_origin(None, run)
    with pytest.raises(RunError, match="another run"):
        store.check_origin(replace(ORIGIN, dataset_sha256=64 * "b"), run)


def test_written_wrongly(run: Run, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch):
    """What is read back differs: the older checkpoints stay."""
    for step in (5, 9):
        save(run, step)
        store.save(run)
    save(run, 12)
    monkeypatch.setattr(Store, "sha256", lambda *_: 64 * "0")
    with pytest.raises(StoreError, match="000000000012"):
        store.save(run)
    assert steps(store) == [12, 9, 5]


def test_no_checkpoint(run: Run, store: CheckpointStore):
    with pytest.raises(RunError, match="no checkpoint"):
        store.save(run)

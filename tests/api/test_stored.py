"""Checkpoints in a store: a run continues from them in another folder."""

import shutil
from pathlib import Path

import pytest

import ddmlp
from ddmlp.errors import ConfigError, RunError, StoreError
from tests.support.api import SMALL, STEPS


@pytest.fixture
def store(tmp_path: Path) -> str:
    return (tmp_path / "store").as_uri()


@pytest.mark.slow
def test_simple(expected: ddmlp.Result, data: Path, tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    part = ddmlp.fit(data, run="one", checkpoint_uri=store, stop_after=STEPS // 2 + 1, **SMALL)
    assert part.record.stored == part.steps == STEPS // 2 + 1
    assert part.record.not_stored is None
    shutil.rmtree("one")
    found = ddmlp.resume(store, keep=1)
    assert found.run.parent == tmp_path / "runs"
    assert found.weights_sha256 == expected.weights_sha256
    assert found.record.stored == STEPS
    assert [path.name[:17] for path in (tmp_path / "store").iterdir()] == [f"step-{STEPS:012d}"]
    assert ddmlp.verify(found.run).weights_sha256 == expected.weights_sha256
    assert store not in "".join(path.read_text() for path in found.run.glob("*.json*"))


@pytest.mark.slow
def test_into_a_folder(expected: ddmlp.Result, data: Path, tmp_path: Path, store: str):
    ddmlp.fit(data, run=tmp_path / "one", checkpoint_uri=store, stop_after=3, **SMALL)
    found = ddmlp.resume(tmp_path / "two", checkpoint_uri=store)
    assert found.run == tmp_path / "two"
    assert found.weights_sha256 == expected.weights_sha256
    again = ddmlp.resume(tmp_path / "two", checkpoint_uri=store)  # the folder has the run, which has ended
    assert again.weights_sha256 == expected.weights_sha256


@pytest.mark.slow
def test_asynchronous(data: Path, tmp_path: Path, store: str):
    """The order of updates is stored, too: the whole run can be computed again."""
    more = {"hidden": 8, "epochs": 1, "batch": 200, "staleness": 3}
    ddmlp.fit(data, run=tmp_path / "one", checkpoint_uri=store, stop_after=5, **more)
    found = ddmlp.resume(tmp_path / "two", checkpoint_uri=store)
    assert found.finished
    assert ddmlp.verify(found.run).weights_sha256 == found.weights_sha256


@pytest.mark.slow
def test_store_of_another_run(data: Path, tmp_path: Path, store: str):
    ddmlp.fit(data, run=tmp_path / "one", checkpoint_uri=store, stop_after=3, **SMALL)
    with pytest.raises(RunError, match="step 3"):
        ddmlp.fit(data, run=tmp_path / "two", checkpoint_uri=store, **SMALL)
    assert not (tmp_path / "two").exists()
    ddmlp.fit(data, run=tmp_path / "three", stop_after=3, **{**SMALL, "seed": 7})
    with pytest.raises(RunError, match="another run"):
        ddmlp.resume(tmp_path / "three", checkpoint_uri=store)


@pytest.mark.slow
def test_failing_store(expected: ddmlp.Result, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The run ends as without a store, and its result says why."""
    from ddmlp.data.store import Store
    from ddmlp.runs import backup

    def fail(*_: object) -> None:
        raise StoreError("no space left in the bucket")

    monkeypatch.setattr(backup, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(Store, "write", fail)
    found = ddmlp.fit(data, run=tmp_path / "one", checkpoint_uri=(tmp_path / "store").as_uri(), **SMALL)
    assert found.weights_sha256 == expected.weights_sha256
    assert found.record.stored is None
    assert "no space left" in (found.record.not_stored or "")
    assert "no space left" in (found.run / "metrics.jsonl").read_text()
    assert "no space left" in (found.run / "result.json").read_text()


def test_nothing_is_stored(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="no checkpoint"):
        ddmlp.resume(store)
    assert not Path("runs").exists()


def test_bad_uri(data: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="@"):
        ddmlp.fit(data, run=tmp_path / "one", checkpoint_uri="s3://a:b@c/d", **SMALL)

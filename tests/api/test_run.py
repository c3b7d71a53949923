"""The folder of a run: its name, and how to continue it."""

from pathlib import Path

import pytest

from ddmlp.api.run import hinting, new_run, run_in
from ddmlp.errors import ClusterError, DdmlpError, TrainingError
from ddmlp.runs.run import Run


def test_simple(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with new_run("one") as run:
        assert run.path == run_in("one").path == tmp_path / "one"
    assert list(tmp_path.iterdir()) == []


def test_two_in_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda _: "now")
    with new_run(None) as first, new_run(None) as second, new_run(None) as third:
        assert [each.path for each in (first, second, third)] == [
            tmp_path / "runs" / name for name in ("now", "now-2", "now-3")
        ]
        assert third.path.is_dir(), "no other program can choose it, too"
        (second.path / "config.json").touch()
    assert [each.name for each in (tmp_path / "runs").iterdir()] == ["now-2"], "the others have no run"


def test_nothing_remains_without_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DdmlpError), new_run(None):
        raise DdmlpError("x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [ClusterError("x"), OSError(28, "full"), KeyboardInterrupt(), TrainingError("x")])
def test_hint_with_an_error(error: BaseException, tmp_path: Path):
    run = Run(tmp_path)
    (tmp_path / "config.json").touch()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / f"step-{0:012d}.npz").touch()
    with pytest.raises(type(error)), hinting(run, lambda: "continue"):
        raise error
    assert getattr(error, "__notes__", []) == ([] if isinstance(error, TrainingError) else ["continue"])


def test_nothing_to_continue(tmp_path: Path):
    error = DdmlpError("x")
    with pytest.raises(DdmlpError), hinting(Run(tmp_path), lambda: "continue"):
        raise error
    assert not hasattr(error, "__notes__")

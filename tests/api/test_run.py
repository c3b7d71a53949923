"""The folder of a run: its name, and how to continue it."""

from pathlib import Path

import pytest

from ddmlp.api.run import hinting, new_run
from ddmlp.errors import ClusterError, DdmlpError, TrainingError
from ddmlp.runs.run import Run


def test_simple(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert new_run("one").path == tmp_path / "one"


def test_two_in_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda _: "now")
    for name in ("now", "now-2", "now-3"):
        path = new_run(None).path
        assert path == tmp_path / "runs" / name
        path.mkdir(parents=True)


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

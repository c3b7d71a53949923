"""The logs of a training: --log-level and --log-file."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ddmlp.cli.train import main
from ddmlp.cli.train_arguments import flags_again, parse
from tests.support.helpers import inside


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def train(data: Path, run: Path, *more: object) -> CompletedProcess[str]:
    words = ["--hidden", "4", "--batch", "500", "--epochs", "1", "--no-report", "--quiet"]
    return inside(main, "--data", data, "--run", run, *words, *more)


def test_simple(data: Path, run: Path):
    """Checkpoints and the settings, in the run's folder."""
    done = train(data, run)
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in (run / "logs").iterdir()] == ["train.log"]
    text = (run / "logs" / "train.log").read_text()
    assert "checkpoint of step 8 " in text
    assert "hidden=4" in text


@pytest.mark.parametrize("level", ["off", "warning", "debug"])
def test_level(data: Path, run: Path, tmp_path: Path, level: str):
    """It does not reach the weights."""
    assert train(data, run, "--log-level", level).returncode == 0
    assert (run / "logs").exists() == (level == "debug")
    assert train(data, tmp_path / "other").returncode == 0
    one, other = (json.loads((each / "result.json").read_bytes()) for each in (run, tmp_path / "other"))
    assert one["weights_sha256"] == other["weights_sha256"]


def test_file(data: Path, run: Path, tmp_path: Path):
    assert train(data, run, "--log-file", tmp_path / "one.log").returncode == 0
    assert "checkpoint of step 8 " in (tmp_path / "one.log").read_text()
    assert not (run / "logs").exists()


def test_error(data: Path, run: Path, tmp_path: Path):
    """It is logged, too; what did not become a run leaves no logs of its own."""
    words = ["--workers", "2", "--address", "127.0.0.1:1"]
    assert train(data, run, *words, "--log-file", tmp_path / "one.log").returncode != 0
    assert " ERROR " in (line := (tmp_path / "one.log").read_text())
    assert "127.0.0.1:1" in line
    assert train(data, run, *words).returncode != 0
    assert not run.exists()


def test_file_not_writable(data: Path, run: Path):
    """One line, before anything is trained."""
    done = train(data, run, "--log-file", data / "train")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert str(data / "train") in line
    assert not run.exists()


def test_folder_not_writable(data: Path, run: Path):
    """One line, and the training goes on."""
    run.mkdir()
    (run / "logs").touch()
    done = train(data, run)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: ")
    assert str(run / "logs" / "train.log") in line


def test_continued():
    """The command that continues has the flags; the file is the same from another folder."""
    again = flags_again(parse(["--log-level", "debug", "--log-file", "a/b.log"]))
    assert again == ["--log-level", "debug", "--log-file", str(Path("a/b.log").absolute())]

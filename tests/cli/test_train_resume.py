"""A run that stops and goes on: the same weights, the same settings, the newest checkpoints."""

import shutil
from pathlib import Path

import pytest

from ddmlp.cli import train as train_command
from ddmlp.cli import verify
from ddmlp.data.convert import convert, find_pairs
from tests.support.helpers import inside
from tests.support.training import SMALL, Train, events, refused, result


@pytest.mark.parametrize("stop", [0, 17, 40, 119, 120])
def test_stopped_and_resumed(stop: int, whole: Path, train: Train, tmp_path: Path):
    first = train(*SMALL, "--run", tmp_path / "run", "--stop-after", str(stop))
    assert first.returncode == 0, first.stderr
    assert ("unfinished" in first.stdout) == (stop < 120)
    assert result(tmp_path / "run")["steps"] == stop
    assert result(tmp_path / "run")["finished"] == (stop == 120)
    assert (tmp_path / "run" / "model.npz").exists()
    second = train("--run", tmp_path / "run", "--resume")
    assert second.returncode == 0, second.stderr
    assert result(tmp_path / "run")["weights_sha256"] == result(whole)["weights_sha256"]
    tested = [event["test_error"] for event in events(whole) if event["event"] == "epoch"]
    assert len(tested) == 3
    assert [event["test_error"] for event in events(tmp_path / "run") if event["event"] == "epoch"] == tested


def test_resume_keeps_the_settings(train: Train, sample: Path, tmp_path: Path):
    train(*SMALL, "--run", tmp_path / "run", "--stop-after", "20")
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    for flag, value in [("--lr", "0.5"), ("--batch", "50"), ("--seed", "9"), ("--hidden", "17")]:
        refused(
            train("--run", tmp_path / "run", "--resume", flag, value),
            1,
            flag[2:].replace("-", "_"),
            value,
            "begun with",
        )
    train_pair, test_pair = find_pairs(sample)
    convert({tmp_path / "other" / "train": test_pair, tmp_path / "other" / "test": train_pair})
    other = train("--run", tmp_path / "run", "--resume", "--data", tmp_path / "other")
    refused(other, 1, "dataset", str(tmp_path / "other"))
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == kept


def test_moved_data(data: Path, whole: Path, tmp_path: Path):
    """They are asked for, and the command that goes on with the run has them."""
    run, was, now = tmp_path / "run", tmp_path / "was", tmp_path / "now"
    was.symlink_to(data)
    shutil.copytree(data, now)
    flags = ["--run", run, "--no-report", "--quiet"]
    assert inside(train_command.main, "--data", was, *SMALL, *flags, "--stop-after", "9").returncode == 0
    config = (run / "config.json").read_text()
    (run / "config.json").write_text(config.replace(str(data), str(tmp_path / "gone")))
    refused(inside(train_command.main, "--resume", *flags), 2, str(tmp_path / "gone"))
    refused(inside(verify.main, run), 1, str(tmp_path / "gone"))
    done = inside(train_command.main, "--resume", *flags, "--data", now, "--stop-after", "12")
    assert f"--run {run} --resume --data {now} --quiet --no-report\n" in done.stdout
    assert inside(train_command.main, "--resume", *flags, "--data", now).returncode == 0
    assert result(run)["weights_sha256"] == result(whole)["weights_sha256"]


def test_begun_once(train: Train, tmp_path: Path):
    train(*SMALL, "--run", tmp_path / "run", "--epochs", "0")
    refused(train(*SMALL, "--run", tmp_path / "run"), 1, str(tmp_path / "run"), "resume")
    refused(train("--run", tmp_path / "none", "--resume"), 1, str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_resuming_a_finished_run(whole: Path, train: Train, tmp_path: Path):
    run = shutil.copytree(whole, tmp_path / "run")
    again = train("--run", run, "--resume")
    assert again.returncode == 0
    assert result(whole)["weights_sha256"] in again.stdout
    assert (run / "result.json").read_bytes() == (whole / "result.json").read_bytes()


def test_newest_checkpoints_are_kept(train: Train, tmp_path: Path):
    train("--run", tmp_path / "run", "--checkpoint-every", "7", *SMALL, "--stop-after", "30")
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == [f"step-{step:012d}.npz" for step in (21, 28, 30)]

"""Training in a terminal: Ctrl-C, SIGTERM, and a terminal that is closed."""

import re
import signal
from pathlib import Path

import pytest

from ddmlp.cli import verify
from ddmlp.runs.checkpoint import Checkpoints
from tests.support.helpers import inside
from tests.support.processes import in_terminal
from tests.support.training import COMMAND, SMALL, Train, result

ENDLESS = [*SMALL, "--epochs", "5000"]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_in_a_terminal(number: int, train: Train, data: Path, tmp_path: Path):
    run = tmp_path / "run"
    with in_terminal([*COMMAND, "--data", data, *ENDLESS, "--run", run]) as terminal:
        terminal.wait_for("epoch 2/5000  test error")
        if number == signal.SIGINT:
            terminal.press(b"\x03")
        else:
            terminal.process.send_signal(number)
        assert terminal.ended() == 130
    shown = terminal.shown.decode()
    assert f"--run {run} --resume" in shown.replace("\r\n", "")
    assert "rows/s" in shown
    assert "━" in shown
    assert not (run / "result.json").exists()
    stopped = int(re.findall(r"interrupted after step (\d+)", shown)[0])
    assert train("--run", run, "--resume", "--stop-after", str(stopped + 5)).returncode == 0
    assert result(run)["steps"] == stopped + 5
    assert inside(verify.main, run).returncode == 0


def test_terminal_closed(data: Path, tmp_path: Path):
    run = tmp_path / "run"
    # No checkpoint but those at the end of an epoch: one elsewhere was written because the terminal was closed.
    with in_terminal([*COMMAND, "--data", data, *ENDLESS, "--checkpoint-every", "1000000", "--run", run]) as terminal:
        terminal.wait_for("epoch 2/5000  test error")
        terminal.close()
        terminal.process.wait(60)
    assert not (run / "result.json").exists()
    checkpoint, complaints = Checkpoints(run / "checkpoints").newest()
    assert complaints == []
    assert checkpoint is not None
    assert checkpoint.step >= 80
    assert inside(verify.main, run).returncode == 0

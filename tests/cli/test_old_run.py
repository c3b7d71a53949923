"""A run of ddmlp 0.1.0, whose arithmetic was another one: its model is used, but it is not gone on with."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ddmlp
from ddmlp.cli import evaluate, export, replay, report, train, verify
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import RunError
from ddmlp.inference.saved_model import load_model
from ddmlp.runs.run import Run
from tests.support.helpers import inside

RUN = Path(__file__).parents[1] / "support" / "run_0_1_0"  # 3 images of one pixel, one hidden unit, 2 classes
SHA256 = "96ad36013d421729c7902f7f6febd731cbee3aa3985b6c5cd515908302175baa"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data that it was trained on."""
    for part in ("train", "test"):
        with DatasetWriter(tmp_path / "data" / part, (1, 1), 2, shard_rows=10) as writer:
            writer.append(np.array([0, 255, 128], np.uint8).reshape(3, 1, 1), np.array([0, 1, 1], np.uint8))
    return tmp_path / "data"


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Path:
    """A copy, which finds its data."""
    path = Path(shutil.copytree(RUN, tmp_path / "run"))
    config = json.loads((path / "config.json").read_bytes())
    (path / "config.json").write_text(json.dumps(config | {"data": str(data)}))
    return path


def test_simple(run: Path, data: Path):
    model = load_model(run)
    assert model.weights.sha256() == SHA256
    assert model.predict_proba(np.full((1, 1, 1), 255, np.uint8)).sum() == pytest.approx(1)
    done = inside(evaluate.main, "--model", run, "--data", data)
    assert (done.returncode, "2 of 3" in done.stdout) == (0, True), done


def test_report_and_export(run: Path, tmp_path: Path):
    for main, *arguments in [
        (report.main, run, "--out", tmp_path / "report.html"),
        (export.main, "--model", run, "--to", "safetensors", tmp_path / "model.safetensors"),
    ]:
        done = inside(main, *arguments)
        assert done.returncode == 0, done.stderr
    assert SHA256[:16] in (tmp_path / "report.html").read_text()


def without_result(run: Path) -> None:
    """As if it had not ended."""
    (run / "result.json").unlink()
    (run / "model.npz").unlink()


def without_checkpoints(run: Path) -> None:
    without_result(run)
    shutil.rmtree(run / "checkpoints")


COMMANDS = {
    "resume": (train.main, "--resume", "--run"),
    "verify": (verify.main,),
    "replay": (replay.main,),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("change", "by"), [(lambda _: None, "0.1.0"), (without_result, "0.1.0"), (without_checkpoints, "unknown")]
)
def test_refused(command: str, change: Callable[[Path], None], by: str, run: Path):
    """By one line, which names the version that has computed it; and nothing is changed."""
    change(run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    main, *arguments = COMMANDS[command]
    done = inside(main, *arguments, run)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
    for word in (str(run), by, f"ddmlp {ddmlp.__version__}", "arithmetic 1", "arithmetic 2"):
        assert word in done.stderr
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_data_are_not_looked_for(run: Path, data: Path):
    """It is the run that cannot be gone on with, wherever its data are."""
    shutil.rmtree(data)
    for main, *arguments in COMMANDS.values():
        assert "0.1.0" in inside(main, *arguments, run).stderr


def test_later_arithmetic(run: Path):
    config = json.loads((run / "config.json").read_bytes())
    (run / "config.json").write_text(json.dumps(config | {"arithmetic": 99}))
    assert Run(run).origin().arithmetic == 99
    with pytest.raises(RunError, match="arithmetic 99"):
        Run(run).require_arithmetic()

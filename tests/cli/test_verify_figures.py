"""The command that computes a run again: figures that the run has recorded are compared, too."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ddmlp.cli import train
from tests.cli.test_verify import SETTINGS, refused, result, verified
from tests.support.helpers import inside


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, not to be changed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert inside(train.main, "--data", data, *SETTINGS, "--run", run).returncode == 0
    return run


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def change_line(run: Path, event: str, step: int, **members: Any) -> None:
    """Change members of a line of metrics.jsonl."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (line,) = [line for line in lines if (line["event"], line["step"]) == (event, step)]
    assert line | members != line
    line |= members
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


FIGURES = {
    "progress": {
        "epoch": 1.9,
        "rows": 7,
        "error": 0.5,
        "mistakes": 0.0,
        "staleness": {"mean": 0.0, "max": 0, "histogram": {}},
    },
    "epoch": {"epoch": 1, "test_error": 0.25, "test_cross_entropy": 0.5, "test_rows": 999},
    "checkpoint": {"chain": "f" * 64},
}


@pytest.mark.parametrize(("event", "name"), [(event, name) for event, members in FIGURES.items() for name in members])
def test_another_figure(event: str, name: str, run: Path):
    """Whatever of the metrics is a function of the run is computed again."""
    change_line(run, event, 40, **{name: FIGURES[event][name]})
    refused(verified(run, "--steps", "30..40"), 1, "metrics.jsonl", event, "step 40", name.removeprefix("test_"))


RESULT = {
    "test_error": 0.01, "test_cross_entropy": 0.5, "test_rows": 10, "image_shape": [1, 784], "steps": 39, "rows": 7999,
    "epochs": 1, "seed": 1, "dataset_sha256": "f" * 64, "prequential": {"window": 1, "error": 0.0, "overall": 0.0},
    "staleness": {"bound": 1, "delay": 0, "mean": 0.0, "max": 0, "histogram": {"0": 40}},
}  # fmt: skip


@pytest.mark.parametrize("name", RESULT)
def test_another_result(name: str, run: Path):
    found = result(run)
    assert found.get(name) != RESULT[name]
    (run / "result.json").write_text(json.dumps(found | {name: RESULT[name]}))
    refused(verified(run, "--steps", "30..40"), 1, "result.json", name)
    assert "not compared" in verified(run, "--steps", "15..20").stdout


def test_lines_out_of_order(run: Path):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join([lines[0], *reversed(lines[1:]), ""]))
    refused(verified(run), 1, "metrics.jsonl has a line of step ")


def test_lines_that_cannot_be_read(run: Path):
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"event": "prog')
    assert "47 lines; 1 damaged" in verified(run).stdout


@pytest.mark.slow
def test_a_run_that_was_stopped_often(data: Path, tmp_path: Path):
    """What is counted since the line before is counted from where the run went on."""
    run = tmp_path / "run"
    for stop in (7, 17, 33):
        how = ["--data", data, *SETTINGS] if stop == 7 else ["--resume"]
        assert inside(train.main, *how, "--run", run, "--stop-after", stop).returncode == 0
    done = verified(run)
    assert done.returncode == 0, done.stderr
    assert "result          as recorded" in done.stdout

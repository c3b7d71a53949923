"""The command report, and the report that ends a training."""

import json
import re

import pytest

from ddmlp.cli import report, train
from ddmlp.reporting import page as pages
from ddmlp.reporting.plots import MAX_RUNS
from tests.support.helpers import inside

SMALL = ["--hidden", "16", "--quiet", "--epochs", "1"]


def test_simple(trained, tmp_path):
    out = tmp_path / "page.html"
    done = inside(report.main, trained, "--out", out)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"report          {out}\n", "")
    assert json.loads((trained / "result.json").read_bytes())["weights_sha256"] in out.read_text()


def test_default_path(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(trained)
    assert inside(report.main, "run", "run").stdout.split() == ["report", "report.html"]
    assert (tmp_path / "report.html").exists()


def test_training_writes_one(data, tmp_path):
    run = tmp_path / "run"
    done = inside(train.main, "--data", data, "--run", run, *SMALL)
    assert f"run             {run} (report.html)\n" in done.stdout
    assert json.loads((run / "result.json").read_bytes())["weights_sha256"] in (run / "report.html").read_text()


def test_no_report(data, tmp_path):
    done = inside(train.main, "--data", data, "--run", tmp_path / "run", *SMALL, "--no-report")
    assert f"run             {tmp_path / 'run'}\n" in done.stdout
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize("error", [ImportError("no matplotlib"), RuntimeError("a\nb"), KeyboardInterrupt()])
def test_failure_does_not_fail_the_run(data, tmp_path, monkeypatch, error):
    def fail(_summaries):
        raise error

    monkeypatch.setattr(pages, "page", fail)
    done = inside(train.main, "--data", data, "--run", tmp_path / "run", *SMALL)
    assert (done.returncode, done.stderr) == (0, "")
    assert "report could not be written: " in done.stdout
    assert json.loads((tmp_path / "run" / "result.json").read_bytes())["finished"]
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "RUN"),
        (["nowhere"], 1, "nowhere holds no run"),
        (["run", "--out", "nowhere/page.html"], 2, "--out is nowhere/page.html"),
        (["run", "--out", "."], 2, "--out is ."),
        (["run"] * (MAX_RUNS + 1), 2, f"{MAX_RUNS + 1} runs"),
    ],
)
def test_errors_are_one_line(trained, tmp_path, monkeypatch, arguments, status, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(trained)
    done = inside(report.main, *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert re.fullmatch(r"error: .+\n", done.stderr)
    assert words in done.stderr

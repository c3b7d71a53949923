"""Training further: more epochs for a run, and a new run that begins with the weights of another."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ddmlp.cli import replay, verify
from ddmlp.inference.saved_model import load_weights
from ddmlp.ray_backend.cluster import Cluster
from tests.support.helpers import inside
from tests.support.training import COMMAND, SMALL, Train, refused, result

CONSTANT = [*SMALL, "--lr-schedule", "constant"]
INVERSE = [*SMALL, "--lr-schedule", "inverse", "--lr-half", "30"]
DELAYED = [*CONSTANT, "--delay", "2"]


def sha256(run: Path) -> str:
    return str(result(run)["weights_sha256"])


@pytest.mark.parametrize(
    ("flags", "stop"),
    [
        (INVERSE, ["--stop-after", "50"]),
        *(pytest.param(flags, [], marks=pytest.mark.slow) for flags in (CONSTANT, DELAYED)),
    ],
)
def test_more_epochs(flags: list[str], stop: list[str], train: Train, tmp_path: Path):
    """It comes to the weights that a run of so many epochs comes to, also in two goes, and can be verified."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert train(*flags, "--epochs", "6", "--run", whole).returncode == 0
    assert train(*flags, "--run", run, *stop).returncode == 0
    assert train("--run", run, "--resume", "--epochs", "5", "--stop-after", "170").returncode == 0
    assert inside(verify.main, run).returncode == 0
    for epochs, steps in [([], 200), (["--epochs", "6"], 240)]:
        done = train("--run", run, "--resume", *epochs)
        assert (done.returncode, done.stderr) == (0, "")
        assert (result(run)["steps"], result(run)["finished"]) == (steps, True)
        assert inside(verify.main, run).returncode == 0
    assert sha256(run) == sha256(whole)
    metrics = (run / "metrics.jsonl").read_bytes()
    again = train("--run", run, "--resume")  # nothing is left to train
    assert (again.returncode, sha256(run) in again.stdout) == (0, True)
    assert (run / "metrics.jsonl").read_bytes() == metrics


def test_more_epochs_asynchronously(train: Train, tmp_path: Path):
    """With --staleness, and so with a journal of updates."""
    run = tmp_path / "run"
    assert train(*CONSTANT, "--staleness", "3", "--run", run).returncode == 0
    assert train("--run", run, "--resume", "--epochs", "4").returncode == 0
    assert result(run)["steps"] == 160
    for command in (verify, replay):
        assert inside(command.main, run).returncode == 0


def test_no_more_epochs(whole: Path, train: Train, tmp_path: Path):
    run = shutil.copytree(whole, tmp_path / "run")
    before = (run / "config.json").read_bytes()
    refused(train("--run", run, "--resume", "--epochs", "40"), 2, "epochs is 40", "linear", "init")
    refused(train("--run", run, "--resume", "--epochs", "2"), 2, "epochs is 2", "at least the 3")
    assert (run / "config.json").read_bytes() == before


def test_begun_with_weights(whole: Path, train: Train, tmp_path: Path):
    """Steps of a constant rate do not know their number: a run that begins with another's weights goes on as that one,
    but for the order of the rows."""
    for name, model in [("a", whole), ("b", whole / "model.npz")]:
        run = tmp_path / name
        done = train("--init", model, "--batch", "100", "--epochs", "0", "--run", run)
        assert (done.returncode, done.stderr) == (0, "")
        assert sha256(run) == sha256(whole)
        config = json.loads((run / "config.json").read_bytes())
        assert (config["init_sha256"], config["hidden"]) == (sha256(whole), 16)
    drawn = train(*SMALL, "--epochs", "0", "--run", tmp_path / "drawn")
    assert drawn.returncode == 0
    assert result(run)["chain"] != result(tmp_path / "drawn")["chain"]


def test_verified_resumed_replayed(whole: Path, train: Train, tmp_path: Path):
    """Without the run that the weights came from."""
    origin = shutil.copytree(whole, tmp_path / "origin")
    flags = ["--init", origin, "--batch", "100", "--epochs", "2"]
    for name, more in [("sync", []), ("async", ["--staleness", "2"])]:
        assert train(*flags, *more, "--run", tmp_path / name, "--stop-after", "30").returncode == 0
    assert train(*flags, "--run", tmp_path / "whole").returncode == 0
    assert result(tmp_path / "whole")["test_error"] < result(whole)["test_error"]
    shutil.rmtree(origin)
    for name in ("sync", "async"):
        assert train("--run", tmp_path / name, "--resume").returncode == 0
        done = inside(verify.main, tmp_path / name)
        assert (done.returncode, done.stderr) == (0, "")
    assert inside(replay.main, tmp_path / "async").returncode == 0
    assert sha256(tmp_path / "sync") == sha256(tmp_path / "whole")


def test_other_weights_kept(whole: Path, train: Train, tmp_path: Path):
    run = tmp_path / "run"
    assert train("--init", whole, "--batch", "100", "--epochs", "1", "--run", run, "--stop-after", "5").returncode == 0
    kept = dict(np.load(run / "init.npz"))
    kept["W1"][0, 0] += 1
    np.savez(run / "init.npz", **kept)
    refused(inside(verify.main, run), 1, str(run / "init.npz"), sha256(whole)[:16])
    (run / "init.npz").unlink()
    refused(inside(verify.main, run), 1, str(run / "init.npz"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--hidden", "17"], ["init", "-16-10", "-17-10"]),
        (["--init", "nowhere.npz"], ["nowhere.npz"]),
        (["--lr", "0"], ["lr is 0"]),
    ],
)
def test_weights_that_do_not_fit(flags, words, whole: Path, train: Train, tmp_path: Path):
    done = train("--init", whole, *flags, "--run", tmp_path / "run")
    assert done.returncode in (1, 2)
    refused(done, done.returncode, *words)
    assert not (tmp_path / "run").exists()


def test_a_start_that_fails_keeps_nothing(whole: Path, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    flags = ["--init", whole, "--batch", "100", "--run", tmp_path / "run"]
    monkeypatch.setattr("ddmlp.training.setup.check_arithmetic", lambda: (_ for _ in ()).throw(OSError(5, "bad")))
    assert train(*flags).returncode == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_on_ray(cluster: Cluster, data: Path, whole: Path, tmp_path: Path):
    flags = ["--data", data, "--init", whole, "--batch", "100", "--epochs", "1", "--lr-schedule", "constant"]
    for name, more in [("0", []), ("2", ["--workers", "2", "--address", cluster.address])]:
        for begin in (flags, ["--resume", "--epochs", "2"]):
            words = [*COMMAND, "--run", tmp_path / name, *begin, *more]
            assert subprocess.run([*map(str, words)], capture_output=True, timeout=60).returncode == 0
        assert inside(verify.main, tmp_path / name).returncode == 0
    assert sha256(tmp_path / "0") == sha256(tmp_path / "2")
    assert load_weights(tmp_path / "2").sha256() == sha256(tmp_path / "0") != sha256(whole)

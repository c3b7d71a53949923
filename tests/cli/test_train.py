"""The command, in one process: what a run leaves behind, how it stops and goes on, and what it refuses."""

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddmlp.cli import verify
from ddmlp.cli.train import main
from ddmlp.data.convert import convert, find_pairs
from ddmlp.data.dataset import Dataset
from ddmlp.data.idx import read_idx
from ddmlp.nn.weights import Shape, Weights
from ddmlp.runs.checkpoint import Checkpoints
from tests.support.helpers import inside
from tests.support.processes import in_terminal

SMALL = ["--hidden", "16", "--batch", "100", "--microbatch", "32", "--epochs", "3"]
COMMAND = [sys.executable, "-m", "ddmlp.train", "--no-report"]

Train = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def train(data: Path) -> Train:
    """Run the command on the sample; a --data among the arguments comes later, and so counts."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return inside(main, "--no-report", "--data", data, *arguments)

    return run


@pytest.fixture(scope="module")
def whole(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing has stopped, not to be changed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train(*SMALL, "--run", run).returncode == 0
    return run


def result(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "result.json").read_bytes())
    return found


def events(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def refused(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """Assert that a command failed with one clear line that has these words."""
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    for word in words:
        assert word in done.stderr


def test_simple(data: Path, tmp_path: Path):
    words = [*COMMAND, "--data", data, *SMALL, "--run", tmp_path / "run"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    found = result(tmp_path / "run")
    assert found["test_error"] < 0.3
    assert found["test_rows"] == 1_000
    assert (found["steps"], found["rows"], found["epochs"], found["finished"]) == (120, 12_000, 3, True)
    assert (found["workers"], found["staleness"]["bound"], found["seed"]) == (0, 0, 0)
    assert found["dataset_sha256"] == Dataset(data / "train").manifest.sha256()
    assert found["rows_per_second"] == pytest.approx(found["rows"] / found["train_seconds"])
    assert {"numpy", "blas", "arithmetic", "python", "ddmlp", "pyarrow", "ray"} <= found["versions"].keys()
    for line in (f"{found['test_error']:.2%}", found["weights_sha256"], str(tmp_path / "run"), "epoch 3/3"):
        assert line in done.stdout


def test_model_is_plain_arrays(whole: Path):
    with np.load(whole / "model.npz", allow_pickle=False) as model:
        assert sorted(model.files) == ["W1", "W2"]
        w1, w2 = model["W1"], model["W2"]
    assert (w1.shape, w2.shape, w1.dtype, w2.dtype) == ((784, 16), (16, 10), np.float32, np.float32)
    bits = w1.astype("<f4").tobytes() + w2.astype("<f4").tobytes()
    assert hashlib.sha256(bits).hexdigest() == result(whole)["weights_sha256"]


def test_seeds(train: Train, tmp_path: Path):
    hashes = []
    for name, seed in [("a", "5"), ("b", "5"), ("c", "6")]:
        train(*SMALL, "--epochs", "1", "--seed", seed, "--run", tmp_path / name)
        hashes.append(result(tmp_path / name)["weights_sha256"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_ray_is_not_imported(data: Path, tmp_path: Path):
    script = (
        "import sys; from ddmlp.cli.train import main; status = main(sys.argv[1:]); "
        "assert 'ray' not in sys.modules and 'ddmlp.training.trainer' in sys.modules; sys.exit(status)"
    )
    run = [sys.executable, "-c", script, "--data", str(data), "--epochs", "0", "--run", str(tmp_path / "run")]
    assert subprocess.run(run, capture_output=True, timeout=60).returncode == 0


def test_help_does_without_numpy():
    script = """if True:
        import importlib, sys
        from ddmlp.cli.terminal import command
        sys.argv[1:] = ["--help"]
        for name in ("train", "evaluate", "predict", "verify", "replay", "export", "report"):
            try:
                command(importlib.import_module(f"ddmlp.{name}").main)
            except SystemExit as end:
                print(name, "ended with", end.code)
            print(name, "imports", sorted({"numpy", "pyarrow", "ray"} & sys.modules.keys()))
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("train", "evaluate", "predict", "verify", "replay", "export", "report"):
        assert f"usage: python -m ddmlp.{name} " in done.stdout
        assert f"{name} ended with 0\n{name} imports []\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch", "4001"], ["--batch is 4001", "4000 rows"]),
        (["--hidden", "1.5"], ["--hidden", "1.5"]),
        (["--data", "/nowhere"], ["/nowhere", "train/", "idx2arrow.py"]),
    ],
)
def test_bad_values(arguments, words, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What can be said of a flag alone is tested in test_config.py and test_train_arguments.py."""
    monkeypatch.chdir(tmp_path)
    refused(train(*arguments), 2, *words)
    assert list(tmp_path.iterdir()) == []


def test_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    done = inside(main)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2
    assert "tools/fetch_mnist.py" in done.stderr
    assert "tools/idx2arrow.py" in done.stderr


def test_no_epochs(train: Train, tmp_path: Path):
    assert train("--hidden", "16", "--epochs", "0", "--seed", "3", "--run", tmp_path / "run").returncode == 0
    assert result(tmp_path / "run")["weights_sha256"] == Weights.draw(Shape(784, 16, 10), 3).sha256()
    assert result(tmp_path / "run")["steps"] == 0


def test_one_exact_step(train: Train, sample: Path, tmp_path: Path):
    """One step with batch = rows is W - alpha / rows * dE/dW, computed here from the IDX files in float64."""
    settings = ["--hidden", "8", "--batch", "4000", "--microbatch", "700", "--epochs", "1", "--lr", "0.5"]
    assert train(*settings, "--lr-schedule", "constant", "--run", tmp_path / "run").returncode == 0
    x = read_idx(sample / "train-images-idx3-ubyte.gz").reshape(4_000, 784) / 255
    t = np.eye(10)[read_idx(sample / "train-labels-idx1-ubyte.gz")]
    before = Weights.draw(Shape(784, 8, 10), 0)
    w1, w2 = before.w1.astype(float), before.w2.astype(float)
    y1 = 1 / (1 + np.exp(-(x @ w1)))
    y2 = np.exp(y1 @ w2)
    y2 /= y2.sum(axis=1, keepdims=True)
    after1 = w1 - 0.5 / 4_000 * (x.T @ ((y2 - t) @ w2.T * y1 * (1 - y1)))
    after2 = w2 - 0.5 / 4_000 * (y1.T @ (y2 - t))
    with np.load(tmp_path / "run" / "model.npz") as model:
        assert np.abs(model["W1"] - before.w1).max() > 1e-4
        np.testing.assert_allclose(model["W1"], after1, atol=1e-6)
        np.testing.assert_allclose(model["W2"], after2, atol=1e-6)


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
    for flag, value in [("--lr", "0.5"), ("--batch", "50"), ("--seed", "9"), ("--epochs", "4"), ("--hidden", "17")]:
        refused(train("--run", tmp_path / "run", "--resume", flag, value), 1, flag, value, "begun with")
    train_pair, test_pair = find_pairs(sample)
    convert({tmp_path / "other" / "train": test_pair, tmp_path / "other" / "test": train_pair})
    other = train("--run", tmp_path / "run", "--resume", "--data", tmp_path / "other")
    refused(other, 1, "another", str(tmp_path / "other"))
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == kept


def test_begun_once(train: Train, tmp_path: Path):
    train(*SMALL, "--run", tmp_path / "run", "--epochs", "0")
    refused(train(*SMALL, "--run", tmp_path / "run"), 1, str(tmp_path / "run"), "--resume")
    refused(train("--run", tmp_path / "none", "--resume"), 1, str(tmp_path / "none"), "config.json")
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


def test_flipped_bit_in_a_shard(train: Train, data: Path, tmp_path: Path):
    shutil.copytree(data, tmp_path / "data")
    shard = sorted((tmp_path / "data" / "train").glob("*.arrow"))[1]
    damaged = bytearray(shard.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    shard.write_bytes(damaged)
    for more in ([], ["--stop-after", "3"], ["--checkpoint-every", "1"]):
        run = tmp_path / f"run{''.join(more)}"
        refused(train("--data", tmp_path / "data", *SMALL, *more, "--run", run), 1, str(shard), "SHA-256")
        assert not (run / "result.json").exists()
        # A checkpoint of such steps would be gone on with once the shard is restored.
        assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-000000000000.npz"]


def test_weights_not_finite(train: Train, tmp_path: Path):
    done = train(*SMALL, "--lr", "1e38", "--run", tmp_path / "run")
    refused(done, 1, "no longer finite", "step 0")
    assert (tmp_path / "run" / "checkpoints" / "step-000000000000.npz").exists()
    assert not (tmp_path / "run" / "result.json").exists()


def test_quiet(train: Train, tmp_path: Path):
    done = train(*SMALL, "--run", tmp_path / "run", "--quiet")
    assert len(done.stdout.splitlines()) == 4
    assert "epoch" not in done.stdout


def test_metrics(whole: Path):
    found = events(whole)
    progress = [event for event in found if event["event"] == "progress"]
    assert [event["step"] for event in progress] == list(range(1, 121))
    assert progress[-1]["rows"] == 12_000
    assert progress[-1]["error"] < progress[0]["error"]
    assert all(event["queues"]["units"]["high_water"] >= 1 for event in progress)
    assert all(event["staleness"] == {"mean": 0, "max": 0, "histogram": {"0": 1}} for event in progress)
    waited = [event["wait_seconds"] for event in progress]
    assert sorted(waited) == waited
    assert 0 < waited[-1] <= progress[-1]["seconds"]
    assert [event["epoch"] for event in found if event["event"] == "epoch"] == [1, 2, 3]


ENDLESS = [*SMALL, "--epochs", "5000"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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

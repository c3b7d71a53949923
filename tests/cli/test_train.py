"""The command, in one process: what a run leaves behind, and what it refuses."""

import hashlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ddmlp.cli.train import main
from ddmlp.data.dataset import Dataset
from ddmlp.data.idx import read_idx
from ddmlp.nn.weights import Shape, Weights
from tests.support.helpers import inside
from tests.support.training import COMMAND, SMALL, Train, events, refused, result


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
    assert {"numpy", "numba", "processor", "python", "ddmlp", "pyarrow", "ray"} <= found["versions"].keys()
    for line in (f"{found['test_error']:.2%}", found["weights_sha256"], str(tmp_path / "run"), "epoch 3/3"):
        assert line in done.stdout


def test_model_is_plain_arrays(whole: Path):
    with np.load(whole / "model.npz", allow_pickle=False) as model:
        assert sorted(model.files) == ["W1", "W2", "about"]
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
    """And so does a bad flag."""
    script = """if True:
        import importlib, sys
        from ddmlp.cli.terminal import command
        for flag in ("--help", "--bogus"):
            sys.argv[1:] = [flag]
            for name in ("train", "evaluate", "predict", "verify", "replay", "export", "report"):
                try:
                    command(importlib.import_module(f"ddmlp.{name}").main)
                except SystemExit as end:
                    print(name, flag, "ended with", end.code)
                print(name, "imports", sorted({"numba", "numpy", "pyarrow", "ray"} & sys.modules.keys()))
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n"), done.stderr.count("error: ")) == (0, 7, 7)
    for name in ("train", "evaluate", "predict", "verify", "replay", "export", "report"):
        assert f"usage: ddmlp {name} " in done.stdout
        assert f"{name} --help ended with 0\n{name} imports []\n" in done.stdout
        assert f"{name} --bogus ended with 2\n{name} imports []\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch", "4001"], ["batch is 4001", "4000 rows"]),
        (["--hidden", "1.5"], ["--hidden", "1.5"]),
        (["--data", "/nowhere"], ["/nowhere does not exist", "ddmlp convert"]),
        (["--data", ""], ["--data"]),
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
    commands = done.stderr.splitlines()[1].split(" && ")
    assert [shlex.split(each)[1:] for each in commands] == [
        ["-m", "ddmlp.fetch", "mnist"],
        ["-m", "ddmlp.convert", "mnist", "data"],
    ]


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


def test_folder_of_a_ray_job(train: Train, tmp_path: Path):
    """Ray has copied the working directory there, and will delete it."""
    for place, told in [("runtime_resources/working_dir_files/_ray_pkg_1", True), ("here", False)]:
        done = train(*SMALL, "--epochs", "0", "--run", tmp_path / place / "run")
        assert (f"note: Ray deletes {tmp_path / place / 'run'}" in done.stdout) == told


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
    assert all(set(queue.values()) == {0} for event in progress for queue in event["queues"].values()), "there is none"
    assert all(event["staleness"] == {"mean": 0, "max": 0, "histogram": {"0": 1}} for event in progress)
    waited = [event["wait_seconds"] for event in progress]
    assert sorted(waited) == waited
    assert 0 < waited[-1] <= progress[-1]["seconds"]
    assert [event["epoch"] for event in found if event["event"] == "epoch"] == [1, 2, 3]


def test_run_is_a_file(train: Train, tmp_path: Path):
    path = tmp_path / "notes.md"
    path.write_text("kept")
    refused(train("--run", path), 1, str(path))
    assert path.read_text() == "kept"

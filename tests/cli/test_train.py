"""The command, in one process: what a run leaves behind, how it stops and goes on, and what it refuses."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddmlp.data.convert import convert, find_pairs
from ddmlp.data.dataset import Dataset

SMALL = ["--hidden", "16", "--batch", "100", "--microbatch", "32", "--epochs", "3"]

Train = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def train(data: Path) -> Train:
    """Run the command on the sample; a --data among the arguments comes later, and so counts."""

    def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ddmlp.train", "--no-report", "--data", str(data), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=cwd)

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


def test_simple(train: Train, data: Path, tmp_path: Path):
    done = train(*SMALL, "--run", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
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


def test_the_model_is_plain_arrays_with_the_hash_of_the_result(train: Train, tmp_path: Path):
    import hashlib

    train(*SMALL, "--run", tmp_path / "run", "--epochs", "1")
    with np.load(tmp_path / "run" / "model.npz", allow_pickle=False) as model:
        assert sorted(model.files) == ["W1", "W2"]
        w1, w2 = model["W1"], model["W2"]
    assert (w1.shape, w2.shape, w1.dtype, w2.dtype) == ((784, 16), (16, 10), np.float32, np.float32)
    bits = w1.astype("<f4").tobytes() + w2.astype("<f4").tobytes()
    assert hashlib.sha256(bits).hexdigest() == result(tmp_path / "run")["weights_sha256"]


def test_the_same_command_gives_the_same_hash_and_another_seed_another(train: Train, tmp_path: Path):
    hashes = []
    for name, seed in [("a", "5"), ("b", "5"), ("c", "6")]:
        train(*SMALL, "--epochs", "1", "--seed", seed, "--run", tmp_path / name)
        hashes.append(result(tmp_path / name)["weights_sha256"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_ray_is_not_imported_without_workers(data: Path, tmp_path: Path):
    script = (
        "import sys; from ddmlp.cli.train import main; status = main(sys.argv[1:]); "
        "assert 'ray' not in sys.modules and 'ddmlp.training.trainer' in sys.modules; sys.exit(status)"
    )
    run = [sys.executable, "-c", script, "--data", str(data), "--epochs", "1", "--run", str(tmp_path / "run")]
    assert subprocess.run(run, capture_output=True, timeout=60).returncode == 0


@pytest.mark.parametrize("name", ["train", "evaluate", "predict", "verify", "replay", "export", "report"])
def test_help_does_without_numpy(name):
    script = (
        f"import atexit, sys\nfrom ddmlp.cli.terminal import command\nfrom ddmlp.{name} import main\n"
        "atexit.register(lambda: print('heavy:', sorted({'numpy', 'pyarrow', 'ray'} & sys.modules.keys())))\n"
        "command(main)"
    )
    done = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert f"usage: python -m ddmlp.{name} " in done.stdout
    assert "heavy: []" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch", "0"], ["--batch is 0", "1 to"]),
        (["--batch", "4001"], ["--batch is 4001", "4000 rows"]),
        (["--microbatch", "-1"], ["--microbatch is -1"]),
        (["--hidden", "0"], ["--hidden is 0"]),
        (["--hidden", "1.5"], ["--hidden", "1.5"]),
        (["--lr", "nan"], ["--lr is nan"]),
        (["--lr", "-1"], ["--lr is -1"]),
        (["--lr-schedule", "cosine"], ["'cosine'", "constant, linear"]),
        (["--epochs", "-1"], ["--epochs is -1"]),
        (["--seed", "-1"], ["--seed is -1"]),
        (["--workers", "-2"], ["--workers is -2"]),
        (["--checkpoint-every", "0"], ["--checkpoint-every is 0"]),
        (["--stop-after", "-1"], ["--stop-after is -1"]),
        (["--address", "127.0.0.1:1"], ["--workers 1 or more"]),
        (["--resume"], ["--resume needs --run"]),
        (["--data", "/nowhere"], ["/nowhere", "train/", "idx2arrow.py"]),
        (["--nonsense"], ["--nonsense"]),
    ],
)
def test_a_bad_value_is_one_line_and_exit_status_2(
    arguments: list[str], words: list[str], train: Train, tmp_path: Path
):
    refused(train(*arguments, cwd=tmp_path), 2, *words)
    assert list(tmp_path.iterdir()) == []


def test_without_data_two_lines_say_how_to_get_some(tmp_path: Path):
    command = [sys.executable, "-m", "ddmlp.train"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2
    assert "tools/fetch_mnist.py" in done.stderr
    assert "tools/idx2arrow.py" in done.stderr


def test_no_epochs_leave_the_initial_weights(train: Train, tmp_path: Path):
    from ddmlp.nn.weights import Shape, Weights

    assert train("--hidden", "16", "--epochs", "0", "--seed", "3", "--run", tmp_path / "run").returncode == 0
    assert result(tmp_path / "run")["weights_sha256"] == Weights.draw(Shape(784, 16, 10), 3).sha256()
    assert result(tmp_path / "run")["steps"] == 0


def test_a_batch_of_the_whole_dataset_is_one_exact_step(train: Train, sample: Path, tmp_path: Path):
    """One step with batch = rows is W - alpha / rows * dE/dW, computed here from the IDX files in float64."""
    from ddmlp.data.idx import read_idx
    from ddmlp.nn.weights import Shape, Weights

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
def test_stopped_anywhere_and_resumed_the_run_ends_with_the_same_hash(stop: int, train: Train, tmp_path: Path):
    train(*SMALL, "--run", tmp_path / "whole")
    first = train(*SMALL, "--run", tmp_path / "run", "--stop-after", str(stop))
    assert first.returncode == 0, first.stderr
    assert ("unfinished" in first.stdout) == (stop < 120)
    assert result(tmp_path / "run")["steps"] == stop
    assert result(tmp_path / "run")["finished"] == (stop == 120)
    assert (tmp_path / "run" / "model.npz").exists()
    second = train("--run", tmp_path / "run", "--resume")
    assert second.returncode == 0, second.stderr
    assert result(tmp_path / "run")["weights_sha256"] == result(tmp_path / "whole")["weights_sha256"]
    whole, broken = events(tmp_path / "whole"), events(tmp_path / "run")
    tested = [event["test_error"] for event in whole if event["event"] == "epoch"]
    assert len(tested) == 3
    assert [event["test_error"] for event in broken if event["event"] == "epoch"] == tested


def test_a_resume_that_would_change_the_result_is_refused(train: Train, sample: Path, tmp_path: Path):
    train(*SMALL, "--run", tmp_path / "run", "--stop-after", "20")
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    for flag, value in [("--lr", "0.5"), ("--batch", "50"), ("--seed", "9"), ("--epochs", "4"), ("--hidden", "17")]:
        refused(train("--run", tmp_path / "run", "--resume", flag, value), 1, flag, value, "begun with")
    train_pair, test_pair = find_pairs(sample)
    convert({tmp_path / "other" / "train": test_pair, tmp_path / "other" / "test": train_pair})
    other = train("--run", tmp_path / "run", "--resume", "--data", tmp_path / "other")
    refused(other, 1, "another", str(tmp_path / "other"))
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == kept


def test_a_run_is_neither_begun_twice_nor_resumed_where_there_is_none(train: Train, tmp_path: Path):
    train(*SMALL, "--run", tmp_path / "run", "--epochs", "0")
    refused(train(*SMALL, "--run", tmp_path / "run"), 1, str(tmp_path / "run"), "--resume")
    refused(train("--run", tmp_path / "none", "--resume"), 1, str(tmp_path / "none"), "config.json")
    assert not (tmp_path / "none").exists()


def test_resuming_a_finished_run_shows_its_result(train: Train, tmp_path: Path):
    train(*SMALL, "--run", tmp_path / "run", "--epochs", "1")
    before = (tmp_path / "run" / "result.json").read_bytes()
    again = train("--run", tmp_path / "run", "--resume")
    assert again.returncode == 0
    assert result(tmp_path / "run")["weights_sha256"] in again.stdout
    assert (tmp_path / "run" / "result.json").read_bytes() == before


def test_the_newest_checkpoints_are_kept_and_the_order_of_flags_does_not_matter(train: Train, tmp_path: Path):
    train("--run", tmp_path / "run", "--checkpoint-every", "7", *SMALL, "--stop-after", "30")
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == [f"step-{step:012d}.npz" for step in (21, 28, 30)]


def test_a_flipped_bit_in_a_shard_never_trains_silently(train: Train, data: Path, tmp_path: Path):
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


def test_weights_that_are_not_finite_end_the_run(train: Train, tmp_path: Path):
    done = train(*SMALL, "--lr", "1e38", "--run", tmp_path / "run")
    refused(done, 1, "no longer finite", "step 0")
    assert (tmp_path / "run" / "checkpoints" / "step-000000000000.npz").exists()
    assert not (tmp_path / "run" / "result.json").exists()


def test_quiet_prints_only_the_result(train: Train, tmp_path: Path):
    done = train(*SMALL, "--run", tmp_path / "run", "--quiet")
    assert len(done.stdout.splitlines()) == 4
    assert "epoch" not in done.stdout


def test_metrics_have_a_line_for_each_epoch_and_for_progress_between(train: Train, tmp_path: Path):
    train(*SMALL, "--run", tmp_path / "run")
    found = events(tmp_path / "run")
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


def interrupt(arguments: list[str], number: int, after: str) -> tuple[str, int]:
    """Run the command in a real terminal, send it a signal once `after` is shown; what was shown, and the status."""
    command = [sys.executable, "-m", "ddmlp.train", *arguments]
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm", COLUMNS="120")
        os.execv(command[0], command)
    shown, sent = b"", False
    while True:
        assert select.select([terminal], [], [], 60)[0], f"nothing came for 60 s after {shown!r}"
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # the terminal's other end is closed: the command has ended
            break
        if not sent and after.encode() in shown:
            if number == signal.SIGINT:
                os.write(terminal, b"\x03")
            else:
                os.kill(child, number)
            sent = True
    os.close(terminal)
    assert sent, f"{after!r} was not shown: {shown!r}"
    return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_a_terminal_leaves_a_checkpoint_and_says_how_to_go_on(
    number: int, train: Train, data: Path, tmp_path: Path
):
    settings = ["--data", str(data), "--hidden", "64", "--epochs", "40"]
    train(*settings, "--run", tmp_path / "whole")
    shown, status = interrupt([*settings, "--run", str(tmp_path / "run")], number, "epoch 2/40  test error")
    assert status == 130
    assert f"--run {tmp_path / 'run'} --resume" in shown.replace("\r\n", "")
    assert "rows/s" in shown
    assert "━" in shown
    assert not (tmp_path / "run" / "result.json").exists()
    assert train("--run", tmp_path / "run", "--resume").returncode == 0
    assert result(tmp_path / "run")["weights_sha256"] == result(tmp_path / "whole")["weights_sha256"]

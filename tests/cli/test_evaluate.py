"""Evaluation: the error is the one of the result, and the one that plain NumPy counts."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ddmlp.cli.evaluate import main, table
from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import RunError
from ddmlp.inference.evaluation import Evaluation, evaluate
from ddmlp.inference.model import load_weights
from ddmlp.nn.weights import Shape, Weights
from tests.support.helpers import inside


def command(model: Path, data: Path) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "ddmlp.evaluate", "--model", str(model), "--data", str(data)],
        capture_output=True,
        text=True,
        check=False,
    )


def refusal(model: Path, data: Path) -> str:
    done = inside(main, "--model", model, "--data", data)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert re.fullmatch(r"error: .+\n", done.stderr), done.stderr
    return done.stderr.removeprefix("error: ").strip()


def rows(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    return dataset.gather(np.arange(len(dataset)))


def probabilities(model: Path, pixels: np.ndarray) -> np.ndarray:
    """The note's equations (1) and (2), in float64."""
    with np.load(model) as file:
        w1, w2 = (file[name].astype(np.float64) for name in ("W1", "W2"))
    y1 = 1 / (1 + np.exp(-(pixels / 255) @ w1))
    e = np.exp(y1 @ w2)
    return e / e.sum(axis=1, keepdims=True)


def test_simple(trained, data):
    dataset = Dataset(data / "test")
    found = evaluate(load_weights(trained), dataset)
    pixels, labels = rows(dataset)
    y2 = probabilities(trained / "model.npz", pixels)
    recognised = y2.argmax(axis=1)
    assert found.rows == 1_000
    assert found.mistakes == np.count_nonzero(recognised != labels)
    assert 0 < found.error == found.mistakes / 1_000 < 0.2
    assert found.confusion.tolist() == [
        [np.count_nonzero((labels == true) & (recognised == other)) for other in range(10)] for true in range(10)
    ]
    assert found.cross_entropy == pytest.approx(-np.log(y2[np.arange(1_000), labels]).mean(), rel=1e-5)


def test_the_error_is_that_of_the_result(trained, data):
    result = json.loads((trained / "result.json").read_text())
    found = evaluate(load_weights(trained), Dataset(data / "test"))
    assert found.error == result["test_error"]
    assert found.cross_entropy == result["test_cross_entropy"]
    assert found.rows == result["test_rows"]


def test_the_confusion_sums_to_the_rows_of_each_class(trained, data):
    for part in ("train", "test"):
        dataset = Dataset(data / part)
        confusion = evaluate(load_weights(trained), dataset).confusion
        assert confusion.sum(axis=1).tolist() == np.bincount(rows(dataset)[1], minlength=10).tolist()
        assert confusion.sum() == len(dataset)


def test_the_result_does_not_depend_on_how_the_rows_fall_into_lots(trained, data, tmp_path):
    pixels, labels = rows(Dataset(data / "test"))
    with DatasetWriter(tmp_path / "odd", (28, 28), 10, shard_rows=123) as writer:
        writer.append(pixels[:777].reshape(-1, 28, 28), labels[:777])
    found = evaluate(load_weights(trained), Dataset(tmp_path / "odd"))
    expected = probabilities(trained / "model.npz", pixels[:777]).argmax(axis=1)
    assert (found.rows, found.mistakes) == (777, np.count_nonzero(expected != labels[:777]))


def test_an_evaluation_counts_what_is_off_the_diagonal():
    found = Evaluation(np.array([[5, 1], [2, 2]]), 0.5, np.array([2, 3, 7]))
    assert (found.rows, found.mistakes, found.error) == (10, 3, 0.3)


def test_the_table_is_aligned():
    assert table(np.array([[12, 0], [3, 4]])).splitlines() == [
        "true class by row, recognised class by column",
        "     0  1",
        "  0 12  .",
        "  1  3  4",
    ]


@pytest.mark.parametrize("shape", [Shape(783, 4, 10), Shape(784, 4, 9)])
def test_a_model_of_another_shape_is_refused(data, shape):
    with pytest.raises(RunError) as caught:
        evaluate(Weights.draw(shape, 0), Dataset(data / "test"))
    assert str(caught.value) == (
        f"the model has {shape.inputs} inputs and {shape.outputs} classes, but {data}/test has 784 pixels a row and "
        "10 classes"
    )


def test_a_model_of_more_classes_is_taken(data):
    found = evaluate(Weights.draw(Shape(784, 4, 12), 0), Dataset(data / "test"))
    assert found.confusion.shape == (12, 12)
    assert found.rows == 1_000


def test_the_command_takes_the_dataset_or_its_parent_and_the_run_or_its_model(trained, data):
    first, second = command(trained, data), inside(main, "--model", trained / "model.npz", "--data", data / "test")
    assert (first.returncode, first.stderr) == (0, "")
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout == first.stdout
    found = evaluate(load_weights(trained), Dataset(data / "test"))
    assert first.stdout == (
        f"{table(found.confusion)}\n\nerror          {found.error:.2%} ({found.mistakes} of 1000 rows)\n"
        f"cross-entropy  {found.cross_entropy:.4f} nats a row\n"
    )


def test_a_checkpoint_is_a_model_too(trained, data):
    newest = max((trained / "checkpoints").glob("step-*.npz"))
    assert (
        evaluate(load_weights(newest), Dataset(data / "test")).error
        == evaluate(load_weights(trained), Dataset(data / "test")).error
    )


def test_an_error_of_the_command_has_exit_status_1(trained, tmp_path):
    done = command(trained, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {refusal(trained, tmp_path)}\n")


def test_a_folder_without_data_is_named(trained, tmp_path):
    assert refusal(trained, tmp_path) == (
        f"{tmp_path}/test is no dataset: it has no dataset.json; make one with tools/idx2arrow.py"
    )


def test_a_damaged_shard_is_named(trained, data, tmp_path):
    shutil.copytree(data / "test", tmp_path / "test")
    shard = tmp_path / "test" / Manifest.read(tmp_path / "test").shards[0].file
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 4
    shard.write_bytes(content)
    assert refusal(trained, tmp_path).startswith(f"{shard} is damaged: its SHA-256 is ")


@pytest.mark.parametrize("damage", ["missing", "cut", "text", "empty", "array"])
def test_a_model_that_cannot_be_read_is_named(trained, data, tmp_path, damage):
    path = tmp_path / "model.npz"
    match damage:
        case "cut":
            path.write_bytes((trained / "model.npz").read_bytes()[:-500])
        case "text":
            path.write_text("hello")
        case "empty":
            path.touch()
        case "array":
            with path.open("wb") as file:
                np.save(file, np.zeros(3))
    message = refusal(path, data)
    assert message.startswith(f"{path} ")
    expected = "cannot be read: No such file or directory" if damage == "missing" else "is damaged, or no .npz file"
    assert expected in message


def test_a_run_without_a_model_is_named(data, tmp_path):
    assert refusal(tmp_path, data) == f"{tmp_path} has no model.npz: its run has not ended; go on with it by --resume"


def test_weights_that_are_not_finite_are_refused(tmp_path):
    np.savez(tmp_path / "model.npz", W1=np.full((4, 3), np.nan, np.float32), W2=np.zeros((3, 2), np.float32))
    with pytest.raises(RunError, match=r"/model\.npz has weights that are not finite$"):
        load_weights(tmp_path / "model.npz")

"""The command that tests a model: its table, and one line for what it cannot test."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import ddmlp
from ddmlp.cli.evaluate import main, table
from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest
from ddmlp.inference.evaluation import evaluate
from ddmlp.inference.saved_model import load_weights
from tests.support.helpers import inside


def refusal(model: Path, data: Path) -> str:
    done = inside(main, "--model", model, "--data", data)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert re.fullmatch(r"error: .+\n", done.stderr), done.stderr
    return done.stderr.removeprefix("error: ").strip()


def test_the_table():
    assert table(np.array([[12, 0], [3, 4]])).splitlines() == [
        "true class by row, recognised class by column",
        "     0  1",
        "  0 12  .",
        "  1  3  4",
    ]


def test_the_table_has_names():
    assert table(np.array([[12, 0], [3, 4]]), ["cat", "no cat"]).splitlines()[1:] == [
        "             cat  no cat",
        "     cat      12       .",
        "  no cat       3       4",
    ]


def test_simple(trained, data):
    first = inside(main, "--model", trained, "--data", data)
    second = inside(main, "--model", trained / "model.npz", "--data", data / "test")
    assert (first.returncode, first.stderr) == (0, "")
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout == first.stdout
    found = evaluate(load_weights(trained), Dataset(data / "test"))
    assert first.stdout == (
        f"{table(found.confusion)}\n\nerror          {found.error:.2%} ({found.mistakes} of 1,000 rows)\n"
        f"cross-entropy  {found.cross_entropy:.4f} nats a row\n"
    )


@pytest.mark.parametrize("name", ["", "model.npz"])
def test_a_runs_own_data(trained, data, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = inside(main, "--model", trained / name)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == inside(main, "--model", trained, "--data", data).stdout


def test_a_runs_own_data_are_gone(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"data": str(tmp_path / "gone")}))
    done = inside(main, "--model", tmp_path / "run")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{tmp_path}/gone/test" in done.stderr
    assert "--data" in done.stderr


def test_no_data(trained, tmp_path):
    assert refusal(trained, tmp_path).startswith(f"{tmp_path}/test is not a dataset: it has no dataset.json; ")


def test_a_damaged_shard(trained, data, tmp_path):
    shutil.copytree(data / "test", tmp_path / "test")
    shard = tmp_path / "test" / Manifest.read(tmp_path / "test").shards[0].file
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 4
    shard.write_bytes(content)
    assert refusal(trained, tmp_path).startswith(f"{shard} is damaged: its SHA-256 is ")


@pytest.mark.parametrize("damage", ["missing", "cut", "text", "empty", "array"])
def test_a_damaged_model(trained, data, tmp_path, damage):
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
    damaged = "is damaged or not an .npz file"
    found = {
        "missing": "cannot be read: No such file or directory",
        "text": "is text,",
        "array": "is a NumPy .npy file,",
    }
    assert found.get(damage, damaged) in message


def test_a_folder_that_is_no_run(data, tmp_path):
    assert "holds no model" in refusal(tmp_path, data)


def test_a_run_without_a_model(trained, data, tmp_path):
    shutil.copy(trained / "config.json", tmp_path)
    assert all(fact in refusal(tmp_path, data) for fact in (str(tmp_path), "model.npz", "resume"))


def other(trained: Path, folder: Path, **changed: object) -> Path:
    """A copy of the run with other weights, and with changes to its config.json."""
    run = Path(shutil.copytree(trained, folder / "other"))
    arrays = dict(np.load(run / "model.npz"))
    np.savez(run / "model.npz", **{**arrays, "W1": arrays["W1"][::-1]})
    (run / "config.json").write_text(json.dumps(json.loads((run / "config.json").read_text()) | changed))
    return run


def test_committee(trained, data, tmp_path):
    """It is tested on the data of both runs."""
    models = [trained, other(trained, tmp_path)]
    found = inside(main, *(word for each in models for word in ("--model", each)))
    expected = ddmlp.evaluate(models, data)
    assert (found.returncode, found.stderr) == (0, "")
    assert f"({expected.mistakes} of 1,000 rows)" in found.stdout
    assert expected.mistakes not in [ddmlp.evaluate(each, data).mistakes for each in models]


def test_committee_without_data_in_its_runs(trained, data, tmp_path, monkeypatch):
    """data/ is one folder, also if a run names it by another path."""
    monkeypatch.chdir(tmp_path)
    Path("data").symlink_to(data)
    shutil.copy(trained / "model.npz", tmp_path)
    done = inside(main, "--model", "model.npz", "--model", trained)
    assert (done.returncode, done.stderr) == (0, "")
    Path("notes.md").write_text("none\n")
    done = inside(main, "--model", "notes.md", "--model", trained)
    assert (done.returncode, done.stdout) == (1, "")
    assert "notes.md is text" in done.stderr


def test_committee_with_other_data(trained, data, tmp_path):
    """Which to take is for the user to say."""
    shutil.copytree(data, tmp_path / "data")
    models = ["--model", trained, "--model", other(trained, tmp_path, data=str(tmp_path / "data"))]
    done = inside(main, *models)
    assert (done.returncode, done.stdout) == (1, "")
    assert {str(data), str(tmp_path / "data"), "--data"} <= set(re.findall(r"[^\s;]+", done.stderr))
    assert inside(main, *models, "--data", data).returncode == 0

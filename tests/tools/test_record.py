"""The record: runs that continue, the comparison on held-out rows, and the page."""

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ddmlp
from ddmlp.cli import train
from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest
from ddmlp.errors import ConfigError
from ddmlp.runs.run import Run
from tests.support.helpers import inside
from tools.record import page as module
from tools.record import validation
from tools.record.__main__ import main
from tools.record.minutes import Cell, Minutes
from tools.record.page import page
from tools.record.seeds import Seed, train_all
from tools.train_mnist import Known

GIVEN = {"hidden": 5, "epochs": 6, "batch": 32, "lr": 1.0, "lr_schedule": "exponential", "lr_end": 0.1}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of which a network learns a part: class k has a bright line k, on noise."""
    folder, random = tmp_path_factory.mktemp("small"), np.random.default_rng(0)
    for part, rows in (("train", 300), ("test", 90)):
        labels = (np.arange(rows) % 3).astype(np.uint8)
        images = random.integers(0, 200, (rows, 4, 4), np.uint8)
        images[np.arange(rows), labels] = 255
        with ddmlp.DatasetWriter(folder / part, image_shape=(4, 4), classes=3) as writer:
            writer.append(images, labels)
    return folder


@pytest.fixture(scope="module")
def made(small: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Seed]:
    """The finished runs of three seeds."""
    runs = tmp_path_factory.mktemp("record")
    seeds = [Seed(runs / f"seed-{each}", small, {**GIVEN, "augment": "affine", "seed": each}) for each in range(3)]
    for seed in seeds:
        seed.train()
    return seeds


def test_simple(made: list[Seed], small: Path, tmp_path: Path):
    """The page has the result of each seed, and of the committee."""
    text = page(made, tmp_path)
    results = [seed.result() for seed in made]
    rows = re.findall(
        r"^\| (\d) \| ([\d.]+) % \| (\d+) of 90 \| [\d.]+ min \| [\d.]+ min \| `(\w{64})` \|$", text, re.M
    )
    assert rows == [
        (str(number), f"{100 * each.test_error:.2f}", str(round(90 * each.test_error)), each.weights_sha256)
        for number, each in enumerate(results)
    ]
    errors = np.array([each.test_error for each in results])
    assert errors.min() < errors.max() < 0.6
    assert f"{100 * errors.mean():.3f} %, standard deviation {100 * errors.std(ddof=1):.3f} %" in text
    assert f" {ddmlp.evaluate([seed.folder for seed in made], small).mistakes} mistakes" in text
    assert "this is a trial" in text
    assert "Simard" not in text
    assert not [line for line in text.splitlines() if "{" in line]


def test_full_mnist(made: list[Seed], small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(module.KNOWN, Manifest.read(small / "train").sha256(), Known("full MNIST", "0" * 64))
    text = page(made, tmp_path, Minutes({"processor": "slow", "cores": 2}, 5, "elastic", [Cell("x", 60, 59, 0.25, 3)]))
    assert {"Simard", "Meier"} <= set(re.findall(r"\w+", text))
    assert "trial" not in text
    assert "| x | 25.00 % |" in text


def test_command_of_the_page(made: list[Seed], small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It comes to the weights of the first seed."""
    monkeypatch.chdir(tmp_path)
    (words,) = (shlex.split(line)[2:] for line in page(made, tmp_path).splitlines() if line.startswith("ddmlp train "))
    assert inside(train.main, *words, "--data", small, "--no-report").returncode == 0
    assert Run(Path("runs/seed-0")).result().weights_sha256 == made[0].result().weights_sha256


@pytest.mark.parametrize(("name", "other"), [("lr_end", 0.2), ("augment", "shift:pixels=3"), ("seed", 7)])
def test_other_settings(name: str, other: object, made: list[Seed]):
    with pytest.raises(ConfigError) as caught:
        replace(made[0], given={**made[0].given, name: other}).result()
    assert str(caught.value).startswith(f"{name} is ")
    assert str(made[0].folder) in str(caught.value)


def test_other_data(made: list[Seed], tmp_path: Path):
    with ddmlp.DatasetWriter(tmp_path / "train", image_shape=(4, 4), classes=3) as writer:
        writer.append(np.zeros((60, 4, 4), np.uint8), (np.arange(60) % 3).astype(np.uint8))
    with pytest.raises(ConfigError, match=r"^the data are "):
        replace(made[0], data=tmp_path).result()


def test_held_out_rows(small: Path, tmp_path: Path):
    """They are the last training rows; the test data are not read."""
    data = tmp_path / "data"
    shutil.copytree(small / "train", data / "train")
    found = validation.split(data, tmp_path, 100)
    parts = [Dataset(found / part) for part in ("train", "test")]
    assert [len(part) for part in parts] == [200, 100]
    pixels, labels = (np.concatenate(each) for each in zip(*(p.gather(np.arange(len(p))) for p in parts), strict=True))
    expected = Dataset(small / "train").gather(np.arange(300))
    assert (pixels.tolist(), labels.tolist()) == tuple(each.tolist() for each in expected)
    before = (found / "test" / "dataset.json").stat().st_mtime_ns
    assert validation.split(data, tmp_path, 100) == found
    assert (found / "test" / "dataset.json").stat().st_mtime_ns == before
    for rows in (0, 300):
        with pytest.raises(ConfigError, match="expected 1 to 299"):
            validation.split(data, tmp_path, rows)


def test_comparison(small: Path, tmp_path: Path):
    """A line for each choice of settings, with the mean of its seeds; the best is first."""
    data = validation.split(small, tmp_path, 100)
    choices = [{**GIVEN, "lr": lr, "augment": "shift:pixels=2"} for lr in (1e-6, 1.0)]
    planned = validation.planned(data, tmp_path, choices, seeds=2)
    assert len({seed.folder for seed in planned}) == 4
    for seed in planned:
        seed.train()
    first, second = validation.lines(tmp_path)
    assert (first.settings["lr"], second.settings["lr"]) == (1.0, 1e-6)
    assert first.settings["augment"] == "shift:pixels=2"
    assert first.errors == [seed.result().test_error for seed in planned[2:]]
    assert first.mean < second.mean
    assert "| 2 | shift:pixels=2 | 5 | 32 | 1.0 | 0.1 | 6 |" in module.table([first])


def test_minutes():
    cells = [Cell("ddmlp", 60, 59.9, 0.012, 14), Cell("ddmlp", 300, 300.1, 0.008, 70), Cell("other", 300, 9, 0.02, 1)]
    assert Minutes({}, 800, "elastic", cells).table().splitlines() == [
        "| test error within | 60 s | 300 s |",
        "| --- | --- | --- |",
        "| ddmlp | 1.20 % | 0.80 % in 300.1 s |",
        "| other |  | 2.00 % |",
    ]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--seeds", "0"], ["--seeds is 0"]),
        (["--at-once", "0"], ["--at-once is 0"]),
        (["--augment", "blur"], ["blur"]),
        (["--validate", "elastic", "--held-out", "300"], ["300"]),
    ],
)
def test_bad_flags(flags: list[str], words: list[str], small: Path, tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        main([str(small), "--runs", str(tmp_path), "--out", str(tmp_path / "page.md"), *flags])
    assert all(word in str(caught.value) for word in words)
    assert not (tmp_path / "page.md").exists()


def test_continues(made: list[Seed], small: Path, tmp_path: Path):
    """A run that was stopped comes to the weights of one that was not. What is finished is not trained again."""
    seed = replace(made[1], folder=tmp_path / "seed-1")
    ddmlp.fit(small, run=seed.folder, stop_after=25, progress=False, **seed.given)
    assert seed.result() is None
    seed.train()
    assert seed.result().weights_sha256 == made[1].result().weights_sha256
    assert (seed.wall_seconds, made[1].wall_seconds > 0) == (None, True)
    assert f"| interrupted | `{seed.result().weights_sha256}` |" in page([seed], tmp_path)
    before = (seed.folder / "metrics.jsonl").read_bytes()
    train_all([seed], at_once=1)
    assert (seed.folder / "metrics.jsonl").read_bytes() == before


@pytest.mark.slow
def test_killed(small: Path, tmp_path: Path):
    """If the command is killed, both of its trainings end with a checkpoint, and leave their folders to the next."""
    flags = ["--seeds", "2", "--at-once", "2", "--hidden", "5", "--epochs", "20000", "--augment", "none"]
    command = [sys.executable, "-m", "tools.record", small, "--runs", tmp_path, "--out", tmp_path / "page.md", *flags]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        begun: set[str] = set()
        while len(begun) < 2:
            begun.update(re.findall(r"seed-\d", process.stderr.readline()))
        process.kill()
        rest = process.stderr.read()  # it ends once both have ended
    assert rest.count("interrupted") == 2
    for name in begun:
        run = Run(tmp_path / name)
        (newest, _) = run.checkpoints.newest()
        assert newest.step > 0
        assert run.result() is None
        assert ddmlp.resume(run.path, stop_after=newest.step + 1, progress=False).steps == newest.step + 1
    assert not (tmp_path / "page.md").exists()

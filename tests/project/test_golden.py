"""The golden trainings give the recorded weights, in one process and with three workers."""

import re
from pathlib import Path

import pytest

from ddmlp.cli.train import configure
from ddmlp.cli.train_arguments import parse
from ddmlp.ray_backend.cluster import Cluster
from ddmlp.ray_backend.trainer import RayTrainer
from tests.support import golden, runs
from tests.support.golden import GOLDEN, LOCAL


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The datasets of the golden trainings."""
    path = tmp_path_factory.mktemp("golden")
    golden.make_data(path)
    return path


def test_simple():
    assert set(GOLDEN) == set(LOCAL)
    assert len(set(GOLDEN.values())) == len(GOLDEN) >= 10


@pytest.mark.parametrize("name", LOCAL)
def test_one_process(name: str, folder: Path):
    assert golden.weights_of(name, folder) == GOLDEN[name]


@pytest.mark.ray
@pytest.mark.parametrize(("name", "steps"), [("workers", 84), pytest.param("rounded", 20, marks=pytest.mark.slow)])
def test_three_workers(name: str, steps: int, folder: Path, cluster: Cluster, tmp_path: Path):
    dataset, flags = LOCAL[name]
    data, run, config = folder / dataset, tmp_path / "run", configure(parse(flags), None)
    runs.begin(run, config, data)
    found = runs.train(RayTrainer(runs.job(data, run, 3, config), cluster), run)
    assert (found["weights_sha256"], found["steps"]) == (GOLDEN[name], steps)


def test_difference_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    names = ["--data", str(folder), "large-part", "one-hidden"]
    assert golden.main(names) == 0
    found = dict(GOLDEN)
    monkeypatch.setitem(GOLDEN, "one-hidden", "0" * 64)
    capsys.readouterr()

    assert golden.main(names) == 1
    out, err = capsys.readouterr()
    assert out.split() == [word for name in names[2:] for word in (f'"{name}":', f'"{found[name]}",')]
    assert err.startswith("one-hidden differs: ")
    assert err.count("\n") == 1
    assert {found["one-hidden"], "0" * 64} == set(re.findall("[0-9a-f]{64}", err))

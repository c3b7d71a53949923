"""Full MNIST, if DDMLP_MNIST names its folder: the commands of the README, as a user types them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ddmlp.ray_backend.cluster import Cluster
from tests.support.readme import PROMISED

ROOT = Path(__file__).parents[2]


def run(*words: str | Path) -> str:
    done = subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def data(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mnist") / "data"
    assert "70,000 rows" in run("tools/idx2arrow.py", mnist, folder)
    return folder


def train(data: Path, folder: Path, *flags: str) -> dict[str, Any]:
    run("-m", "ddmlp.train", "--no-report", "--data", data, "--run", folder, *flags)
    found: dict[str, Any] = json.loads((folder / "result.json").read_bytes())
    return found


@pytest.fixture(scope="module")
def trained(data: Path, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of make train."""
    return train(data, tmp_path_factory.mktemp("mnist") / "run", "--workers", "4", "--address", cluster.address)


@pytest.mark.timeout(500)
def test_two_percent_error(trained: dict[str, Any]):
    assert trained["test_rows"] == 10_000
    assert trained["rows"] == trained["epochs"] * 60_000 > 0
    assert trained["test_error"] <= 0.02


@pytest.mark.timeout(500)
def test_hash_of_the_readme(trained: dict[str, Any]):
    assert trained["weights_sha256"] == PROMISED["full MNIST"]


@pytest.mark.timeout(500)
def test_one_hash_for_any_workers(data: Path, cluster: Cluster, tmp_path: Path):
    hashes = [train(data, tmp_path / "0", "--epochs", "1", "--workers", "0")["weights_sha256"]]
    for workers in ("1", "2", "3"):
        flags = ["--epochs", "1", "--workers", workers, "--address", cluster.address]
        hashes.append(train(data, tmp_path / workers, *flags)["weights_sha256"])
    assert len(hashes) == 4
    assert len(set(hashes)) == 1

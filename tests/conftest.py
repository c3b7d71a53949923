"""What the tests share: the real sample as IDX files and as datasets, and one Ray for the whole session."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from ddmlp.cli import train
from ddmlp.data.convert import convert, find_pairs
from ddmlp.ray_backend.cluster import Cluster, connect
from tools import sample_mnist


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four IDX files of 4,000 + 1,000 real digits."""
    folder = tmp_path_factory.mktemp("sample")
    sample_mnist.main([str(folder)])
    return folder


@pytest.fixture(scope="session")
def data(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the datasets train/ (4,000 rows, several shards) and test/ (1,000 rows), not to be changed."""
    folder = tmp_path_factory.mktemp("data")
    train, test = find_pairs(sample)
    convert({folder / "train": train, folder / "test": test}, shard_rows=1_500)
    return folder


@pytest.fixture(scope="session")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the sample that has ended, and recognises well for one of seconds; not to be changed."""
    path = tmp_path_factory.mktemp("trained") / "run"
    train.main(["--data", str(data), "--hidden", "100", "--epochs", "20", "--run", str(path), "--quiet"])
    return path


@pytest.fixture(scope="module")  # no longer: Playwright's event loop runs as long
def browser() -> Iterator[Browser]:
    """Chromium. Where there is none its tests are skipped; where DDMLP_BROWSER is set, as in CI, they fail."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None and "DDMLP_BROWSER" not in os.environ:
        pytest.skip("no chromium here, so nobody looks at the pages: apt-get install chromium")
    assert path, "DDMLP_BROWSER is set, and there is no chromium"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path)
        yield found
        found.close()


@pytest.fixture(scope="session")
def mnist() -> Path:
    """The folder with full MNIST's four IDX files that DDMLP_MNIST names."""
    if "DDMLP_MNIST" not in os.environ:
        pytest.skip("DDMLP_MNIST names no folder with full MNIST")
    return Path(os.environ["DDMLP_MNIST"])


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The one Ray of the session."""
    found = connect("local")
    yield found
    found.leave()

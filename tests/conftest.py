"""What the tests share: the real sample as IDX files and as datasets, one Ray for all, and the watch for leaks."""

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

import ddmlp
from ddmlp.data.convert import convert, find_pairs
from ddmlp.ray_backend.choice import choose
from ddmlp.ray_backend.cluster import Cluster, connect
from tests.support.broker import Server
from tests.support.brokers import OWN, running
from tests.support.leaks import no_leaks
from tests.support.processes import ACTORS, HOLDERS, actors, assert_no_actor_is_left
from tools import sample_mnist

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# How many examples a property is tried with: `make test`, and --hypothesis-profile=thorough.
for name, examples in {"default": 25, "thorough": 200}.items():
    settings.register_profile(name, deadline=None, database=None, max_examples=examples)
settings.load_profile("default")

MARKERS = {
    "cluster": "ray",
    "hosts": "hosts",
    "browser": "browser",
    "mnist": "mnist",
}  # by the fixture that a test uses


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by marker, and given to processes by group
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture in MARKERS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(MARKERS[fixture])
        if any(map(item.get_closest_marker, ("ray", "cluster", "hosts"))):
            item.add_marker(pytest.mark.xdist_group("ray"))  # one process, so one Ray, and no two clusters at a time


def pytest_collection_finish() -> None:
    """The watch for leaks collects garbage after tests: it need not look at all that is imported by now."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test fails that leaves a descriptor, a thread, a process or a file in shared memory behind. It may leave what
    belongs to a fixture of a module or of the session."""
    with no_leaks():
        yield
        request.node.funcargs.clear()  # no fixture of the test's own is to live on only because pytest holds it
    if "cluster" in request.fixturenames:
        try:
            assert_no_actor_is_left(lambda: actors(*ACTORS, *HOLDERS))
        finally:
            for process in actors(*ACTORS, *HOLDERS):  # or the next test would find no free CPU
                os.kill(process, signal.SIGKILL)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path, because that of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="dd", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def temporary(short: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of this process and its children."""
    monkeypatch.setenv("TMPDIR", str(short))
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    return short


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
    return ddmlp.fit(data, run=tmp_path_factory.mktemp("trained") / "run", hidden=100, epochs=20, report=True).run


@pytest.fixture(params=OWN)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A message broker of each kind, which a test may kill."""
    (tmp_path / "server").mkdir()
    with running(request.param, tmp_path / "server") as found:
        yield found


@pytest.fixture(scope="module")  # no longer: Playwright's event loop runs as long
def browser() -> "Iterator[Browser]":
    """Chromium. Where there is none its tests are skipped; where DDMLP_BROWSER is set, as in CI, they fail."""
    from playwright.sync_api import sync_playwright

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
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The one Ray of the session, whatever the number of processes that run the tests."""
    if "PYTEST_XDIST_WORKER" in os.environ:  # their folders are beside each other
        (tmp_path_factory.getbasetemp().parent / "has-a-ray").touch(exist_ok=False)
    found = connect(choose("local"))
    yield found
    found.leave()

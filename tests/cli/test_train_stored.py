"""The driver's node is lost: SIGKILL while a checkpoint is stored; another folder continues, to the same hash."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs import verified, weights_of
from tests.support.s3 import ENVIRONMENT, s3_server

pytestmark = pytest.mark.slow
SETTINGS = ["--hidden", "20", "--batch", "150", "--epochs", "3", "--checkpoint-every", "9", "--no-report", "--quiet"]

# The command, which kills itself at the operation of the store that KILL_AT names: "part 3" is the third time that a
# part of an archive is written, "read 3" the third file that is read back, "delete 3" the third that is deleted.
DYING = """
import os, signal, sys
from ddmlp.cli.train import main
from ddmlp.data import store
from ddmlp.runs import backup

operation, left = os.environ["KILL_AT"].split()
left = int(left)

def count(what):
    global left
    left -= what == operation
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

class Parts:
    def __init__(self, path):
        self.path = path
    def open(self, mode):
        self.file = self.path.open(mode)
        return self
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.file.close()
    def read(self, size):
        count("part")
        return self.file.read(size)

class Dying(store.Store):
    def write(self, name, source):
        super().write(name, Parts(source))
    def read(self, name, sink=None):
        count("read")
        return super().read(name, sink)
    def delete(self, name):
        count("delete")
        super().delete(name)

store.CHUNK = 40_000
from ddmlp.api import session, stored
session.ADVANCE_SECONDS = 0
stored.Store = Dying
# Each checkpoint is stored before the next is made, so that the operations have the same numbers every time.
seen = backup.Backup.see
backup.Backup.see = lambda self, events: self.finish(60)
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    run = tmp_path_factory.mktemp("expected") / "run"
    assert command(["-m", "ddmlp", "train"], data, run).returncode == 0
    return weights_of(run)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    pytest.importorskip("moto", reason="moto is not installed: no S3 server")
    with s3_server() as address:
        yield address


def command(
    words: list[str], data: Path | None, run: str | Path, *more: str, **env: str
) -> subprocess.CompletedProcess:
    given = [] if data is None else ["--data", str(data), *SETTINGS]
    return subprocess.run(
        [sys.executable, *words, *given, "--run", str(run), *more],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=100,
    )


def kill_and_resume(data: Path, tmp_path: Path, uri: str, at: str, **env: str) -> Path:
    """Train, with SIGKILL at an operation of the store, and resume in another folder; returns that."""
    died = command(["-c", DYING], data, tmp_path / "one", "--checkpoint-uri", uri, KILL_AT=at, **env)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not (tmp_path / "one" / "result.json").exists()
    shutil.rmtree(tmp_path / "one")
    resumed = ["--resume", "--checkpoint-uri", uri, "--no-report"]
    done = command(["-m", "ddmlp", "train"], None, tmp_path / "two", *resumed, **env)
    assert done.returncode == 0, done.stderr
    return tmp_path / "two"


# The archive of step 0 is complete after its first read.
@pytest.mark.parametrize("at", ["part 5", "part 17", "read 5", "delete 1"])
def test_simple(at: str, data: Path, expected: str, tmp_path: Path):
    run = kill_and_resume(data, tmp_path, (tmp_path / "store").as_uri(), at)
    assert weights_of(run) == expected


@pytest.mark.parametrize("at", ["part 6", "read 5"])
def test_s3(at: str, s3: str, data: Path, expected: str, tmp_path: Path):
    uri = f"s3://bucket/killed/{at.replace(' ', '-')}"
    run = kill_and_resume(data, tmp_path, uri, at, **ENVIRONMENT, AWS_ENDPOINT_URL=f"http://{s3}")
    assert weights_of(run) == expected
    assert verified(run)
    result = json.loads((run / "result.json").read_bytes())
    assert result["stored"] == result["steps"]
    for path in run.rglob("*"):
        assert path.is_dir() or b"secret-of-the-test" not in path.read_bytes(), path


def test_options_of_the_uri(s3: str, data: Path, expected: str, tmp_path: Path):
    uri = f"s3://bucket/options?endpoint_override={s3}&scheme=http&region=us-east-1"
    run = kill_and_resume(data, tmp_path, uri, "part 6", **ENVIRONMENT)
    assert weights_of(run) == expected


def test_no_bucket(s3: str, data: Path, tmp_path: Path):
    """It fails before anything is trained."""
    uri = f"s3://none/one?endpoint_override={s3}&scheme=http"
    done = command(["-m", "ddmlp", "train"], data, tmp_path / "run", "--checkpoint-uri", uri, **ENVIRONMENT)
    assert done.returncode == 1
    assert "s3://none/one" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_run_is_a_store(data: Path):
    done = command(["-m", "ddmlp", "train"], data, "s3://bucket/one")
    assert done.returncode == 2
    assert "--checkpoint-uri" in done.stderr

"""What the tests of the Python API share."""

from pathlib import Path

import pytest

import ddmlp
from ddmlp.api import session
from ddmlp.cli.exercise import main as exercise
from tests.support.api import SMALL
from tests.support.helpers import inside


@pytest.fixture(scope="package")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> ddmlp.Result:
    """What the settings come to on the sample."""
    return ddmlp.fit(data, run=tmp_path_factory.mktemp("expected") / "run", **SMALL)


@pytest.fixture(scope="package")
def exercises(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `ddmlp exercise --data` writes; not to be changed."""
    found = tmp_path_factory.mktemp("exercises") / "exercises"
    done = inside(exercise, "--data", found)
    assert (done.returncode, done.stdout) == (0, f"wrote {found}\n"), done.stderr
    return found


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at requests to stop after each stretch of steps."""
    monkeypatch.setattr(session, "ADVANCE_SECONDS", 0)

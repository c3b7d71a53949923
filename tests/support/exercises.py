"""What the tests of the exercises share."""

from pathlib import Path
from typing import Any

import ddmlp
from ddmlp.api.exercises import check, problem


def train(exercises: Path, tmp_path: Path, **changed: Any) -> ddmlp.Result:
    """Train with the settings of the exercises, except for those that are changed, on their data."""
    run = tmp_path / f"run{changed}"
    return ddmlp.fit(exercises / "data", run=run, progress=False, **problem.SETTINGS | changed)


def refused(number: int, answer: object, fact: str) -> None:
    """Assert that the answer is wrong, and that the reply has the fact, in one line."""
    said = check(number, str(answer))
    assert fact in said
    assert said.isprintable()

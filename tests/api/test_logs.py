"""Logs of a program that trains: it configures `logging`, and `fit` changes nothing of that."""

import logging
from pathlib import Path

import pytest

import ddmlp
from tests.support.api import SMALL


def state() -> list[tuple[int, list[logging.Handler], bool]]:
    loggers = logging.getLogger(), logging.getLogger("ddmlp")
    return [(each.level, list(each.handlers), each.propagate) for each in loggers]


@pytest.mark.parametrize("level", [logging.WARNING, logging.INFO])
def test_simple(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, level: int):
    """The program's handlers get the records; no file is written."""
    caplog.set_level(level, "ddmlp")
    before = state()
    ddmlp.fit(data, run=tmp_path / "run", **SMALL)
    assert state() == before
    saved = [each for each in caplog.records if each.getMessage().startswith("checkpoint of step ")]
    assert bool(saved) == (level == logging.INFO)
    assert {each.name for each in saved} <= {"ddmlp.training.recorder"}
    assert not (tmp_path / "run" / "logs").exists()

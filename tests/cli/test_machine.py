"""On a machine that flushes denormal numbers to zero every command that computes ends, with one line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ddmlp.cli import evaluate, predict, replay, train, verify
from ddmlp.nn.known_answer import KNOWN_ANSWER
from tests.support.floating_point import computing
from tests.support.helpers import inside
from tests.support.pictures import digits_of, save

MAINS = {each.__name__.rpartition(".")[2]: each.main for each in (train, verify, replay, evaluate, predict)}


@pytest.mark.parametrize("name", MAINS)
def test_simple(name: str, whole: Path, data: Path, sample: Path, tmp_path: Path):
    main: Callable[[], int | None] = MAINS[name]
    arguments = {
        "train": ["--data", data, "--run", tmp_path / "run"],
        "evaluate": ["--model", whole, "--data", data],
        "predict": ["--model", whole, save(tmp_path, "large.png", digits_of(sample)[0])],
    }
    with computing("flush"):
        done = inside(main, *arguments.get(name, [whole]))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
    assert KNOWN_ANSWER in done.stderr
    assert "denormal" in done.stderr
    assert not (tmp_path / "run" / "config.json").exists()

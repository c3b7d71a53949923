"""Ctrl-C, and interrupting a notebook's cell, leave a checkpoint; a thread receives no signals."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ddmlp
from tests.support.api import SMALL


class Interrupt(ddmlp.Callback):
    """Ctrl-C, as a terminal or a notebook sends it."""

    def on_test(self, epoch: Any) -> None:  # noqa: ARG002
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def handlers() -> Iterator[None]:
    before = [signal.getsignal(number) for number in signal.valid_signals()]
    yield
    assert [signal.getsignal(number) for number in signal.valid_signals()] == before


@pytest.mark.usefixtures("often", "handlers")
def test_simple(expected: ddmlp.Result, data: Path, tmp_path: Path):
    with pytest.raises(KeyboardInterrupt, match="after step") as caught:
        ddmlp.fit(data, run=tmp_path / "run", callbacks=[Interrupt()], keep=2, **SMALL)
    (note,) = caught.value.__notes__
    assert not (tmp_path / "run" / "result.json").exists()
    found = eval(note.partition("continue with: ")[2])
    assert found.weights_sha256 == expected.weights_sha256
    assert "keep=2" in note


@pytest.mark.usefixtures("handlers")
def test_in_a_thread(expected: ddmlp.Result, data: Path, tmp_path: Path):
    found: list[ddmlp.Result] = []
    thread = threading.Thread(target=lambda: found.append(ddmlp.fit(data, run=tmp_path / "run", **SMALL)))
    thread.start()
    thread.join()
    assert [result.weights_sha256 for result in found] == [expected.weights_sha256]

"""Records on their way to the process that writes them: in order, bounded, and without a wait for code that logs."""

import logging
import pickle
import threading
from collections.abc import Iterator

import pytest

from ddmlp.ray_backend import log_transfer
from ddmlp.ray_backend.log_transfer import BufferedLog, DirectLog
from ddmlp.runs.log_files import logging_to

log = logging.getLogger("ddmlp.some.module")


@pytest.fixture
def open_gate() -> Iterator[threading.Event]:
    """Blocks all writes until it is set; it is set after the test."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.mark.parametrize("kind", [DirectLog, BufferedLog])
def test_simple(kind: type):
    """The records are complete, and can be sent to another process."""
    written: list[logging.LogRecord] = []
    with logging_to(kind(written.append), logging.INFO):
        for number in range(10):
            log.info("record %s", [number])
    assert [record.getMessage() for record in written] == [f"record [{number}]" for number in range(10)]
    assert pickle.loads(pickle.dumps(written[0])).name == "ddmlp.some.module"


def test_reader_has_ended():
    def write(_: logging.LogRecord) -> None:
        raise BrokenPipeError

    with logging_to(DirectLog(write), logging.INFO):
        log.info("lost")


def test_server_has_ended():
    """A record that it cannot write is lost; later ones are not."""
    written: list[str] = []

    def write(record: logging.LogRecord) -> None:
        if record.getMessage() == "lost":
            raise RuntimeError("the actor has died")
        written.append(record.getMessage())

    with logging_to(BufferedLog(write), logging.INFO):
        log.info("lost")
        log.info("kept")
    assert written == ["kept"]


def test_full(monkeypatch: pytest.MonkeyPatch, open_gate: threading.Event):
    """Records beyond the bound are counted and dropped, and code that logs does not wait."""
    monkeypatch.setattr(log_transfer, "MAX_RECORDS", 10)
    written: list[str] = []
    begun = threading.Event()

    def write(record: logging.LogRecord) -> None:
        begun.set()
        open_gate.wait()
        written.append(record.getMessage())

    with logging_to(handler := BufferedLog(write), logging.INFO):
        log.info("first")
        begun.wait()
        for number in range(15):
            log.info("record %d", number)
        open_gate.set()
        while not handler._waiting.empty():
            begun.wait(0.01)
        log.info("last")
    assert written[:11] == ["first", *(f"record {number}" for number in range(10))]
    assert written[11:] == ["last (5 records before this one were dropped)"]


def test_close_is_bounded(monkeypatch: pytest.MonkeyPatch, open_gate: threading.Event):
    """It takes a bounded time, even if the server does not answer."""
    monkeypatch.setattr(log_transfer, "MAX_RECORDS", 1)
    monkeypatch.setattr(log_transfer, "CLOSE_SECONDS", 0.05)
    handler = BufferedLog(lambda _: open_gate.wait())
    with logging_to(handler, logging.INFO):
        for number in range(5):
            log.info("record %d", number)
    assert handler._thread.is_alive()
    open_gate.set()
    handler._waiting.get()
    handler._waiting.put(None)
    handler._thread.join()

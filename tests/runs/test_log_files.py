"""Log files: bounded, without secrets, a line for each record; and a library that leaves logging to its user."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ddmlp.runs import log_files
from ddmlp.runs.log_files import LEVELS, LogFile, log_level, logging_to

log = logging.getLogger("ddmlp.some.module")
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\w+) ([\w.]+): (.*)")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "one.log"


@pytest.fixture
def writing(path: Path) -> Iterator[None]:
    """Records of every level go to `path`."""
    with logging_to(LogFile(path), logging.DEBUG):
        yield


def test_simple(tmp_path: Path):
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    with logging_to(LogFile.of_run(tmp_path, "one"), LEVELS["info"]):
        assert log_level() == logging.INFO
        log.info("worker %d", 3)
        log.debug("not this")
        assert (root.level, list(root.handlers)) == before
    log.warning("nor this")
    (line,) = (tmp_path / "logs" / "one.log").read_text().splitlines()
    assert LINE.fullmatch(line).groups() == ("INFO", "ddmlp.some.module", "worker 3")


def test_library():
    """Without a program that configures logging, nothing is shown, and no level is set."""
    logger = logging.getLogger("ddmlp")
    assert [type(handler) for handler in logger.handlers] == [logging.NullHandler]
    assert (logger.level, logger.propagate) == (logging.NOTSET, True)


def test_off(path: Path):
    with logging_to(LogFile(path), LEVELS["off"]):
        log.critical("nobody reads this")
    assert not path.parent.exists()


def test_bounds(path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two files, none larger than the bound; the newest records are kept."""
    monkeypatch.setattr(log_files, "MAX_BYTES", 10_000)
    with logging_to(LogFile(path), logging.INFO):
        for number in range(1_000):
            log.info("record %d of many", number)
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["one.log", "one.log.1"]
    assert all(5_000 < file.stat().st_size <= 10_000 for file in files[1:])
    assert "record 999 of" in path.read_text()


def test_other_lines(path: Path):
    """Text from a peer cannot imitate a record, or control a terminal."""
    handler = LogFile(path)
    handler.handle(
        logging.makeLogRecord({"name": "ddmlp.a", "levelname": "INFO", "msg": "a\nb\x1b[31m\r\u2028é \ud800"})
    )  # pytest sees none
    handler.close()
    (line,) = path.read_text().splitlines()
    assert LINE.fullmatch(line)[3] == r"a\nb\x1b[31m\r\u2028é \ud800"


@pytest.mark.usefixtures("writing")
def test_traceback(path: Path):
    try:
        raise RuntimeError("first\nsecond password=hunter2")
    except RuntimeError:
        log.exception("it failed")
    first, *trace = path.read_text().splitlines()
    assert LINE.fullmatch(first)[3] == "it failed"
    assert [line for line in trace if not line.startswith("    ")] == []
    assert "second password=***" in trace[-1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("from tcp://ann:pass:word@host:5000", "from tcp://***@host:5000"),
        ("from tcp://ann:pass@word@host:5000", "from tcp://***@host:5000"),
        ("http://host/?a=1&token=abc123&b=2", "http://host/?a=1&token=***&b=2"),
        ("TOKEN=abc, Password=def", "TOKEN=***, Password=***"),
        ("metadata: Bearer 0123abcd", "metadata: Bearer ***"),
        ("runs/a@b at host:6379", "runs/a@b at host:6379"),
    ],
)
@pytest.mark.usefixtures("writing")
def test_secrets(path: Path, monkeypatch: pytest.MonkeyPatch, text: str, shown: str):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123abcd")
    log.info("%s", text)
    assert LINE.fullmatch(path.read_text().strip())[3] == shown


@pytest.mark.parametrize("name", ["", "missing/missing/one.log"])
def test_not_writable(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str):
    """One line reports any number of lost records, and the program continues; `open` raises an error instead."""
    with logging_to(LogFile(tmp_path / name), logging.INFO):
        for _ in range(3):
            log.info("lost")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ")
    assert str(tmp_path / name) in line
    with pytest.raises(OSError, match=str(tmp_path)):
        LogFile(tmp_path / name).open()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "full").symlink_to("/dev/full")
    with logging_to(LogFile(tmp_path / "full"), logging.INFO):
        for _ in range(3):
            log.info("lost")
    (line,) = capsys.readouterr().err.splitlines()
    assert "No space left on device" in line


def test_mistake_of_ours(path: Path, capsys: pytest.CaptureFixture[str]):
    """A record that cannot be formatted is not the disk's fault."""
    handler = LogFile(path)
    handler.handle(logging.makeLogRecord({"msg": "%d", "args": ("no number",)}))
    handler.close()
    assert "TypeError" in capsys.readouterr().err

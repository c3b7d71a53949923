"""Log files: bounded in size, a line for each record, and no secrets in them.

ddmlp logs to the loggers `ddmlp...` of the module `logging`. As a library it adds no handler and sets no level: a
program configures them. A command, and each actor on Ray, writes to a `LogFile`.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from ddmlp.errors import printable

ROOT = "ddmlp"  # the parent of all loggers of ddmlp
LOGS = "logs"  # the folder of the logs, in that of a run
MAX_BYTES = 4 << 20  # of a file; the previous file is kept, too
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "off": logging.CRITICAL + 1,
}
# The user name and the password of a URL; the value of a parameter `token` or `password`.
SECRET = re.compile(r"(?<=://)[^/\s]+(?=@)|(?<=token=)[^\s&,;]+|(?<=password=)[^\s&,;]+", re.IGNORECASE)
TOKEN = "RAY_AUTH_TOKEN"  # the environment variable with the token of a Ray cluster
HIDDEN = "***"


def log_level() -> int:
    """Return the level of ddmlp's logs in this process, as a number of `logging`."""
    return logging.getLogger(ROOT).getEffectiveLevel()


@contextmanager
def logging_to(handler: logging.Handler, level: int) -> Iterator[None]:
    """Pass ddmlp's records of this level or above to a handler, until the block ends."""
    logger = logging.getLogger(ROOT)
    before = logger.level
    add_handler(handler, level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.close()


def add_handler(handler: logging.Handler, level: int) -> None:
    """Pass ddmlp's records of this level or above to a handler, until the process ends."""
    logger = logging.getLogger(ROOT)
    logger.setLevel(level)
    logger.addHandler(handler)


class LogFile(RotatingFileHandler):
    """A handler that writes to a file of at most MAX_BYTES, and keeps the previous file as NAME.1.

    If the file cannot be written, the program continues, and one line on standard error says so.
    """

    def __init__(self, path: Path) -> None:
        """Prepare the handler: its first record creates the file, and the folder if the parent folder exists."""
        super().__init__(path, maxBytes=MAX_BYTES, backupCount=1, encoding="utf-8", delay=True)
        self.errors = "backslashreplace"
        self._complained = False
        self.setFormatter(LineFormatter())

    @classmethod
    def of_run(cls, run: Path, name: str) -> "LogFile":
        """Return the handler for the file NAME.log in the logs of a run."""
        return cls(run / LOGS / f"{name}.log")

    def open(self) -> None:
        """Open the file now; raises OSError if it cannot be written."""
        self.stream = self._open()

    def _open(self) -> TextIOWrapper:
        with suppress(FileExistsError):
            Path(self.baseFilename).parent.mkdir()
        return super()._open()

    def handleError(self, record: logging.LogRecord) -> None:
        """Print one line for the first error of the operating system."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._complained:
            self._complained = True
            text = f"warning: the log {self.baseFilename} is incomplete: {error.strerror or error}"
            print(printable(text), file=sys.stderr)

    def close(self) -> None:
        with suppress(OSError):  # if the disk is full, the rest of the log is lost
            super().close()


class LineFormatter(logging.Formatter):
    """Formats a record as one line, with the time in UTC, and a traceback as further, indented lines.

    Characters that are not printable are escaped: they may come from another process, and could imitate a record.
    """

    converter = staticmethod(time.gmtime)
    default_time_format, default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(without_secrets(super().formatMessage(record)))

    def formatException(self, ei) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
        lines = without_secrets(super().formatException(ei)).splitlines()
        return "\n".join(f"    {printable(line)}" for line in lines)


def without_secrets(text: str) -> str:
    """Return a text with the passwords and tokens of addresses, and the token for Ray, replaced by HIDDEN."""
    if token := os.environ.get(TOKEN, "").strip():
        text = text.replace(token, HIDDEN)
    return SECRET.sub(HIDDEN, text)

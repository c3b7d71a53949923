"""Every error that ddmlp raises on purpose.

    DdmlpError                 exit status 1
    ├── ConfigError            a flag or setting that cannot work; exit status 2
    ├── DataError              input that is not what it should be
    │   ├── IdxError           an IDX file
    │   ├── DatasetError       a dataset: its manifest, a shard, or the stream that it comes from
    │   ├── ImageError         an image file to be recognised
    │   └── RequestError       a request to the server that cannot be answered
    ├── DownloadError          a file that could not be fetched, or is not the one expected
    ├── RunError               a run folder, checkpoint or model
    ├── TrainingError          training that cannot go on: not finite, or a step short
    ├── MachineError           a machine that computes other bits than all others
    └── ClusterError           Ray, the actors and the messages between them

A message says what was found, what was expected, where, and what to do. The commands print it as one line.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class DdmlpError(Exception):
    """Base class of all errors that ddmlp raises on purpose."""

    exit_status = 1


class ConfigError(DdmlpError):
    """A flag or a setting has a value that cannot work; raised before anything is started."""

    exit_status = 2


class DataError(DdmlpError):
    """Input data is not what its format, or the run, says it is."""


class IdxError(DataError):
    """A file is not valid IDX, or not the IDX file that was asked for."""


class DatasetError(DataError):
    """A dataset's manifest or shard, or the stream that it comes from, is missing, damaged, or does not fit."""


class ImageError(DataError):
    """An image file cannot be read as a picture of one digit."""


class RequestError(DataError):
    """A request cannot be answered. status: HTTP's number for why (RFC 9110, section 15)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class DownloadError(DdmlpError):
    """No source delivered a file with the expected contents."""


class RunError(DdmlpError):
    """A run folder, a checkpoint or a model cannot be used as asked."""


class TrainingError(DdmlpError):
    """Training cannot go on: a value is not finite, or a step is short of gradients."""


class MachineError(DdmlpError):
    """This machine computes other bits than all others: its results would be of no use."""


class ClusterError(DdmlpError):
    """Ray, an actor, or the messages between the actors failed."""


def printable(text: str) -> str:
    """A text, perhaps from another process or a damaged file, with all that is not printable escaped."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


@contextmanager
def require_extra(name: str) -> Iterator[None]:
    """What is imported in the block comes with the extra `name`; raises ConfigError if it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"this needs the package {error.name}, which is not installed; install it with: pip install 'ddmlp[{name}]'"
        ) from None

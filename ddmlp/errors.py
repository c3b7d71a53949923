"""Every error that ddmlp raises on purpose.

    DdmlpError                 exit status 1
    ├── ConfigError            an invalid flag or setting; exit status 2
    ├── DataError              invalid input data
    │   ├── IdxError           an IDX file
    │   ├── DatasetError       a dataset: its manifest, a shard, or the stream that it comes from
    │   ├── ImageError         an image file to be recognised
    │   └── RequestError       a request that the server cannot answer
    ├── DownloadError          a file that could not be downloaded, or has unexpected contents
    ├── RunError               a run folder, checkpoint or model
    ├── StoreError             a store of files elsewhere
    ├── TrainingError          training that cannot continue: values that are not finite, or missing gradients
    ├── MachineError           a machine that does not compute the same bits as all others
    └── ClusterError           Ray, an actor, or the messages between actors
        └── ServerLostError    one of several servers has ended

A message says what was found, what was expected, where, and what to do. The commands print it as one line.

>>> try:
...     raise DatasetError("data/train has no dataset.json; write one by `ddmlp convert`")
... except DdmlpError as error:
...     print(error.exit_status, error)
1 data/train has no dataset.json; write one by `ddmlp convert`
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec


class DdmlpError(Exception):
    """Base class of all errors that ddmlp raises on purpose."""

    exit_status = 1


class ConfigError(DdmlpError):
    """A flag or a setting has an invalid value. Raised before anything is started."""

    exit_status = 2


class DataError(DdmlpError):
    """Input data do not have the expected format or contents."""


class IdxError(DataError):
    """A file is not a valid IDX file, or not the expected one."""


class DatasetError(DataError):
    """A dataset's manifest or shard, or the stream that it comes from, is missing, damaged or does not fit."""


class ImageError(DataError):
    """An image file cannot be read as a picture of one digit."""


class RequestError(DataError):
    """The server cannot answer a request. status: the HTTP status code (RFC 9110, section 15)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class DownloadError(DdmlpError):
    """No server delivered a file with the expected contents."""


class RunError(DdmlpError):
    """A run folder, a checkpoint or a model is missing, damaged, in use, or unsuitable for the request."""


class StoreError(DdmlpError):
    """A store of files, for example a bucket, cannot be read or written."""


class TrainingError(DdmlpError):
    """Training cannot continue: a value is not finite, or rows or gradients are missing or wrong."""


class MachineError(DdmlpError):
    """This machine does not compute the same bits as all others, so its results would be wrong."""


class ClusterError(DdmlpError):
    """Ray or an actor failed, or the messages between actors did."""


class ServerLostError(ClusterError):
    """One of several servers has ended, or the connection to it: all are restarted."""


def printable(text: str) -> str:
    """Escape every character that is not printable, in a text from another process or a damaged file, for example.

    >>> printable("one\\ttwo")
    'one\\\\ttwo'
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def text_of(error: BaseException) -> str:
    """Return the message of an error of a library as one printable line; its type if it has none.

    >>> text_of(OSError("one\\ntwo")), text_of(ValueError())
    ('one two', 'ValueError')
    """
    return printable(" ".join(str(error).split())) or type(error).__name__


def reason_of(error: BaseException) -> str:
    """Return why the system refused a file or a URL, without the number of the error.

    >>> reason_of(FileNotFoundError(2, "No such file or directory", "none.py"))
    'No such file or directory'
    """
    # A URLError has a text or an OSError.
    reason = getattr(error, "reason", error) if isinstance(error, OSError) else error
    return printable(str(getattr(reason, "strerror", None) or reason))


@contextmanager
def require_extra(extra: str, what: str) -> Iterator[None]:
    """A context for imports of packages that belong to an extra. Raises ConfigError if one is not installed.

    what: the flag or the function that needs the package, for the message.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "ddmlp"):  # a bug in ddmlp
            raise
        raise ConfigError(
            f"{what} needs the package {package}, which is not installed; install it with: pip install 'ddmlp[{extra}]'"
        ) from None


def require_package(package: str, extra: str, what: str) -> None:
    """Raise ConfigError if a package that belongs to an extra is not installed. It is not imported."""
    with require_extra(extra, what):
        if find_spec(package) is None:
            raise ModuleNotFoundError(name=package)

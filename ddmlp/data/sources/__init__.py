"""Sources of rows: one file for each kind, and a registry that finds a stream by its URI.

A new kind of stream needs one file with a class that implements `Source`, and one line in SOURCES.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from ddmlp.errors import ConfigError

if TYPE_CHECKING:  # commands check their flags before NumPy is imported
    import numpy as np
    from numpy.typing import NDArray


class Rows(NamedTuple):
    """Some rows: pixels, uint8 (rows, height, width), and labels, uint8 (rows,)."""

    pixels: "NDArray[np.uint8]"
    labels: "NDArray[np.uint8]"


class Source(Protocol):
    """A stream of rows, as `StreamIngest` needs it. One thread reads it; any thread may call `stop`.

    Attributes
    ----------
    name : str
        The name of the source in messages.
    stopped : bool
        Whether `stop` was called.
    lost : str or None
        Why the stream broke off; None while it is open, and if it ended with the sender's end-of-stream marker.
    """

    name: str
    stopped: bool
    lost: str | None

    def batches(self, classes: int, idle: Callable[[], None], seconds: float) -> Iterator[Rows]:
        """Yield the rows in order, at least one at a time, with labels 0 to classes-1.

        Calls `idle` before each wait for rows, and every `seconds` during a wait. Raises DatasetError for bad rows.
        """

    def stop(self) -> None:
        """Make `batches` end at once, even during a wait. May be called from any thread."""

    def close(self) -> None:
        """Release the resources of the source."""


class FiniteSource(Protocol):
    """A source with a known number of rows, as `convert` needs it; a context manager."""

    rows: int
    image_shape: tuple[int, int]

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def count_classes(self) -> int:
        """Return one more than the highest label."""

    def batches(self, classes: int) -> Iterator[Rows]:
        """Yield the rows in order, with labels 0 to classes-1; raises DataError for bad rows."""


class Kind(NamedTuple):
    """A kind of stream: the form of its URIs, and the module and function of this package that open it."""

    form: str
    module: str
    function: str


SOURCES = {  # by the scheme of the URI
    "-": Kind("-", "byte_stream", "open_standard_input"),
    "tcp": Kind("tcp://HOST:PORT", "byte_stream", "connect"),
}


def is_source(uri: str) -> bool:
    """Whether the URI's scheme is registered in SOURCES; a path has no scheme."""
    return _scheme(uri) in SOURCES


def open_source(uri: str) -> Source:
    """Open the stream at `uri`.

    Raises
    ------
    ConfigError
        The scheme of the URI is not in SOURCES, or the URI is malformed.
    DatasetError
        The stream cannot be reached.

    Examples
    --------
    >>> open_source("ftp://example.org")
    Traceback (most recent call last):
        ...
    ddmlp.errors.ConfigError: ftp://example.org is not a stream; expected - or tcp://HOST:PORT
    """
    if not is_source(uri):
        raise unknown_source(uri)
    kind = SOURCES[_scheme(uri)]
    source: Source = getattr(import_module(f"{__name__}.{kind.module}"), kind.function)(uri)
    return source


def unknown_source(uri: str) -> ConfigError:
    """Return the error for a URI that matches no entry of SOURCES."""
    forms = " or ".join(kind.form for kind in SOURCES.values())
    return ConfigError(f"{uri} is not a stream; expected {forms}")


def _scheme(uri: str) -> str:
    return uri if uri == "-" else uri.partition("://")[0] if "://" in uri else ""

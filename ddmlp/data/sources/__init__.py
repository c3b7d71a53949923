"""Where rows come from: a file for each kind of source, and the registry that finds a source by its URI.

A new kind of stream is one file with a class like `Source`, and one line in SOURCES.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from ddmlp.errors import ConfigError

if TYPE_CHECKING:  # the flags of a command are checked before NumPy is imported
    import numpy as np
    from numpy.typing import NDArray


class Rows(NamedTuple):
    """Some rows: pixels (rows, height, width) and labels (rows,), both uint8."""

    pixels: "NDArray[np.uint8]"
    labels: "NDArray[np.uint8]"


class Source(Protocol):
    """Rows that arrive over time: what StreamIngest needs. One thread reads them, until another calls `stop`.

    Attributes
    ----------
    name : str
        What messages call the source.
    stopped : bool
        `stop` was called.
    lost : str or None
        Why the rows ended without the sender's mark of the end; None as long as they come, and with the mark.
    """

    name: str
    stopped: bool
    lost: str | None

    def batches(self, classes: int, idle: Callable[[], None], seconds: float) -> Iterator[Rows]:
        """The rows in their order, one or more at a time, labels 0..classes-1.

        Calls `idle` before each wait for rows, and every `seconds` of a longer one. Raises DatasetError for bad rows.
        """

    def stop(self) -> None:
        """Let `batches` end at once, even while it waits; from any thread."""

    def close(self) -> None:
        """Close what was opened for the source."""


class FiniteSource(Protocol):
    """Rows that are all there: what `convert` needs; a context manager."""

    rows: int
    image_shape: tuple[int, int]

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def count_classes(self) -> int:
        """One more than the highest label."""

    def batches(self, classes: int) -> Iterator[Rows]:
        """The rows in their order, labels 0..classes-1; raises DataError for bad rows."""


class Kind(NamedTuple):
    """A kind of stream: what its URIs look like, and the function in a module of this package that opens one."""

    form: str
    module: str
    function: str


SOURCES = {  # by the scheme of the URI
    "-": Kind("-", "byte_stream", "open_standard_input"),
    "tcp": Kind("tcp://HOST:PORT", "byte_stream", "connect"),
}


def is_source(uri: str) -> bool:
    """Whether a registered kind of stream has the URI's scheme; a path has none."""
    return _scheme(uri) in SOURCES


def open_source(uri: str) -> Source:
    """Open the stream at `uri`; raises ConfigError if there is no such kind, DatasetError if it cannot be reached."""
    if not is_source(uri):
        raise unknown_source(uri)
    kind = SOURCES[_scheme(uri)]
    source: Source = getattr(import_module(f"{__name__}.{kind.module}"), kind.function)(uri)
    return source


def unknown_source(uri: str) -> ConfigError:
    """The error for a URI that is none of those in SOURCES."""
    forms = " or ".join(kind.form for kind in SOURCES.values())
    return ConfigError(f"{uri} is no source of a stream; expected {forms}")


def _scheme(uri: str) -> str:
    return uri if uri == "-" else uri.partition("://")[0] if "://" in uri else ""

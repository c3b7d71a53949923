"""The registry of sources: finds the kind of a stream by the scheme of its URI.

A new kind needs a file with a class that implements `Source`, and a line in KINDS. A package of its own can add a kind
by an entry point of the group `ddmlp.sources`: its name is the scheme, and its object a `Kind`.
"""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from ddmlp.errors import ConfigError, printable

if TYPE_CHECKING:
    from ddmlp.data.sources import Source

GROUP = "ddmlp.sources"  # of entry points


class Kind(NamedTuple):
    """A kind of source.

    Parameters
    ----------
    form : str
        The form of its URIs.
    module, function : str
        The function, called with the URI, that opens a stream: it returns a `Source`.
    finite : bool
        Whether it is no stream, but has a known number of rows.
    """

    form: str
    module: str
    function: str
    finite: bool = False

    def call(self, place: Any) -> Any:
        return getattr(import_module(self.module), self.function)(place)


_HERE = "ddmlp.data.sources"
KINDS = {  # by the scheme of the URI
    "-": Kind("-", f"{_HERE}.byte_stream", "open_standard_input"),
    "tcp": Kind("tcp://HOST:PORT", f"{_HERE}.byte_stream", "connect"),
    "redis": Kind("redis://HOST/STREAM", f"{_HERE}.redis_stream", "open_redis"),
    "rediss": Kind("rediss://HOST/STREAM", f"{_HERE}.redis_stream", "open_redis"),
}


def is_stream(data: object) -> TypeGuard[str]:
    """Whether data given by a user are the URI of a stream; a path has no scheme."""
    kind = _kind(_scheme(data)) if isinstance(data, str) else None
    return kind is not None and not kind.finite


def open_stream(uri: str) -> "Source":
    """Open the stream at `uri`.

    Raises
    ------
    ConfigError
        The scheme of the URI is not registered, or the URI is malformed.
    DatasetError
        The stream cannot be reached.

    Examples
    --------
    >>> open_stream("ftp://example.org")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ddmlp.errors.ConfigError: ftp://example.org is not a stream; expected - or tcp://HOST:PORT or ...
    """
    kind = _kind(_scheme(uri))
    if kind is None or kind.finite:
        raise unknown_stream(uri)
    source: Source = kind.call(uri)
    return source


def unknown_stream(uri: str) -> ConfigError:
    """Return the error for a URI that is not one of a stream, or malformed."""
    forms = " or ".join(kind.form for kind in KINDS.values() if not kind.finite)
    return ConfigError(f"{uri} is not a stream; expected {forms}")


def _scheme(uri: str) -> str:
    return uri if uri == "-" else uri.partition("://")[0] if "://" in uri else ""


def _kind(name: str) -> Kind | None:
    return KINDS.get(name) or (_added(name) if name else None)


@cache
def _added(name: str) -> Kind | None:
    """Return the kind that an installed package adds; raises ConfigError if it cannot be used."""
    for point in entry_points(group=GROUP, name=name):
        try:
            kind = point.load()
        except Exception as error:
            raise ConfigError(
                f"the source {name} ({point.value}) cannot be loaded: {printable(str(error))}; install its "
                "package again"
            ) from error
        if not isinstance(kind, Kind):
            raise ConfigError(
                f"the source {name} ({point.value}) is a {type(kind).__name__}, expected a Kind of {__name__}"
            )
        return kind
    return None

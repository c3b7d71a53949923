"""The registry of sources: finds their kinds by the scheme of a URI, the first bytes of a file, or names in a folder.

A new kind of stream needs a module with a class that implements `Source`, and a line in KINDS. A new kind of file needs
a module with a function that returns `Parts`, and a line in FILES. A package of its own adds a kind by an entry point
of the group `ddmlp.sources`: its name is the scheme, or for files the suffix, such as ".h5", and its object a `Kind`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from ddmlp.data.manifest import NAME as MANIFEST
from ddmlp.data.remote import SCHEMES, copied
from ddmlp.data.signatures import ARROW_FILE, ARROW_STREAM, CSV, NPZ, PARQUET, TEXT, kind_of_file, remedy_of
from ddmlp.errors import ConfigError, DatasetError, printable

if TYPE_CHECKING:
    from ddmlp.data.sources import Source
    from ddmlp.data.sources.parts import Parts

GROUP = "ddmlp.sources"  # of entry points


class Kind(NamedTuple):
    """A kind of source.

    Parameters
    ----------
    form : str
        The form of its URIs, or what its files are.
    module, function : str
        The function, called with the URI or the path. It opens a stream, and returns a `Source`; or it finds rows, and
        returns `Parts`.
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
    "kafka": Kind("kafka://HOST/TOPIC", f"{_HERE}.kafka_stream", "open_kafka"),
    "nats": Kind("nats://HOST/STREAM", f"{_HERE}.nats_stream", "open_nats"),
    "rabbitmq-stream": Kind("rabbitmq-stream://HOST/STREAM", f"{_HERE}.rabbitmq_stream", "open_rabbitmq"),
    "rabbitmq-stream+tls": Kind("rabbitmq-stream+tls://HOST/STREAM", f"{_HERE}.rabbitmq_stream", "open_rabbitmq"),
}
_TABLES = Kind("a Parquet or Arrow file, or a folder of them", f"{_HERE}.table_files", "find_tables", finite=True)
FILES = {  # by what `kind_of` calls their first bytes
    PARQUET: _TABLES,
    ARROW_FILE: _TABLES,
    ARROW_STREAM: _TABLES,
    NPZ: Kind("an .npz file", f"{_HERE}.npz_file", "find_arrays", finite=True),
    CSV: Kind("a CSV file", f"{_HERE}.csv_file", "find_csv", finite=True),
}
IDX_FOLDER = Kind("a folder of four IDX files", f"{_HERE}.idx_folder", "find_idx", finite=True)
PICTURES = Kind("a folder of pictures, CLASS/NAME.png", f"{_HERE}.picture_folder", "find_pictures", finite=True)
DATASETS = Kind("a folder of datasets", f"{_HERE}.dataset_folder", "find_datasets", finite=True)
_TABLE_NAMES = (".parquet", ".arrow", ".feather")
_PICTURE_NAMES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")


def is_stream(data: object) -> TypeGuard[str]:
    """Whether data given by a user are the URI of a stream; a path has no scheme."""
    kind = _kind(_scheme(data)) if isinstance(data, str) else None
    return kind is not None and not kind.finite


def is_finite(data: object) -> TypeGuard[str | Path]:
    """Whether data given by a user are a file, a folder or a URI whose rows `finite_parts` finds.

    A folder with a dataset is none: it needs no conversion. Nor is one without rows.
    """
    if not isinstance(data, str | Path):
        return False
    if scheme := _scheme(str(data)):
        kind = _kind(scheme)
        return kind.finite if kind else scheme in SCHEMES
    try:
        return Path(data).is_file() or (Path(data).is_dir() and _kind_of_folder(Path(data)) is not None)
    except (OSError, ValueError):  # no path at all
        return False


@contextmanager
def finite_parts(data: str | Path) -> "Iterator[Parts]":
    """Find the rows at a path or a URI. What is not on this machine is copied for the block.

    Raises
    ------
    DatasetError
        There is nothing, or no rows of a known kind.
    ConfigError, DownloadError, StoreError
        A URI is malformed, or what it names cannot be copied.
    """
    scheme = _scheme(str(data))
    if kind := _kind(scheme):
        yield kind.call(data)
    elif scheme in SCHEMES:
        with copied(str(data)) as path:
            yield _parts(path)
    else:
        yield _parts(Path(data))


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


def _parts(path: Path) -> "Parts":
    if path.is_dir():
        # IDX_FOLDER says what is missing.
        kind = DATASETS if _has_dataset(path) else _kind_of_folder(path) or IDX_FOLDER
    else:
        found = kind_of_file(path)
        if found == TEXT and path.suffix.lower() == ".csv":
            found = CSV  # with faults, which its reader names
        added = FILES.get(found or "") or (_added(path.suffix) if path.suffix else None)
        if added is None:
            forms = ", ".join(dict.fromkeys(each.form for each in (*FILES.values(), IDX_FOLDER, PICTURES)))
            raise DatasetError(
                f"{path} is {found or ('of an unknown format' if path.stat().st_size else 'empty')}, expected {forms}"
                + (f"; {remedy}" if (remedy := remedy_of(found)) else "")
            )
        kind = added
    parts: Parts = kind.call(path)
    return parts


def _has_dataset(folder: Path) -> bool:
    return any((folder / part / MANIFEST).exists() for part in (".", "train", "test"))


def _kind_of_folder(folder: Path) -> Kind | None:
    """Return the kind of rows in a folder, by the names in it; None if there are none, or a dataset."""
    if _has_dataset(folder):
        return None
    found = sorted(folder.iterdir())
    if any(
        path.suffix in _TABLE_NAMES for each in (folder, folder / "train") if each.is_dir() for path in each.iterdir()
    ):
        return _TABLES
    if any("-images" in path.name and "idx3" in path.name for path in found):
        return IDX_FOLDER
    classes = [path for each in found if each.is_dir() for path in (each, *each.iterdir()) if path.is_dir()]
    if any(path.suffix.lower() in _PICTURE_NAMES for each in classes for path in each.iterdir()):
        return PICTURES
    return None


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

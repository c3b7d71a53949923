"""Files and folders in stores and on web servers, copied into a temporary folder for as long as they are read."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

from ddmlp.data.store import SCHEMES as STORES
from ddmlp.data.store import Store
from ddmlp.errors import ConfigError, DataError, DownloadError, StoreError, printable, reason_of

WEB = ("http", "https")
SCHEMES = (*STORES, *WEB)
BLOCK_BYTES = 1 << 20
SPARE_BYTES = 1 << 28  # of the disk, to leave free
TIMEOUT = 60.0  # seconds without a byte
THREADS = 8  # that copy the files of a folder

Room = Callable[[int], None]


@contextmanager
def copied(uri: str) -> Iterator[Path]:
    """Copy the file or the folder at a URI for the block; yields the copy.

    Errors in the data then name the URI, without what follows its ?, which may be secret.

    Parameters
    ----------
    uri : str
        file:///PATH (which is not copied), http://HOST/FILE, https://HOST/FILE, or the URI of a `Store`.

    Raises
    ------
    ConfigError
        The URI is malformed, or has credentials.
    DownloadError
        A web server does not deliver the file, or it does not fit on the disk.
    StoreError
        A store cannot be used, or the files do not fit on the disk.
    """
    if uri.startswith("file://"):
        yield Path(unquote(urlsplit(uri).path))
        return
    shown = printable(uri.partition("?")[0].rstrip("/"))
    web = uri.partition("://")[0] in WEB
    if web:
        _check_web(uri, shown)
    with tempfile.TemporaryDirectory(prefix="ddmlp-") as name:
        path = Path(name) / (re.sub(r"[^\w.-]", "_", PurePosixPath(shown.partition("://")[2]).name) or "data")
        if web:
            _download(uri, shown, path)
        else:
            _copy(Store(uri), path)
        try:
            yield path
        except DataError as error:
            if str(path) not in str(error):
                raise
            raise type(error)(str(error).replace(str(path), shown)) from None


def _check_web(uri: str, shown: str) -> None:
    """Raise ConfigError for a URI that has credentials or no host."""
    try:
        parts = urlsplit(uri)
        has_host = bool(parts.hostname)
    except ValueError:
        raise ConfigError(f"{shown} is malformed, expected http://HOST/FILE or https://HOST/FILE") from None
    if "@" in parts.netloc:
        raise ConfigError(f"the URI of a file at {parts.scheme}:// has an @ in its host, expected no credentials")
    if not has_host or not uri.isascii() or not uri.isprintable() or " " in uri:
        raise ConfigError(f"{shown} is malformed, expected http://HOST/FILE or https://HOST/FILE")


def _download(uri: str, shown: str, path: Path) -> None:
    """Write what a web server sends to a file."""
    room = shutil.disk_usage(path.parent).free - SPARE_BYTES
    try:
        with urlopen(uri, timeout=TIMEOUT) as response, path.open("wb") as file:
            total, size = response.length, 0
            while True:
                if max(size, total or 0) > room:
                    raise DownloadError(
                        f"{shown} has {max(size, total or 0):,} bytes or more, but {path.parent.parent} has room for "
                        f"{max(0, room):,}; free some, or set TMPDIR"
                    )
                block = response.read(BLOCK_BYTES)
                if not block:
                    break
                size += len(block)
                file.write(block)
    except HTTPError as error:
        error.close()
        raise DownloadError(f"{shown}: found HTTP status {error.code} ({error.reason}), expected the file") from None
    except HTTPException as error:
        raise DownloadError(f"{shown}: the connection broke off ({type(error).__name__}); try again") from None
    except OSError as error:
        raise DownloadError(f"{shown}: cannot be downloaded ({reason_of(error)}); try again") from None
    if total is not None and size != total:
        raise DownloadError(f"{shown}: the connection broke off after {size:,} of {total:,} bytes; try again")


def _copy(store: Store, path: Path) -> None:
    """Copy the file or the folder that a store is into `path`."""
    files = store.files()
    size, room = sum(size for _, size in files), shutil.disk_usage(path.parent).free - SPARE_BYTES
    if size > room:
        raise StoreError(
            f"{store.shown} has {size:,} bytes, but {path.parent.parent} has room for {max(0, room):,}; free some, or "
            "set TMPDIR"
        )
    if not files:
        raise StoreError(f"{store.shown} has no files, expected a file or a folder of rows; check the name")

    def copy(name: str) -> None:
        target = path / name if name else path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            store.read(name, file)

    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(copy, [name for name, _ in files]):
            pass

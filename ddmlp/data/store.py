"""A store: named files in a folder of another file system, or in a bucket of S3, Google Cloud Storage or Azure."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ddmlp.errors import ConfigError, StoreError, printable

SCHEMES = ("file", "s3", "gs", "abfs", "abfss")
AZURE_KEY = "AZURE_STORAGE_KEY"  # the environment variable; pyarrow knows others, but not the key of an account
CHUNK = 1 << 22  # bytes that are read or written at a time
# What may follow the ? of a URI: options of pyarrow's file systems that are no secrets.
OPTIONS = {
    "region",
    "scheme",
    "endpoint_override",
    "force_virtual_addressing",
    "tls_ca_file_path",
    "tls_ca_dir_path",
    "retry_limit_seconds",
    "project_id",
    "blob_storage_authority",
    "dfs_storage_authority",
    "enable_tls",
    "credential_kind",
}
# What may precede the @ of a URI: of gs, for no credentials; of Azure, the container, or the account.
NAMES = {"gs": "anonymous", "abfs": r"[$a-z0-9-]{1,63}", "abfss": r"[$a-z0-9-]{1,63}"}


def is_store(text: object) -> bool:
    """Return whether a text has the form of a store's URI.

    >>> is_store("s3://bucket/runs/one"), is_store("runs/one")
    (True, False)
    """
    return isinstance(text, str) and text.partition("://")[0] in SCHEMES and "://" in text


def check_uri(uri: str) -> None:
    """Raise ConfigError unless `uri` names a store, without credentials: a URI is printed, and others can list it.

    No message has a part of the URI that may be secret.
    """
    if not is_store(uri) or "\0" in uri:
        raise ConfigError(
            "a store is given by a URI, file:///FOLDER, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or "
            "abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER"
        )
    scheme, _, rest = uri.partition("://")
    rest = unquote(rest)
    where, _, query = rest.partition("?")
    bare = re.sub(f"^{NAMES[scheme]}@", "", where) if scheme in NAMES else where
    if scheme != "file" and "@" in bare + query:
        raise ConfigError(
            f"the URI of a store at {scheme}:// has an @, expected none: credentials come from the environment or the "
            "configuration files of the provider"
        )
    try:
        named = [name for name, _ in parse_qsl(urlsplit(uri).query, keep_blank_values=True, strict_parsing=bool(query))]
    except ValueError:
        raise ConfigError(f"the URI of a store at {scheme}:// has a malformed part after its ?") from None
    if unknown := sorted(set(named) - OPTIONS):
        shown = unknown[0] if re.fullmatch(r"[a-z_]{1,40}", unknown[0]) else "an unknown one"
        raise ConfigError(f"the URI of a store has the option {shown}, expected one of {', '.join(sorted(OPTIONS))}")
    if not bare.strip("/"):
        raise ConfigError(f"the URI of a store at {scheme}:// names no {'folder' if scheme == 'file' else 'bucket'}")


class Store:
    """Files with names, but without folders, in one place.

    Credentials come from where the provider's own tools find them, for example AWS_ACCESS_KEY_ID or AZURE_STORAGE_KEY.

    Parameters
    ----------
    uri : str
        file:///FOLDER, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER,
        as `pyarrow.fs` reads it.

    Attributes
    ----------
    shown : str
        The URI without its options.

    Raises
    ------
    ConfigError
        The URI names no store, or has credentials.
    StoreError
        The store cannot be used; also raised by each method.

    Examples
    --------
    >>> store = Store(Path("elsewhere").absolute().as_uri())
    >>> Path("local").write_bytes(b"123")
    3
    >>> store.write("numbers", Path("local"))
    >>> store.names(), store.sha256("numbers")[:8]
    (['numbers'], 'a665a459')
    >>> store.delete("numbers")
    >>> store.names()
    []
    """

    def __init__(self, uri: str) -> None:
        check_uri(uri)
        self.shown = uri.partition("?")[0].rstrip("/")
        with self._naming("open it"):
            from pyarrow import fs

            self._fs = fs
            self._system, path = fs.FileSystem.from_uri(uri)
            if uri.startswith("abfs") and (key := os.environ.get(AZURE_KEY)) and "credential_kind=" not in uri:
                _, (settings,) = self._system.__reduce__()  # what pickle would make a copy from
                self._system = fs.AzureFileSystem(**{**settings, "account_key": key})
        self._path = path.rstrip("/")
        if uri.startswith("abfs") and not self._path:
            raise ConfigError("the URI of a store at abfs:// names no container")

    def names(self) -> list[str]:
        """Return the names of the files, sorted."""
        with self._naming("list its files"):
            selector = self._fs.FileSelector(self._path, allow_not_found=True)
            found = self._system.get_file_info(selector)
            bucket = self._path.partition("/")[0]  # empty if the path is that of a local folder
            if not found and bucket and self._system.get_file_info(bucket).type == self._fs.FileType.NotFound:
                raise FileNotFoundError(f"there is no bucket {bucket}")
        return sorted(each.base_name for each in found if each.type == self._fs.FileType.File)

    def files(self) -> list[tuple[str, int]]:
        """Return the names, with folders, and the sizes of all files; one without a name if the URI is that of a file.

        Raises StoreError for a name that would be a place outside of the folder.
        """
        with self._naming("list its files"):
            whole = self._system.get_file_info(self._path)
            if whole.type == self._fs.FileType.File:
                return [("", whole.size)]
            selector = self._fs.FileSelector(self._path, recursive=True, allow_not_found=True)
            found = [each for each in self._system.get_file_info(selector) if each.type == self._fs.FileType.File]
        names = sorted((each.path.removeprefix(f"{self._path}/"), each.size) for each in found)
        if wrong := [name for name, _ in names if {"", ".", ".."} & set(name.split("/"))]:
            raise StoreError(f"the store {self.shown} has the file {printable(wrong[0])}, expected no . or .. in names")
        return names

    def write(self, name: str, source: Path) -> None:
        """Copy a local file into the store. After a crash the copy may be cut off, or missing."""
        with self._naming(f"write {name}"), source.open("rb") as file:
            if isinstance(self._system, self._fs.LocalFileSystem):  # the others have no folders
                self._system.create_dir(self._path)
            with self._system.open_output_stream(f"{self._path}/{name}") as sink:
                while chunk := file.read(CHUNK):
                    sink.write(chunk)

    def read(self, name: str, sink: IO[bytes] | None = None) -> str:
        """Read a file, the whole store if `name` is empty, and return its SHA-256. sink: receives its bytes."""
        digest = hashlib.sha256()
        with self._naming(f"read {name}"), self._system.open_input_stream(self._place(name)) as source:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                if sink:
                    sink.write(chunk)
        return digest.hexdigest()

    def sha256(self, name: str) -> str:
        """Read a file, and return its SHA-256."""
        return self.read(name)

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        with self._naming(f"delete {name}"):
            try:
                self._system.delete_file(f"{self._path}/{name}")
            except FileNotFoundError:
                return

    def _place(self, name: str) -> str:
        return f"{self._path}/{name}" if name else self._path

    @contextmanager
    def _naming(self, what: str) -> Iterator[None]:
        """Raise an error from the block as a StoreError that names the store."""
        import pyarrow as pa

        try:
            yield
        except (OSError, ValueError, NotImplementedError, pa.ArrowException) as error:
            raise StoreError(f"the store {self.shown} cannot {what}: {_line(error)}") from None


def _line(error: Any) -> str:
    return " ".join(str(error).split()) or type(error).__name__

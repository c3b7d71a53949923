"""A dataset's manifest, `dataset.json`: what it holds, and the SHA-256 of every shard. Written last."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ddmlp.errors import DatasetError, printable
from ddmlp.files import write_whole

NAME = "dataset.json"
FORMAT = "ddmlp-dataset"
VERSION = 1
MAX_PIXELS = 1 << 24  # of an image: what a source claims is not believed without a bound

Count = Annotated[int, Meta(ge=1, le=2**53)]


class Shard(Struct, frozen=True, forbid_unknown_fields=True):
    """One Arrow IPC file of a dataset: its plain name in the folder, its rows, its size in bytes and its SHA-256."""

    file: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")]
    rows: Count
    bytes: Count
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a dataset holds; its fields, in this order, are those of the file.

    Parameters
    ----------
    rows : int
        In all shards.
    image_shape : (height, width)
        In pixels.
    classes : int
        Labels are 0..classes-1.
    batch_rows : int
        Rows of each Arrow record batch but a shard's last, which may have fewer.
    shards : tuple of Shard
        In the order of the rows.
    ended : bool
        The writer has marked the end: no rows will be added.
    class_names : tuple of str, optional
        Of the classes 0, 1, ...: all different, each 1 to 100 printable characters.
    """

    rows: Count
    image_shape: tuple[Count, Count]
    classes: Annotated[int, Meta(ge=1, le=256)]
    batch_rows: Count
    shards: tuple[Shard, ...]
    ended: bool = False
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.pixels > MAX_PIXELS:
            raise ValueError(f"image_shape is {self.image_shape}, expected {MAX_PIXELS:,} pixels at most")
        if len({shard.file for shard in self.shards}) != len(self.shards):
            raise ValueError("two of its shards are the same file")
        if (total := sum(shard.rows for shard in self.shards)) != self.rows:
            raise ValueError(f"rows is {self.rows}, but its shards hold {total}")
        if self.class_names is not None:
            check_names(self.class_names, self.classes)

    @property
    def pixels(self) -> int:
        """Pixels of a row: the network's inputs m."""
        return self.image_shape[0] * self.image_shape[1]

    def sha256(self) -> str:
        """The dataset's fingerprint: SHA-256 over the manifest's text, and through it over every byte of data, but not
        over `ended` and `class_names`: weights do not depend on them."""
        return _sha256(_text(self._fields()))

    def form(self) -> str:
        """SHA-256 over what stays as it is while a dataset grows, however it is cut: image_shape and classes."""
        return _sha256(_text({"image_shape": self.image_shape, "classes": self.classes}))

    def identity(self, *, growing: bool) -> str:
        """What training data are known by: every byte, or, if rows may still be added, how a row looks."""
        return self.form() if growing else self.sha256()

    def prefix(self, shards: int) -> "Manifest":
        """The manifest of the first so many shards, 1 or more, not ended; raises DatasetError if there are fewer."""
        if not 1 <= shards <= len(self.shards):
            raise DatasetError(
                f"a dataset of {len(self.shards)} shards has no first {shards}; expected at least as many shards as "
                "were read before: restore it"
            )
        kept = self.shards[:shards]
        return msgspec.structs.replace(self, rows=sum(shard.rows for shard in kept), shards=kept, ended=False)

    def write(self, folder: Path) -> None:
        ended = {"ended": True} if self.ended else {}
        names = {"class_names": self.class_names} if self.class_names else {}
        write_whole(folder / NAME, _text(self._fields() | ended | names))

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read and check the manifest in `folder`; raises DatasetError."""
        path = folder / NAME
        try:
            found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
            if (kind := (found.pop("format", None), found.pop("version", None))) != (FORMAT, VERSION):
                raise ValueError(f"its `format` and `version` are {kind}, expected {(FORMAT, VERSION)}")
            return msgspec.convert(found, cls)
        except (FileNotFoundError, NotADirectoryError):
            raise DatasetError(f"{folder} is no dataset: it has no {NAME}; `ddmlp convert` makes one") from None
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            why = printable(" ".join(str(error).split()))
            raise DatasetError(f"{path} is damaged: {why}; convert the data again") from error

    def _fields(self) -> dict[str, Any]:
        """What the fingerprint covers, as JSON has it."""
        fields: dict[str, Any] = {"format": FORMAT, "version": VERSION, **msgspec.to_builtins(self)}
        del fields["ended"], fields["class_names"]
        return fields


def check_names(names: Sequence[str], classes: int) -> None:
    """Check the names of so many classes; raises ValueError."""
    if len(names) != classes:
        raise ValueError(f"found {len(names)} class names, expected {classes}, one for each class")
    for index, name in enumerate(names):
        if not (1 <= len(name) <= 100 and name.isprintable() and name == name.strip()):
            raise ValueError(f"the name of class {index} is {name!r}, expected 1 to 100 printable characters")
        if (other := names.index(name)) != index:
            raise ValueError(f"the classes {other} and {index} have the same name, {name!r}")


def _text(fields: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(fields), indent=1) + b"\n"


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()

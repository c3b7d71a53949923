"""The manifest of a dataset, `dataset.json`: its form and the SHA-256 of every shard. Written last."""

import hashlib
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ddmlp.data.position import EventTime, Position
from ddmlp.errors import DatasetError, printable
from ddmlp.files import write_whole

NAME = "dataset.json"
FORMAT = "ddmlp-dataset"
VERSION = 1
MAX_PIXELS = 1 << 24  # of an image; bounds what a damaged source can claim
MAX_CLASSES = 256  # labels are uint8

Count = Annotated[int, Meta(ge=1, le=2**53)]


class Shard(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One Arrow IPC file of a dataset.

    Parameters
    ----------
    file : str
        The name in the dataset's folder, without a path.
    rows, bytes : int
        The number of rows, and the size in bytes.
    sha256 : str
        SHA-256 of the file, in hexadecimal.
    time : int or None
        The event time of the newest message up to its last row, in milliseconds since 1970 (UTC), if it is known. It
        is older if messages that were read together are divided between this shard and the next one.
    """

    file: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")]
    rows: Count
    bytes: Count
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    time: EventTime | None = None


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """The description of a dataset. The fields have the order of the file.

    Parameters
    ----------
    rows : int
        The number of rows in all shards.
    image_shape : tuple of int
        (height, width) in pixels.
    classes : int
        The number of classes, 1 to 256; labels are 0 to classes-1.
    batch_rows : int
        Rows per Arrow record batch; the last batch of a shard may have fewer.
    shards : tuple of Shard
        The shards, in the order of the rows.
    ended : bool
        Whether the dataset is complete: no rows will be added.
    class_names : tuple of str, optional
        The names of the classes 0, 1, ...: all different, each 1 to 100 printable characters.
    position : Position, optional
        The position in a stream after these rows, if they come from one that has positions.

    Raises
    ------
    ValueError
        The fields contradict each other.

    Examples
    --------
    >>> shard = Shard("00000-9c56cc51b374.arrow", rows=2, bytes=1234, sha256="9c56cc51b374" + 52 * "0")
    >>> manifest = Manifest(rows=2, image_shape=(28, 28), classes=10, batch_rows=1000, shards=(shard,))
    >>> manifest.pixels
    784
    >>> manifest.write(Path())
    >>> Manifest.read(Path()) == manifest
    True
    """

    rows: Count
    image_shape: tuple[Count, Count]
    classes: Annotated[int, Meta(ge=1, le=MAX_CLASSES)]
    batch_rows: Count
    shards: tuple[Shard, ...]
    ended: bool = False
    class_names: tuple[str, ...] | None = None
    position: Position | None = None

    def __post_init__(self) -> None:
        checked_form(self.image_shape, self.classes)
        if len({shard.file for shard in self.shards}) != len(self.shards):
            raise ValueError("two entries of shards name the same file")
        if (total := sum(shard.rows for shard in self.shards)) != self.rows:
            raise ValueError(f"rows is {self.rows}, but the shards have {total} rows")
        if self.class_names is not None:
            check_names(self.class_names, self.classes)

    @property
    def pixels(self) -> int:
        """The number of pixels per row: the network's m inputs."""
        return self.image_shape[0] * self.image_shape[1]

    def sha256(self) -> str:
        """Return the fingerprint of the dataset, in hexadecimal.

        It is the SHA-256 of the manifest's text, which has the SHA-256 of every shard, so it covers every byte of data.
        It leaves out `ended`, `class_names`, `position` and the times of shards, because weights do not depend on them.
        """
        return _sha256(_text(self._fields()))

    def form(self) -> str:
        """Return the SHA-256 of what stays the same while a dataset grows: image_shape and classes."""
        return _sha256(_text({"image_shape": self.image_shape, "classes": self.classes}))

    def identity(self, *, growing: bool) -> str:
        """Return what identifies training data: `sha256()`, or `form()` if rows may still be added."""
        return self.form() if growing else self.sha256()

    def time_at(self, rows: int) -> int | None:
        """Return the time of the last shard that ends within the first `rows` rows; None if it is not known."""
        time = None
        for shard in self.shards:
            if (rows := rows - shard.rows) < 0:
                break
            time = shard.time
        return time

    def prefix(self, shards: int) -> "Manifest":
        """Return the manifest of the first `shards` shards, not ended; raises DatasetError if it has fewer."""
        if not 1 <= shards <= len(self.shards):
            raise DatasetError(
                f"the dataset has {len(self.shards)} shards, expected at least the {shards} that were read before; "
                "restore it"
            )
        kept = self.shards[:shards]
        rows = sum(shard.rows for shard in kept)
        return msgspec.structs.replace(self, rows=rows, shards=kept, ended=False, position=None)

    def write(self, folder: Path) -> None:
        """Write the manifest into `folder`, replacing the old one atomically; raises OSError."""
        ended = {"ended": True} if self.ended else {}
        names = {"class_names": self.class_names} if self.class_names else {}
        position = {"position": msgspec.to_builtins(self.position)} if self.position else {}
        fields = self._fields() | {"shards": msgspec.to_builtins(self.shards)}
        write_whole(folder / NAME, _text(fields | ended | names | position))

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read and check the manifest in `folder`.

        Raises
        ------
        DatasetError
            There is no manifest, or it is damaged.
        """
        path = folder / NAME
        try:
            found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
            if (kind := (found.pop("format", None), found.pop("version", None))) != (FORMAT, VERSION):
                raise ValueError(f"`format` and `version` are {kind}, expected {(FORMAT, VERSION)}")
            return msgspec.convert(found, cls)
        except (FileNotFoundError, NotADirectoryError):
            raise DatasetError(
                f"{folder} is not a dataset: it has no {NAME}; create one with `ddmlp convert`"
            ) from None
        except OSError as error:
            raise DatasetError(
                f"{path} cannot be read: {error.strerror}; expected the manifest of a dataset"
            ) from error
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            why = printable(" ".join(str(error).split()))
            raise DatasetError(f"{path} is damaged: {why}; convert the data again") from error

    def _fields(self) -> dict[str, Any]:
        """Return what the fingerprint covers, as JSON values."""
        fields: dict[str, Any] = {"format": FORMAT, "version": VERSION, **msgspec.to_builtins(self)}
        del fields["ended"], fields["class_names"], fields["position"]
        for shard in fields["shards"]:
            shard.pop("time", None)
        return fields


def checked_form(image_shape: Any, classes: Any) -> tuple[tuple[int, int], int]:
    """Return the shape and the number of classes as Python's ints; raises ValueError if no dataset can have them."""
    try:
        height, width = image_shape = tuple(map(operator.index, image_shape))
        classes = operator.index(classes)
    except (TypeError, ValueError):
        raise ValueError(
            f"image_shape is {image_shape!r} and classes is {classes!r}, expected (height, width) and a whole number"
        ) from None
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"image_shape is {image_shape}, expected (height, width) with 1 to {MAX_PIXELS:,} pixels")
    if not 1 <= classes <= MAX_CLASSES:
        raise ValueError(f"classes is {classes}, expected 1 to {MAX_CLASSES}")
    return (height, width), classes


def check_names(names: Sequence[str], classes: int) -> None:
    """Raise ValueError if `names` cannot be the names of this number of classes."""
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"class_names is {names!r}, expected a tuple of str")
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

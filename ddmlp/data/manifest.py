"""A dataset's manifest, `dataset.json`: what it holds, and the SHA-256 of every shard. Written last."""

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ddmlp.errors import DatasetError
from ddmlp.files import write_whole

NAME = "dataset.json"
FORMAT = "ddmlp-dataset"
VERSION = 1


@dataclass(frozen=True)
class Shard:
    """One Arrow IPC file of a dataset: its name in the folder, its rows, its size in bytes and its SHA-256."""

    file: str
    rows: int
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if type(self.file) is not str or not re.fullmatch(r"\w[\w.-]*", self.file, re.ASCII):
            raise ValueError(f"a shard's file is {self.file!r}, and must be a plain file name")
        for name, value, least in [("rows", self.rows, 1), ("bytes", self.bytes, 1)]:
            _check_whole(f"{name} of shard {self.file}", value, least)
        if type(self.sha256) is not str or not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 of shard {self.file} is {self.sha256!r}, and must be 64 hexadecimal digits")


@dataclass(frozen=True)
class Manifest:
    """rows: in all shards; image_shape: (height, width); classes: labels are 0..classes-1; batch_rows: rows of each
    Arrow record batch but a shard's last; shards: in row order; ended: the writer has marked the end, no rows will be
    added."""

    rows: int
    image_shape: tuple[int, int]
    classes: int
    batch_rows: int
    shards: tuple[Shard, ...]
    ended: bool = False

    def __post_init__(self) -> None:
        _check_whole("rows", self.rows, 1)
        _check_whole("classes", self.classes, 1, 256)
        _check_whole("batch_rows", self.batch_rows, 1)
        if len({shard.file for shard in self.shards}) != len(self.shards):
            raise ValueError("two of its shards are the same file")
        if len(self.image_shape) != 2:
            raise ValueError(f"image_shape is {self.image_shape!r}, and must be [height, width]")
        for side in self.image_shape:
            _check_whole("a side of image_shape", side, 1)
        if (total := sum(shard.rows for shard in self.shards)) != self.rows:
            raise ValueError(f"rows is {self.rows}, but its shards hold {total}")
        if type(self.ended) is not bool:
            raise ValueError(f"ended is {self.ended!r}, and must be true or false")

    @property
    def pixels(self) -> int:
        """Pixels of a row: the network's inputs m."""
        return self.image_shape[0] * self.image_shape[1]

    def sha256(self) -> str:
        """The dataset's fingerprint: SHA-256 over the manifest's text, and through it over every byte of data, but not
        over `ended`."""
        return _sha256(_text(self._fields()))

    def form(self) -> str:
        """SHA-256 over what stays as it is while a dataset grows, however it is cut: image_shape and classes."""
        return _sha256(_text({"image_shape": self.image_shape, "classes": self.classes}))

    def identity(self, *, growing: bool) -> str:
        """What training data are known by: every byte, or, if rows may still be added, how a row looks."""
        return self.form() if growing else self.sha256()

    def prefix(self, shards: int) -> "Manifest":
        """The manifest of the first so many shards, 1 or more, not ended; raises DatasetError where there are fewer."""
        if not 1 <= shards <= len(self.shards):
            raise DatasetError(
                f"a dataset of {len(self.shards)} shards has no first {shards}; expected at least as many shards as "
                "were read before: restore it"
            )
        kept = self.shards[:shards]
        return replace(self, rows=sum(shard.rows for shard in kept), shards=kept, ended=False)

    def write(self, folder: Path) -> None:
        write_whole(folder / NAME, _text(self._fields() | ({"ended": True} if self.ended else {})))

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read and check the manifest in `folder`; raises DatasetError."""
        path = folder / NAME
        try:
            found: dict[str, Any] = json.loads(path.read_bytes())
            if type(found) is not dict:
                raise ValueError("it is no JSON object")
            if (kind := (found.pop("format"), found.pop("version"))) != (FORMAT, VERSION):
                raise ValueError(f"its format and version are {kind}, and must be {(FORMAT, VERSION)}")
            shards = tuple(Shard(**shard) for shard in found.pop("shards"))
            return cls(image_shape=tuple(found.pop("image_shape")), shards=shards, **found)
        except (FileNotFoundError, NotADirectoryError):
            raise DatasetError(f"{folder} is no dataset: it has no {NAME}; make one with tools/idx2arrow.py") from None
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
        except KeyError as error:
            raise DatasetError(f"{path} is damaged: it has no {error}; convert the data again") from None
        except (AttributeError, TypeError, ValueError, RecursionError) as error:
            why = " ".join(str(error).split())
            raise DatasetError(f"{path} is damaged: {why}; convert the data again") from error

    def _fields(self) -> dict[str, Any]:
        """What the fingerprint covers, as JSON has it."""
        fields = {"format": FORMAT, "version": VERSION, **vars(self), "shards": [vars(shard) for shard in self.shards]}
        del fields["ended"]
        return fields


def _text(fields: dict[str, Any]) -> str:
    return json.dumps(fields, indent=1) + "\n"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _check_whole(name: str, value: object, least: int, most: int = 2**53) -> None:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is {value!r}, and must be a whole number from {least} to {most}")

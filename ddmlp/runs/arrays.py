"""Named arrays in .npz files, whole or not at all. Nothing in them is pickled.

Such a file is read only as NumPy's `savez` writes it: members that are stored, one behind the other, each an array of
numbers. So a damaged header reaches no parser that would take it for something else.
"""

import hashlib
import io
import os
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeVar

import numpy as np

from ddmlp.data.signatures import BEGIN, NPZ, kind_of
from ddmlp.errors import RunError, printable
from ddmlp.files import whole_file
from ddmlp.nn.weights import Weights
from ddmlp.runs.json_text import from_json, to_json

Array: TypeAlias = np.ndarray[Any, Any]
T = TypeVar("T")

ABOUT = "about"  # the name of an array that describes the others, see `from_record`

_TYPE = r"[<>|](?:f[248]|[iu][1248]|b1)"
_HEADER = re.compile(  # of an array in NumPy's format .npy 1.0, as it writes them
    rb"\x93NUMPY\x01\x00(?P<size>..)"
    rb"\{'descr': '(?P<type>" + _TYPE.encode() + rb")', 'fortran_order': (?P<columns>True|False), "
    rb"'shape': \((?P<shape>(?:[0-9]{1,18},(?: [0-9]{1,18}(?:, [0-9]{1,18}){0,30})?)?)\), \} *\n",
    re.DOTALL,
)
_UTF8 = 0x800  # the one flag of a member that may be set: how its name is written
_NOT_ZIP = (zipfile.BadZipFile, struct.error, ValueError, OverflowError, RuntimeError, EOFError)  # of zipfile


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write an .npz file of these arrays of numbers; raises OSError."""
    for name, array in arrays.items():
        if not re.fullmatch(_TYPE, array.dtype.str):
            raise ValueError(f"{name} has the type {array.dtype}, which load_arrays does not read")
    # Into memory first: zipfile seeks, and a full disk should be met by one write.
    buffer = io.BytesIO()
    contents: dict[str, Any] = dict(arrays)
    np.savez(buffer, allow_pickle=False, **contents)
    with whole_file(path) as file:
        file.write(buffer.getbuffer())


def load_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an .npz file, by name; raises RunError if it is damaged, or no such file."""
    try:
        with path.open("rb") as file:
            return dict(_read(file))
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from None
    except _NOT_ZIP as error:
        with path.open("rb") as file:
            kind = kind_of(file.read(BEGIN))
        if kind not in (None, NPZ):
            raise RunError(f"{path} is {kind}, expected an .npz file") from None
        raise RunError(f"{path} is damaged, or no .npz file: {printable(str(error))}") from None


def _read(file: IO[bytes]) -> Iterator[tuple[str, Array]]:
    """Each array with its name. Every byte of the file is one of a member, or of what says where they are."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 22))
    last = file.read()
    if not (last.startswith(b"PK\5\6") and last.endswith(b"\0\0")):
        raise ValueError("it does not end as a zip archive does")
    with zipfile.ZipFile(file) as archive:
        place, names = 0, set()
        for member in sorted(archive.infolist(), key=lambda each: each.header_offset):
            name = member.filename.removesuffix(".npy")
            if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & ~_UTF8:
                raise ValueError(f"{name} is compressed or encrypted, expected as numpy.savez writes it")
            if name in names:
                raise ValueError(f"{name} is there twice")
            names.add(name)
            file.seek(place + 26)
            before = 30 + sum(struct.unpack("<HH", file.read(4)))  # the member's header, its name and what is extra
            if member.header_offset != place or member.file_size != member.compress_size:
                raise ValueError(f"{name} does not begin where the member before it ends")
            place += before + member.file_size
            if place > archive.start_dir:
                raise ValueError(f"{name} is cut")
            yield name, _array(name, archive.read(member))
        if place != archive.start_dir:
            raise ValueError(f"{archive.start_dir - place} bytes lie behind the last array")


def _array(name: str, member: bytes) -> Array:
    """The array that a member of an .npz file holds."""
    found = _HEADER.match(member)
    if found is None or int.from_bytes(found["size"], "little") != found.end() - 10:
        raise ValueError(f"{name} is no array of numbers in NumPy's format .npy 1.0")
    numbers = np.frombuffer(member, np.dtype(found["type"].decode()), offset=found.end())
    shape = tuple(int(part) for part in found["shape"].split(b",") if part)
    return numbers.reshape(shape, order="F" if found["columns"] == b"True" else "C").copy("K")


def from_record(record: object) -> Array:
    """A record as its JSON text, UTF-8 bytes (n,) uint8."""
    return np.frombuffer(to_json(record).encode(), np.uint8)


def to_record(array: Array, kind: type[T]) -> T:
    """The record of this kind that an array holds; raises ValueError."""
    if array.dtype != np.uint8 or array.ndim != 1:
        raise ValueError(f"its description is {array.dtype} {array.shape}, expected bytes of a text")
    return from_json(array.tobytes(), kind)


def weight_arrays(weights: Weights) -> dict[str, Array]:
    """Copies of the parameters, by name, row by row."""
    return {name: array.copy("C") for name, array in weights.parameters.items()}


def join_weights(path: Path, arrays: Mapping[str, Array]) -> Weights:
    """The weights of the file `path`, of which `arrays` are all parameters: floats, rounded to float32.

    Raises RunError if one is missing or unknown, or if they do not fit each other.
    """
    try:
        if len(kinds := {array.dtype for array in arrays.values()}) > 1 or any(kind.kind != "f" for kind in kinds):
            found = ", ".join(f"{name} is {array.dtype}" for name, array in arrays.items())
            raise ValueError(f"{found}, expected floats of one type")
        return Weights.of(arrays)
    except ValueError as error:
        raise RunError(f"{path} has no weights of this network: {printable(str(error))}") from None


def array_sha256(array: Array) -> str:
    """SHA-256 over an array's shape, type and little-endian bytes."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{little.dtype.str} {little.shape} ".encode() + little.tobytes()).hexdigest()

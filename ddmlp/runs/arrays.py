"""Named arrays in .npz files, written whole or not at all. Nothing in them is pickled.

Only files as NumPy's `savez` writes them are read: uncompressed members, one after the other, each an array of numbers.
So a damaged header never reaches a parser that could misread it.
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

from ddmlp.data.npy import TYPE, NpyHeader
from ddmlp.data.signatures import BEGIN, NPZ, kind_of
from ddmlp.errors import RunError, printable
from ddmlp.files import whole_file
from ddmlp.nn.weights import Weights
from ddmlp.runs.json_text import from_json, to_json

Array: TypeAlias = np.ndarray[Any, Any]
T = TypeVar("T")

ABOUT = "about"  # the array that describes the others; see `from_record`

_UTF8 = 0x800  # the only flag that a member may have: its name is UTF-8
_NOT_ZIP = (zipfile.BadZipFile, struct.error, ValueError, OverflowError, RuntimeError, EOFError)  # raised by zipfile


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays to an .npz file, whole or not at all.

    Parameters
    ----------
    path
        The file; it is replaced if it exists.
    arrays
        Arrays by name, of any shape, of a boolean, integer or floating-point type of at most 64 bits.

    Raises
    ------
    ValueError
        If an array has another type. The file stays as it was.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "arrays.npz"
    ...     save_arrays(path, {"a": np.arange(3, dtype=np.uint8)})
    ...     load_arrays(path)
    {'a': array([0, 1, 2], dtype=uint8)}
    """
    for name, array in arrays.items():
        if not re.fullmatch(TYPE, array.dtype.str):
            raise ValueError(f"{name} has type {array.dtype}, which load_arrays cannot read; expected numbers")
    # Written to memory first: zipfile seeks, and a full disk should fail one single write.
    buffer = io.BytesIO()
    contents: dict[str, Any] = dict(arrays)
    np.savez(buffer, allow_pickle=False, **contents)
    with whole_file(path) as file:
        file.write(buffer.getbuffer())


def load_arrays(path: Path) -> dict[str, Array]:
    """Read the arrays of an .npz file that `save_arrays` or `numpy.savez` wrote.

    Returns
    -------
    dict
        Writeable arrays by name, with the shapes and types that were saved.

    Raises
    ------
    RunError
        If the file is missing, damaged, compressed, or not an .npz file of numbers.
    """
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
        raise RunError(f"{path} is damaged or not an .npz file: {printable(str(error))}") from None


def _read(file: IO[bytes]) -> Iterator[tuple[str, Array]]:
    """Yield each array with its name. Every byte of the file must belong to a member or to the zip directory."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 22))
    last = file.read()
    if not (last.startswith(b"PK\5\6") and last.endswith(b"\0\0")):
        raise ValueError("it does not end like a zip archive")
    with zipfile.ZipFile(file) as archive:
        place, names = 0, set()
        for member in sorted(archive.infolist(), key=lambda each: each.header_offset):
            name = member.filename.removesuffix(".npy")
            if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & ~_UTF8:
                raise ValueError(f"{name} is compressed or encrypted; expected the format of numpy.savez")
            if name in names:
                raise ValueError(f"{name} occurs twice")
            names.add(name)
            file.seek(place + 26)
            before = 30 + sum(struct.unpack("<HH", file.read(4)))  # the member's header, name and extra field
            if member.header_offset != place or member.file_size != member.compress_size:
                raise ValueError(f"{name} does not begin where the previous member ends")
            place += before + member.file_size
            if place > archive.start_dir:
                raise ValueError(f"{name} is truncated")
            yield name, _array(name, archive.read(member))
        if place != archive.start_dir:
            raise ValueError(f"{archive.start_dir - place} extra bytes follow the last array")


def _array(name: str, member: bytes) -> Array:
    """Parse a member of an .npz file."""
    try:
        header = NpyHeader.parse(member)
    except ValueError as error:
        raise ValueError(f"{name} is {error}") from None
    numbers = np.frombuffer(member, np.dtype(header.dtype), offset=header.size)
    return numbers.reshape(header.shape, order="F" if header.columns else "C").copy("K")


def from_record(record: object) -> Array:
    """Encode a record as JSON text: UTF-8 bytes, (n,) uint8."""
    return np.frombuffer(to_json(record).encode(), np.uint8)


def to_record(array: Array, kind: type[T]) -> T:
    """Decode a record of this kind from the bytes of its JSON text. Raises ValueError if they are not one."""
    if array.dtype != np.uint8 or array.ndim != 1:
        raise ValueError(f"its description is {array.dtype} {array.shape}, expected the bytes of a text, uint8 (n,)")
    return from_json(array.tobytes(), kind)


def weight_arrays(weights: Weights) -> dict[str, Array]:
    """Return C-contiguous copies of the parameters by name, without the padding that rows have in memory."""
    return {name: array.copy("C") for name, array in weights.parameters.items()}


def join_weights(path: Path, arrays: Mapping[str, Array]) -> Weights:
    """Make weights of all the parameters that a file holds.

    Parameters
    ----------
    path
        The file, for error messages.
    arrays
        The parameters by name, W1 (m, n) and W2 (n, o), of one floating-point type. They are rounded to float32.

    Raises
    ------
    RunError
        If a parameter is missing or unknown, or if types or shapes do not match.
    """
    try:
        if len(kinds := {array.dtype for array in arrays.values()}) > 1 or any(kind.kind != "f" for kind in kinds):
            found = ", ".join(f"{name} is {array.dtype}" for name, array in arrays.items())
            raise ValueError(f"{found}; expected one floating-point type")
        return Weights.of(arrays)
    except ValueError as error:
        raise RunError(f"{path} does not hold the weights of this network: {printable(str(error))}") from None


def array_sha256(array: Array) -> str:
    """Return the SHA-256, in hexadecimal, of an array's type, shape and little-endian bytes."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{little.dtype.str} {little.shape} ".encode() + little.tobytes()).hexdigest()

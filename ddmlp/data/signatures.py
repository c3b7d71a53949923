"""File formats by their first bytes, to name in messages what an unexpected file or stream is."""

import re
from codecs import getincrementaldecoder
from pathlib import Path

from ddmlp.errors import DatasetError

BEGIN = 512  # bytes to look at; a tar archive's signature is at byte 257

IDX = "an IDX file"
NPZ = "a NumPy .npz file"
PARQUET = "a Parquet file"
ARROW_FILE = "an Arrow IPC file (Feather)"
ARROW_STREAM = "an Arrow IPC stream"
CSV = "CSV text"
TEXT = "text"

_ARRAY_FIRST = rb"PK\x03\x04.{22}(?s:.){4}[^/]{1,60}\.npy"  # a zip archive whose first member is an array
_KINDS = [  # name, regular expression of the first bytes; the first match counts
    (NPZ, _ARRAY_FIRST),
    ("a zip archive", rb"PK(\x03\x04|\x05\x06|\x07\x08)"),
    ("gzip data", rb"\x1f\x8b"),
    ("Zstandard data", rb"\x28\xb5\x2f\xfd"),
    ("bzip2 data", rb"BZh[1-9]"),
    ("xz data", rb"\xfd7zXZ\x00"),
    ("a 7-Zip archive", rb"7z\xbc\xaf\x27\x1c"),
    ("a RAR archive", rb"Rar!\x1a\x07"),
    ("a tar archive", rb".{257}ustar"),
    ("a Git LFS pointer", rb"version https://git-lfs\.github\.com/"),
    ("a PNG picture", rb"\x89PNG\r\n\x1a\n"),
    ("a JPEG picture", rb"\xff\xd8\xff"),
    ("a GIF picture", rb"GIF8[79]a"),
    ("a BMP picture", rb"BM.{4}\x00{4}.{4}[\x0c-\x7f]\x00{3}"),
    ("a TIFF picture", rb"(II[*+]\x00|MM\x00[*+])"),
    ("a WebP picture", rb"RIFF.{4}WEBP"),
    ("an AVIF picture", rb"\x00\x00.{2}ftypavi[fs]"),
    ("an HEIC picture", rb"\x00\x00.{2}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)"),
    ("a JPEG XL picture", rb"(\xff\x0a|\x00{3}\x0cJXL \r\n\x87\n)"),
    ("a JPEG 2000 picture", rb"(\x00{3}\x0cjP {2}\r\n\x87\n|\xff\x4f\xff\x51)"),
    ("a PNM picture", rb"P[1-6]\s+[\d#]"),
    ("an icon (ICO)", rb"\x00\x00\x01\x00[\x01-\x20]\x00.{3}\x00[\x00\x01]\x00"),
    ("a PDF document", rb"%PDF-"),
    ("a video or a related file (MP4)", rb"\x00\x00.{2}ftyp"),
    ("a NumPy .npy file", rb"\x93NUMPY"),
    ("an HDF5 file", rb"\x89HDF\r\n\x1a\n"),
    ("a MATLAB file", rb"MATLAB [57]"),
    ("a pickle", rb"\x80[\x02-\x05][\x8a\x95\]}c(K]"),
    (PARQUET, rb"PAR1"),
    (ARROW_FILE, rb"ARROW1"),
    ("a Feather file of version 1", rb"FEA1"),
    (ARROW_STREAM, rb"\xff{4}(?!\x00{4}).{3}\x00[\x04-\x40]\x00{3}"),
    ("an Avro file", rb"Obj\x01"),
    ("an ORC file", rb"ORC"),
    ("an SQLite database", rb"SQLite format 3\x00"),
    ("a safetensors file", rb'.{4}\x00{4}\{"'),
    (IDX, rb"\x00\x00[\x08\x09\x0b-\x0e][\x01-\x04]"),
]
_SIGNATURES = [(kind, re.compile(begin, re.DOTALL)) for kind, begin in _KINDS]

_REMEDIES = {
    "a web page (HTML)": "download the file itself, not its web page",
    "a Git LFS pointer": "get the file itself with git lfs pull",
    "a zip archive": "unpack it",
    "a tar archive": "unpack it",
    "a 7-Zip archive": "unpack it",
    "a RAR archive": "unpack it",
    "gzip data": "decompress it with gunzip",
    "Zstandard data": "decompress it with unzstd",
    "bzip2 data": "decompress it with bunzip2",
    "xz data": "decompress it with unxz",
}


def kind_of(begin: bytes) -> str | None:
    """Name the format of data by its first bytes: BEGIN of them, or all if there are fewer. None if unknown.

    Examples
    --------
    >>> kind_of(b"PAR1"), kind_of(bytes(8))
    ('a Parquet file', None)
    """
    for kind, signature in _SIGNATURES:
        if signature.match(begin):
            return kind
    return _text_of(begin)


def kind_of_file(path: Path) -> str | None:
    """Name the format of a file by its first bytes; None if unknown. Raises DatasetError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return kind_of(file.read(BEGIN))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}; expected a file of rows") from None


def remedy_of(kind: str | None) -> str | None:
    """Return what to do with data of a kind that `kind_of` returns; None if that depends on what was expected."""
    return _REMEDIES.get(kind or "")


def _text_of(begin: bytes) -> str | None:
    """Return the kind of text; None if the data is not text."""
    text = begin[:BEGIN].removeprefix(b"\xef\xbb\xbf").lstrip()
    try:
        getincrementaldecoder("utf-8")().decode(text)  # the last character may be incomplete
    except UnicodeDecodeError:
        return None
    if not text or re.search(rb"[\x00-\x08\x0e-\x1f\x7f]", text):
        return None
    if re.match(rb"<(!doctype html|html|head|body)\b", text, re.IGNORECASE):
        return "a web page (HTML)"
    if re.match(rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg\b", text, re.DOTALL | re.IGNORECASE):
        return "an SVG picture"
    if text[:1] == b"<":
        return "XML text"
    if re.match(rb'(\{\s*["}]|\[\s*[\[{"\d\]-])', text):
        return "JSON text"
    lines = re.split(rb"[\r\n]+", text)
    separators = [len(re.findall(rb"[,;\t]", line)) for line in lines[:-1] or lines]  # the last line may be cut off
    return CSV if separators[0] and len(set(separators)) == 1 else TEXT

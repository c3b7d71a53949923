"""IDX files made by hand."""

import gzip
import struct
from pathlib import Path


def header(code: int, *shape: int) -> bytes:
    return struct.pack(f">2xBB{len(shape)}I", code, len(shape), *shape)


def put(folder: Path, data: bytes, *, compress: bool = False) -> Path:
    path = folder / "file"
    path.write_bytes(gzip.compress(data, mtime=0) if compress else data)
    return path

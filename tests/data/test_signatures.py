"""File formats by their first bytes."""

import bz2
import gzip
import lzma
import pickle
import sqlite3

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from ddmlp.data.signatures import BEGIN, kind_of, remedy_of
from tests.support.idx import header
from tests.support.signatures import tarred, written, zipped
from tests.support.streams import batch, stream


def picture(form: str) -> bytes:
    return written(lambda out: Image.new("RGB", (9, 9)).save(out, form))


def sqlite() -> bytes:
    with sqlite3.connect(":memory:") as database:
        database.execute("create table a (b)")
        return database.serialize()


KINDS = [
    ("a NumPy .npz file", written(lambda out: np.savez(out, images=np.zeros(3)))),
    ("a NumPy .npz file", written(lambda out: np.savez_compressed(out, x=np.zeros(3)))),
    ("a zip archive", zipped("train-images.txt")),
    ("a zip archive", zipped("folder/a.npy")),
    ("a tar archive", tarred("images")),
    ("gzip data", gzip.compress(b"x", mtime=0)),
    ("bzip2 data", bz2.compress(b"x")),
    ("xz data", lzma.compress(b"x")),
    ("Zstandard data", pa.compress(b"x", "zstd", asbytes=True)),
    ("a Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 9912422\n"),
    *((f"a {form} picture", picture(form)) for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF")),
    ("a WebP picture", b"RIFF\x24\0\0\0WEBPVP8 "),
    ("an AVIF picture", b"\0\0\0\x20ftypavif\0\0\0\0"),
    ("an HEIC picture", b"\0\0\0\x18ftypheic\0\0\0\0"),
    ("an HEIC picture", b"\0\0\0\x24ftypmif1\0\0\0\0"),
    ("a PNM picture", picture("PPM")),
    ("an SVG picture", b"<?xml version='1.0'?>\n<!-- by hand -->\n<svg width='2'/>"),
    ("a PDF document", b"%PDF-1.7\n"),
    ("a NumPy .npy file", written(lambda out: np.save(out, np.zeros(3)))),
    ("a pickle", pickle.dumps({"images": np.zeros(3)})),
    ("a Parquet file", b"PAR1\x15\x04\x15"),
    ("an Arrow IPC file (Feather)", b"ARROW1\0\0\xff\xff\xff\xff"),
    ("an Arrow IPC stream", stream(batch(3))),
    ("an Avro file", b"Obj\x01\x04\x16avro.schema"),
    ("an SQLite database", sqlite()),
    ("an IDX file", header(0x08, 3)),
    ("an IDX file", header(0x0D, 3, 2, 2)),
    ("a web page (HTML)", b"\n<!DOCTYPE html>\n<html>"),
    ("a web page (HTML)", b"\xef\xbb\xbf<html lang='en'>"),
    ("XML text", b"<?xml version='1.0'?><rows/>"),
    ("JSON text", b'{"pixels": [0, 0], "label": 5}\n{'),
    ("JSON text", b"[[0, 0, 255], [1]]"),
    ("CSV text", b"label,pixel0,pixel1\n5,0,0\n"),
    ("CSV text", "5\t0\té".encode()[:-1]),
    ("text", b"Not Found"),
    (None, b""),
    (None, bytes(BEGIN)),
    (None, bytes(range(256))),
    (None, b"\xff\xff\xff\xff\0\0\0\0"),
]


@pytest.mark.parametrize(("kind", "begin"), KINDS, ids=[str(kind) for kind, _ in KINDS])
def test_kinds(kind, begin):
    assert kind_of(begin[:BEGIN]) == kind


def test_remedies():
    assert {kind for kind, begin in KINDS if remedy_of(kind_of(begin[:BEGIN]))} == {
        *("a zip archive", "a tar archive", "gzip data", "bzip2 data", "xz data", "Zstandard data"),
        *("a Git LFS pointer", "a web page (HTML)"),
    }

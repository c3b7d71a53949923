"""Payloads of messages: rows, and why one cannot be decoded."""

import io
import json
import struct
import zlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ddmlp.data.sources import Rows, payloads
from ddmlp.data.sources.payloads import Payloads, Undecodable
from ddmlp.errors import ConfigError
from tests.support.streams import SCHEMA, batch, stream, tensor

IMAGE = np.arange(6, dtype=np.uint8).reshape(2, 3)


def png(mode: str = "L", size: tuple[int, int] = (3, 2)) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(IMAGE) if (mode, size) == ("L", (3, 2)) else Image.new(mode, size)
    image.save(out, "PNG")
    return out.getvalue()


def document(pixels: object = IMAGE.tolist(), label: object = 3) -> bytes:
    return json.dumps({"pixels": pixels, "label": label}).encode()


def decoded(
    form: str, payload: bytes | None, label: bytes | None = b"3", shape: tuple[int, int] | None = (2, 3)
) -> Rows:
    (rows,) = Payloads(form, 10, shape).decode(payload, label)
    assert isinstance(rows, Rows), rows
    return rows


def reason(form: str, payload: bytes | None, label: bytes | None = b"3", shape: tuple[int, int] | None = (2, 3)) -> str:
    (bad,) = Payloads(form, 10, shape).decode(payload, label)
    assert isinstance(bad, Undecodable), bad
    assert bad.row is None
    assert str(bad).isprintable()
    return str(bad)


@pytest.mark.parametrize(
    ("form", "payload"),
    [("raw", IMAGE.tobytes()), ("json", document()), ("png", png()), ("json", document([*range(6)]))],
    ids=range(4),
)
def test_simple(form, payload):
    rows = decoded(form, payload)
    assert (rows.pixels.tolist(), rows.labels.tolist()) == ([IMAGE.tolist()], [3])
    assert (rows.pixels.dtype, rows.labels.dtype) == (np.uint8, np.uint8)


def test_arrow():
    found = Payloads("arrow", 10, (2, 2))
    rows = [each for each in found.decode(stream(batch(3), batch(2, 3)), None) if isinstance(each, Rows)]
    assert [each.labels.tolist() for each in rows] == [[0, 1, 2], [3, 4]]
    assert list(found.decode(stream(batch(0)), None)) == []


def test_bad_rows_of_a_message():
    """The others are rows."""
    good = batch(6)
    bad = pa.record_batch([good.column(0), pa.array([0, 11, 2, None, 4, 5], pa.int64())], schema=SCHEMA)
    found = list(Payloads("arrow", 10, None).decode(stream(batch(2), bad), None))
    assert [each.labels.tolist() for each in found if isinstance(each, Rows)] == [[0, 1], [0], [2], [4], [5]]
    assert [(each.row, "11" in str(each), "null" in str(each)) for each in found if isinstance(each, Undecodable)] == [
        (3, True, False),
        (5, False, True),
    ]


@pytest.mark.parametrize("cut", [1, 8, 9, 100])
def test_cut_message(cut):
    """Nothing is taken of a message that is not whole."""
    assert "payload" in reason("arrow", stream(batch(5), batch(5))[:-cut], shape=(2, 2))


@pytest.mark.parametrize("form", payloads.FORMS)
def test_no_payload(form):
    assert "payload" in reason(form, None)
    assert reason(form, b"")
    assert reason(form, b"\0" * 7)


def test_large_payload(monkeypatch):
    monkeypatch.setattr(payloads, "MAX_BYTES", 6)
    assert decoded("raw", b"123456")
    assert "7 bytes" in reason("raw", b"1234567")


@pytest.mark.parametrize("form", ["raw", "png"])
@pytest.mark.parametrize("label", [None, b"", b"10", b"-1", b"1.0", b" 1", b"1\n", b"0001", "\u0663".encode(), b"\xff"])
def test_labels(form, label):
    found = Payloads(form, 10, None)
    (bad,) = found.decode({"raw": IMAGE.tobytes(), "png": png()}[form], label)
    assert isinstance(bad, Undecodable)
    assert "label" in str(bad)
    assert found.image_shape is None, "a bad row does not say what the others are"


BAD_JSON = [
    *(b"", b"{", b"[]", b"5", b"null", b"\xff", b"{}", b"[" * 100_000, b'{"pixels": ' + b"[" * 100_000),
    *(document(pixels) for pixels in (5, None, "012345", [256] * 6, [-1] * 6, [1.5] * 6, [True] * 6, [], [[]])),
    *(document(pixels) for pixels in ([0] * 5, [[0] * 3], [[0] * 3, [0] * 2], [[0] * 3, 5], [[[0] * 6]])),
    *(document(label=label) for label in (None, "3", 3.5, -1, 10, True, 2**70)),
    b'{"pixels": [0, 0, 0, 0, 0, 0]}',
    b'{"label": 3}',
]


@pytest.mark.parametrize("payload", BAD_JSON, ids=range(len(BAD_JSON)))
def test_bad_json(payload):
    assert reason("json", payload, None)


def test_json_ignores_other_members():
    assert decoded("json", b'{"id": [1], "label": 3, "pixels": [0, 1, 2, 3, 4, 5]}').pixels.tolist() == [IMAGE.tolist()]


def bomb() -> bytes:
    """A PNG file that claims to be huge."""
    header = struct.pack(">IIBBBBB", 1 << 20, 1 << 20, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


BAD_PICTURES = [png("RGBA"), png("I;16"), png()[:-20], png()[:-30], b"\xff\xd8\xff" * 9, bomb(), b"GIF89a"]


@pytest.mark.parametrize("payload", BAD_PICTURES, ids=range(len(BAD_PICTURES)))
def test_bad_pictures(payload):
    assert reason("png", payload, shape=None)
    assert "expected 2 x 3" in reason("png", png(size=(2, 3)))


def test_shape_of_the_first_image():
    found = Payloads("raw", 10, None)
    assert [type(each) for n in (4, 9, 4) for each in found.decode(b"\0" * n, b"1")] == [Rows, Undecodable, Rows]
    assert found.image_shape == (2, 2)
    assert decoded("raw", b"\0" * 6, shape=None).pixels.shape == (1, 1, 6)
    assert "2 x 2" in reason("json", document(), shape=(2, 2))
    other = pa.record_batch([tensor(np.zeros((1, 2, 3), np.uint8)), pa.array([1])], names=["pixels", "label"])
    assert "2 x 3" in reason("arrow", stream(other), shape=(2, 2))


def test_unknown_form():
    with pytest.raises(ConfigError, match=r"'jpeg'.* arrow, raw, json, png"):
        Payloads("jpeg", 10, None)


@given(form=st.sampled_from(payloads.FORMS), payload=st.binary(max_size=50), label=st.none() | st.binary(max_size=4))
def test_any_payload(form, payload, label):
    for each in Payloads(form, 10, None).decode(payload, label):
        assert isinstance(each, Rows | Undecodable)

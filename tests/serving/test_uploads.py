"""Bodies of requests: bad ones are rejected with the reason, within bounds, and the server survives them."""

import asyncio
import base64
import json
import socket
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from starlette.requests import ClientDisconnect, Request

from ddmlp.errors import ImageError, RequestError
from ddmlp.inference.model import Model
from ddmlp.nn.weights import Shape, Weights
from ddmlp.serving import uploads
from ddmlp.serving.limits import Admission
from tests.support.servers import JSON, PNG, png

MEGABYTE = 1 << 20


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int, *others: bytes) -> bytes:
    """A small PNG file that claims a large size, with `others` among its chunks."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(10_000_000)))
    return b"\x89PNG\r\n\x1a\n" + b"".join([chunk(*chunks[0]), *others, chunk(*chunks[1]), chunk(b"IEND", b"")])


ROW = [0] * 28
FINE = [ROW] * 28
# A body and its media type; the status, and facts in the message: the place, what was found, or what was expected.
HOSTILE = {
    "nothing": (b"", JSON, 400, ["JSON"]),
    "no picture": (b"", PNG, 422, ["the picture", "PNG, JPEG, GIF, BMP"]),
    "text": (b"hello", "text/plain", 415, ["'text/plain'", JSON, PNG]),
    "no type": (b"hello", "", 415, [JSON]),
    "form": (b"a=b", "multipart/form-data; boundary=x", 415, ["'multipart/form-data'"]),
    "text as a picture": (b"hello", PNG, 422, ["the picture"]),
    "tiff": (b"II*\0" + bytes(100), PNG, 422, ["the picture"]),
    "cut JSON": (b"[[1,", JSON, 400, ["JSON"]),
    "not UTF-8": (b"\xff\xfe\xfd", JSON, 400, ["JSON"]),
    "deep": (b"[" * 1_000_000, JSON, 400, ["JSON"]),
    "long number": (b"1" * 10_000, JSON, 400, ["JSON"]),
    "a number": (7, JSON, 422, ["the body: ", "found 7"]),
    "an object": ({"image": FINE}, JSON, 422, ["the body: ", "found {'image': "]),
    "null": (None, JSON, 422, ["the body: ", "found None"]),
    "no images": ([], JSON, 422, ["the body: ", "at least 1", "found []"]),
    "too many images": ([FINE] * 101, JSON, 422, ["the body: ", "at most 100", "101"]),
    "a row": (ROW, JSON, 422, ["a list of 28 numbers", "28 rows of 28"]),
    "rows in one list": (ROW * 28, JSON, 422, ["a list of 784 numbers", "28 rows of 28"]),
    "a row less": ([ROW] * 27, JSON, 422, ["the image", "27 rows of 28", "28 rows of 28"]),
    "ragged": ([*FINE[1:], [0]], JSON, 422, ["the image", "28 rows of 1 to 28", "28 rows of 28"]),
    "empty rows": ([[[]]], JSON, 422, ["row 0, pixel 0: ", "found []"]),
    "too deep": ([[[[0]]]], JSON, 422, ["image 0, row 0, pixel 0: ", "found [0]"]),
    "fractions": ([[0.5] * 28] * 28, JSON, 422, ["row 0, pixel 0: ", "found 0.5"]),
    "not a number": ([[float("nan")] * 28] * 28, JSON, 422, ["row 0, pixel 0: ", "found nan"]),
    "truth": ([[True] * 28] * 28, JSON, 422, ["row 0, pixel 0: ", "found True"]),
    "nulls": ([[None] * 28] * 28, JSON, 422, ["row 0, pixel 0: ", "found None"]),
    "texts": ([["a"] * 28] * 28, JSON, 422, ["row 0, pixel 0: ", "found 'a'"]),
    "objects": ([[{}] * 28] * 28, JSON, 422, ["row 0, pixel 0: ", "found {}"]),
    "too bright": ([*FINE[1:], [256, *ROW[1:]]], JSON, 422, ["row 27, pixel 0: ", "255", "found 256"]),
    "too dark": ([*FINE[1:], [-1, *ROW[1:]]], JSON, 422, ["row 27, pixel 0: ", "0", "found -1"]),
    "enormous": ([*FINE[1:], [10**300, *ROW[1:]]], JSON, 422, ["row 27, pixel 0: ", "found 1000"]),
    "second": ([FINE, [ROW]], JSON, 422, ["image 1", "1 rows of 28", "28 rows of 28"]),
    "empty second": ([FINE, []], JSON, 422, ["image 1", "0 rows of 0", "28 rows of 28"]),
    "bright second": ([FINE, [ROW, [0, 0, 300]]], JSON, 422, ["image 1, row 1, pixel 2: ", "found 300"]),
    "no base64": ("%%%", JSON, 422, ["the image", "base64"]),
    "base64 of text": ("aGVsbG8=", JSON, 422, ["the image", "PNG"]),
    "too large": (bytes(5 * MEGABYTE), PNG, 413, ["4,194,304"]),
    "too large JSON": (b" " * 5 * MEGABYTE, JSON, 413, ["4,194,304"]),
    "many lists": (b"[" + b"[]," * 400_000 + b"[]]", JSON, 422, ["at most 100", "400001"]),
    "many errors": (b"[[" + b"-1," * 400_000 + b"-1]]", JSON, 422, ["row 0, pixel 0: ", "found -1"]),
    "bomb": (bomb(60_000, 60_000), PNG, 422, ["the picture", "4,000,000"]),
    "large": (bomb(3_000, 3_000), PNG, 422, ["the picture", "3000 x 3000", "4,000,000"]),
    "many bombs": (
        [base64.b64encode(bomb(1_000, 1_000)).decode()] * 100, JSON, 422, ["image 0", "1000 x 1000", "160,000"],
    ),
    "long": (bomb(4_000_000, 1), PNG, 422, ["the picture: no single digit"]),
    "text bomb": (bomb(28, 28, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100 * MEGABYTE)))), PNG, 422, ["the pic"]),
    "profile bomb": (
        bomb(28, 28, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100 * MEGABYTE)))), PNG, 422, ["the picture"],
    ),
    "cut": (png(np.eye(28, dtype=np.uint8) * 255)[:-30], PNG, 422, ["the picture cannot be read"]),
    "blank": (png(np.zeros((28, 28), np.uint8)), PNG, 422, ["the picture: no single digit"]),
}  # fmt: skip
MODEL = Model(Weights.draw(Shape(784, 2, 10), 0), (28, 28))
BODIES = {name: body if isinstance(body, bytes) else json.dumps(body).encode() for name, (body, *_) in HOSTILE.items()}


def request(receive: object, kind: str = "") -> Request:
    scope = {
        "type": "http",
        "method": "POST",
        "client": ("127.0.0.1", 1),
        "headers": [(b"content-type", kind.encode())],
    }
    return Request(scope, receive)


def read_body(receive: object, kind: str = "") -> bytes:
    async def run() -> bytes:
        async with uploads.body_of(request(receive, kind), Admission(1)) as body:
            return body

    return asyncio.run(run())


def read(body: bytes, kind: str) -> tuple[np.ndarray, bool]:
    """The images in a request that arrives in one piece."""

    async def receive() -> dict:
        return {"type": "http.request", "body": body}

    kind = uploads.kind_of(request(receive, kind))
    found, batch = uploads.read_images(kind, read_body(receive), MODEL)
    return np.stack([each.pixels for each in found]), batch


def test_simple(digits):
    images, batch = read(json.dumps(digits[0].tolist()).encode(), JSON)
    assert (images.tolist(), batch) == (digits[:1].tolist(), False)
    images, batch = read(json.dumps(digits.tolist()).encode(), "Application/JSON; charset=utf-8")
    assert (images.tolist(), images.dtype, batch) == (digits.tolist(), np.uint8, True)


@pytest.mark.parametrize("what", HOSTILE)
def test_refused(what):
    _, kind, status, words = HOSTILE[what]
    with pytest.raises((RequestError, ImageError)) as caught:
        read(BODIES[what], kind)
    assert getattr(caught.value, "status", 422) == status
    said = str(caught.value)
    assert [each for each in words if each not in said] == [], said
    assert "\n" not in said
    assert len(said) < 500


def test_server_survives(server, digits):
    for _ in range(2):
        before = server.memory
        for name, (_, kind, status, _) in HOSTILE.items():
            found = server.predict(BODIES[name], kind)
            assert (found.status, found.headers["content-type"]) == (status, JSON)
            assert found.json.keys() == {"error"}
    assert server.memory < before + 20 * MEGABYTE
    assert server.memory < 400 * MEGABYTE
    assert server.predict(digits[0].tolist()).status == 200


def test_endless_body(server, digits):
    before, sent = server.memory, 0
    with socket.create_connection(server.address, timeout=60) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
                       b"Transfer-Encoding: chunked\r\n\r\n")  # fmt: skip
        piece = b"100000\r\n" + bytes(MEGABYTE) + b"\r\n"
        with suppress(OSError):  # which one depends on which end closes first
            while sent < 1_000:
                client.sendall(piece)
                sent += 1
    assert 64 <= sent < 100
    assert server.memory < before + 50 * MEGABYTE
    assert server.predict(digits[0].tolist()).status == 200


def test_slow_body(monkeypatch):
    async def receive():
        await asyncio.Event().wait()

    monkeypatch.setattr(uploads, "READ_SECONDS", 0.01)
    with pytest.raises(RequestError, match=r"0\.01 s") as caught:
        read_body(receive)
    assert caught.value.status == 408


def test_client_that_leaves(server, digits):
    async def receive():
        raise ClientDisconnect

    with pytest.raises(RequestError) as caught:
        read_body(receive)
    assert caught.value.status == 400
    for sent in (b"POST", b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
                 b"Content-Length: 1000\r\n\r\nabc"):  # fmt: skip
        with socket.create_connection(server.address, timeout=60) as client:
            client.sendall(sent)
    assert server.predict(digits[0].tolist()).status == 200

"""What a request brings: read within bounds, and made into images."""

import asyncio
import base64
import io
import json
from typing import Any

import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect

from ddmlp.errors import RequestError
from ddmlp.inference.images import read_picture
from ddmlp.inference.recogniser import ROWS as MOST_IMAGES

MOST_BYTES = 4 << 20  # of a body
DROPPED_BYTES = 64 << 20  # more than that: read and dropped, since most clients listen only when all is sent
READ_SECONDS = 10.0
MOST_PIXELS = 4_000_000  # of a picture
MOST_IN_ALL = 16_000_000  # pixels of the pictures of a batch, which share them equally
JSON, PICTURES = "application/json", ("image/png", "image/jpeg", "image/gif", "image/bmp")
EXPECTED = "expected one image or a list of images, each rows of whole numbers or a picture in base64"

Images = NDArray[np.uint8]


def kind_of(request: Request) -> str:
    """The media type of the body; raises RequestError where it is none that is known."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON, *PICTURES):
        found = f"the content type is {kind!r}" if kind else "there is no content type"
        raise RequestError(415, f"{found}, expected {JSON} or {', '.join(PICTURES)}")
    return kind


async def read_body(request: Request) -> bytes:
    """The body, of which no more than MOST_BYTES is ever held; raises RequestError."""
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= MOST_BYTES:
                    body += chunk
                elif size > MOST_BYTES + DROPPED_BYTES:
                    break
    except TimeoutError:
        raise RequestError(408, f"the body did not come within {READ_SECONDS:g} s") from None
    except ClientDisconnect:
        raise RequestError(400, "the body was cut short") from None
    if size > MOST_BYTES:
        raise RequestError(413, f"the body has more than {MOST_BYTES:,} bytes; send fewer or smaller images")
    return bytes(body)


def read_images(kind: str, body: bytes, shape: tuple[int, int]) -> tuple[Images, bool]:
    """The images in a body, (B, height, width) of `shape`, and whether it was a batch; raises RequestError and
    ImageError."""
    if kind != JSON:
        return _picture(body, "the picture", shape)[None], False
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is no JSON: {error}") from None
    if not isinstance(found, str | list):
        raise RequestError(422, f"the body is a {type(found).__name__}; {EXPECTED}")
    if isinstance(found, str) or _depth(found) == 2:
        return _image(found, "the image", shape)[None], False
    if not 0 < len(found) <= MOST_IMAGES:
        raise RequestError(422, f"the body has {len(found):,} images, expected 1 to {MOST_IMAGES}")
    most = min(MOST_PIXELS, MOST_IN_ALL // len(found))
    return np.stack([_image(each, f"image {number}", shape, most) for number, each in enumerate(found)]), True


def _depth(found: Any) -> int:
    """How many lists, none of them empty, lie in each other: 2 is an image."""
    depth = 0
    while isinstance(found, list) and found:
        found, depth = found[0], depth + 1
    return depth


def _image(found: Any, name: str, shape: tuple[int, int], most_pixels: int = MOST_PIXELS) -> Images:
    """An image of a JSON text (height, width): as it is, where it is numbers; fitted, where it is a picture."""
    if isinstance(found, str):
        try:
            file = base64.b64decode(found, validate=True)
        except ValueError as error:
            raise RequestError(422, f"{name} is a text that is not base64: {error}") from None
        return _picture(file, name, shape, most_pixels)
    try:
        pixels = np.array(found)
    except ValueError:
        raise RequestError(422, f"{name} has rows that differ in length; {_wanted(shape)}") from None
    if pixels.shape != shape:
        raise RequestError(422, f"{name} is of shape {pixels.shape}; {_wanted(shape)}")
    if pixels.dtype.kind not in "iu" or pixels.min() < 0 or pixels.max() > 255:
        raise RequestError(422, f"{name} has values other than whole numbers from 0 to 255; {_wanted(shape)}")
    return pixels.astype(np.uint8)


def _picture(file: bytes, name: str, shape: tuple[int, int], most_pixels: int = MOST_PIXELS) -> Images:
    return read_picture(io.BytesIO(file), name, shape, most_pixels)


def _wanted(shape: tuple[int, int]) -> str:
    return f"expected {shape[0]} rows of {shape[1]} whole numbers from 0 (paper) to 255 (ink)"

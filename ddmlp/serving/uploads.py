"""What a request brings: read within bounds, and made into images."""

import asyncio
import base64
import io
import json
import reprlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from fastapi import Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from ddmlp.errors import RequestError
from ddmlp.inference.image_file import FORMATS
from ddmlp.inference.images import Fit, Picture, read_picture
from ddmlp.inference.model import Model
from ddmlp.serving.limits import Admission
from ddmlp.serving.schemas import BATCH, IMAGE

MAX_BYTES = 4 << 20  # of a body
MAX_DROPPED_BYTES = 64 << 20  # more than that: read and dropped, since most clients listen only when all is sent
FREE_BYTES = 64 << 10  # of a body that are read before the request has its turn
READ_SECONDS = 10.0  # for these, and once more for the rest
MAX_PICTURE_PIXELS = 4_000_000
MAX_BATCH_PIXELS = 16_000_000  # of the pictures of a batch, which share them equally
JSON, PICTURES = "application/json", tuple(f"image/{kind.lower()}" for kind in FORMATS)
EXPECTED = "expected one image or a list of images, each rows of whole numbers or a picture in base64"


def kind_of(request: Request) -> str:
    """The media type of the body; raises RequestError if it is not one of those known."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON, *PICTURES):
        found = f"the content type is {kind!r}" if kind else "there is no content type"
        raise RequestError(415, f"{found}, expected {JSON} or {', '.join(PICTURES)}")
    return kind


@asynccontextmanager
async def body_of(request: Request, admission: Admission) -> AsyncIterator[bytes]:
    """The body, of which no more than MAX_BYTES is ever held, and the turn of the request; raises RequestError.

    It has its turn once the body is there, or FREE_BYTES of it: a client that sends nothing keeps nobody waiting.
    """
    stream, body = request.stream(), bytearray()
    size = await _read(stream, body, FREE_BYTES)
    async with asynccontextmanager(admission.turn)(request):
        if size > FREE_BYTES:
            size += await _read(stream, body, MAX_BYTES + MAX_DROPPED_BYTES - size)
        if size > MAX_BYTES:
            raise RequestError(413, f"the body has more than {MAX_BYTES:,} bytes; send fewer or smaller images")
        yield bytes(body)


async def _read(stream: AsyncIterator[bytes], body: bytearray, most: int) -> int:
    """Append to `body` what comes, until all has come or more than `most` bytes; returns how many did. What goes beyond
    MAX_BYTES is dropped. Raises RequestError."""
    size = 0
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in stream:
                size += len(chunk)
                if len(body) + len(chunk) <= MAX_BYTES:
                    body += chunk
                if size > most:
                    break
    except TimeoutError:
        raise RequestError(408, f"the body did not come within {READ_SECONDS:g} s") from None
    except ClientDisconnect:
        raise RequestError(400, "the body was cut short") from None
    return size


def read_images(kind: str, body: bytes, model: Model, fit: Fit = Fit.AUTO) -> tuple[list[Picture], bool]:
    """The images in a body, as a model takes them, and whether it was a batch; raises RequestError and ImageError."""
    if kind != JSON:
        return [_picture(body, "the picture", model, fit, MAX_PICTURE_PIXELS)], False
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON: {error}") from None
    if _depth(found) == 1 and isinstance(found[0], int | float):
        height, width = model.image_shape
        raise RequestError(422, f"the body is a list of {len(found)} numbers, expected {height} rows of {width}")
    single = isinstance(found, str) or _depth(found) == 2
    try:
        images = [IMAGE.validate_python(found)] if single else BATCH.validate_python(found)
    except ValidationError as error:
        raise RequestError(422, _described(error, ("row", "pixel") if single else ("image", "row", "pixel"))) from None
    share = min(MAX_PICTURE_PIXELS, MAX_BATCH_PIXELS // len(images))
    names = ["the image"] if single else [f"image {number}" for number in range(len(images))]
    return [_image(*each, model, fit, share) for each in zip(images, names, strict=True)], not single


def _depth(found: Any) -> int:
    """How many lists, none of them empty, lie in each other: 2 is an image."""
    depth = 0
    while isinstance(found, list) and found:
        found, depth = found[0], depth + 1
    return depth


def _described(error: ValidationError, names: tuple[str, ...]) -> str:
    """The first thing that is wrong, and where. names: of the lists in each other."""
    first = error.errors(include_url=False)[0]
    numbers = [each for each in first["loc"] if isinstance(each, int)]
    place = ", ".join(f"{name} {number}" for name, number in zip(names, numbers, strict=False))
    return f"{place or 'the body'}: {first['msg']}, found {reprlib.repr(first['input']):.60}; {EXPECTED}"


def _image(found: list[list[int]] | str, name: str, model: Model, fit: Fit, max_pixels: int) -> Picture:
    """An image of a JSON text: as it is, if it is numbers; fitted, if it is a picture."""
    if isinstance(found, str):
        try:
            file = base64.b64decode(found, validate=True)
        except ValueError as error:
            raise RequestError(422, f"{name} is a text that is not base64: {error}") from None
        return _picture(file, name, model, fit, max_pixels)
    height, width = model.image_shape
    lengths = {len(row) for row in found} or {0}
    if len(found) != height or lengths != {width}:
        widths = " to ".join(map(str, sorted({min(lengths), max(lengths)})))
        raise RequestError(422, f"{name} has {len(found)} rows of {widths} numbers, expected {height} rows of {width}")
    return Picture(np.array(found, np.uint8), ())


def _picture(file: bytes, name: str, model: Model, fit: Fit, max_pixels: int) -> Picture:
    return read_picture(io.BytesIO(file), name, model.image_shape, model.look, fit, max_pixels)

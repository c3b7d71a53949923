"""Reads the bodies of requests within bounds, and converts them to images."""

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
from ddmlp.inference.committee import Committee
from ddmlp.inference.image_file import FORMATS
from ddmlp.inference.images import Fit, Picture, read_picture
from ddmlp.inference.model import Model
from ddmlp.serving.limits import Admission
from ddmlp.serving.schemas import BATCH, IMAGE

MAX_BYTES = 4 << 20  # of a body
MAX_DROPPED_BYTES = 64 << 20  # beyond MAX_BYTES: read and dropped, because most clients send all before they listen
FREE_BYTES = 64 << 10  # of a body, read before the request has its turn
READ_SECONDS = 10.0  # for FREE_BYTES, and again for the rest
MAX_PICTURE_PIXELS = 4_000_000
MAX_BATCH_PIXELS = 16_000_000  # of all pictures of a batch; each has an equal share
JSON, PICTURES = "application/json", tuple(f"image/{kind.lower()}" for kind in FORMATS)
EXPECTED = "expected one image or a list of images, each rows of whole numbers or a picture in base64"


def kind_of(request: Request) -> str:
    """Return the media type of the body. Raises RequestError (415) if it is not supported."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON, *PICTURES):
        found = f"the content type is {kind!r}" if kind else "there is no content type"
        raise RequestError(415, f"{found}, expected {JSON} or {', '.join(PICTURES)}")
    return kind


@asynccontextmanager
async def body_of(request: Request, admission: Admission) -> AsyncIterator[bytes]:
    """Read the body, and hold the request's turn. At most MAX_BYTES are ever kept.

    The request waits for its turn only once it has sent all of its body, or FREE_BYTES of it, so that a client that
    sends nothing does not block others.

    Raises
    ------
    RequestError
        If the body is too large (413), too slow (408) or incomplete (400), or too many requests are waiting (429).
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
    """Append the stream to `body` until it ends or exceeds `most` bytes, and return the number of bytes read.

    Bytes beyond MAX_BYTES are dropped. Raises RequestError.
    """
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
        raise RequestError(408, f"the body did not arrive within {READ_SECONDS:g} s") from None
    except ClientDisconnect:
        raise RequestError(400, "the body is incomplete: the client closed the connection") from None
    return size


def read_images(kind: str, body: bytes, model: Model | Committee, fit: Fit = Fit.AUTO) -> tuple[list[Picture], bool]:
    """Convert a body to images that the model takes.

    Parameters
    ----------
    kind
        The media type; see `kind_of`.
    body
        A picture, or JSON: an image or a list of images, each rows of numbers or a picture in base64.
    model
        The model.
    fit
        When to fit pictures to the look of its training images.

    Returns
    -------
    list of Picture, bool
        The images, and whether they are a batch.

    Raises
    ------
    RequestError
        If the body is not JSON (400), or does not hold images of the model's shape (422).
    ImageError
        If a picture cannot be read, or does not show a single digit.
    """
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
    """Return how deeply non-empty lists are nested: an image has depth 2."""
    depth = 0
    while isinstance(found, list) and found:
        found, depth = found[0], depth + 1
    return depth


def _described(error: ValidationError, names: tuple[str, ...]) -> str:
    """Describe the first error and its place. names: what each level of nested lists is."""
    first = error.errors(include_url=False)[0]
    numbers = [each for each in first["loc"] if isinstance(each, int)]
    place = ", ".join(f"{name} {number}" for name, number in zip(names, numbers, strict=False))
    return f"{place or 'the body'}: {first['msg']}, found {reprlib.repr(first['input']):.60}; {EXPECTED}"


def _image(found: list[list[int]] | str, name: str, model: Model | Committee, fit: Fit, max_pixels: int) -> Picture:
    """Convert an image of a JSON body: numbers are taken as they are, pictures are fitted."""
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


def _picture(file: bytes, name: str, model: Model | Committee, fit: Fit, max_pixels: int) -> Picture:
    return read_picture(io.BytesIO(file), name, model.image_shape, model.look, fit, max_pixels)

"""The payloads of messages from brokers."""

import io
import json
from collections.abc import Iterator
from functools import partial

import numpy as np
from PIL import Image

from ddmlp.data.sources import Rows
from ddmlp.data.sources.payloads import Payloads, Undecodable
from tests.fuzz.kind import Kind, Meaning
from tests.fuzz.mutations import BYTES, JSON
from tests.support.streams import batch, stream


def payloads() -> Iterator[Kind]:
    """Yield the kinds of payloads."""
    image = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16
    Image.fromarray(image).save(picture := io.BytesIO(), "PNG")
    lines, flat = ({"pixels": pixels.tolist(), "label": 3} for pixels in (image, image.ravel()))
    goods = {
        "arrow": [stream(batch(5), batch(3, 5)), stream(batch(4), compression="zstd")],
        "raw": [image.tobytes()],
        "json": [json.dumps(each).encode() for each in (lines, flat)],
        "png": [picture.getvalue()],
    }
    for form, good in goods.items():
        changes = JSON if form == "json" else BYTES
        yield Kind(f"payload, {form}", good, partial(_rows, form), changes, refusals=(Undecodable,))


def _rows(form: str, content: bytes) -> Meaning:
    found = []
    for each in Payloads(form, 10, None if form == "arrow" else (4, 4)).decode(content, b"3"):
        if not isinstance(each, Rows):
            raise each
        found.append((each.pixels.tobytes(), each.labels.tobytes()))
    return found

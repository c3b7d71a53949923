"""What ddmlp is sent: pictures, bodies of requests, and frames between its own processes."""

import io
import struct
from collections.abc import Iterator

import msgspec
import numpy as np
from PIL import Image

from ddmlp.errors import RunError
from ddmlp.inference.images import read_picture
from ddmlp.inference.model import Model
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.serving.uploads import read_images
from ddmlp.training.messages import Unit
from ddmlp.transport import protocol
from tests.fuzz.kind import Kind, Meaning
from tests.fuzz.mutations import BYTES, JSON


def requests() -> Iterator[Kind]:
    digit = np.full((40, 40), 255, np.uint8)
    digit[8:32, 18:23] = 0
    pictures = []
    for form in ("PNG", "JPEG", "GIF", "BMP"):
        Image.fromarray(digit).save(out := io.BytesIO(), form)
        pictures.append(out.getvalue())

    def picture(content: bytes) -> Meaning:
        return read_picture(io.BytesIO(content), "the picture", (28, 28)).pixels.tobytes()

    yield Kind("pictures", pictures, picture)

    model = Model(Weights.draw(Shape(6, 4, 3), 0), (3, 2))

    def body(content: bytes) -> Meaning:
        found, several = read_images("application/json", content, model)
        return [each.pixels.tolist() for each in found], several

    image = [[0, 255], [1, 2], [3, 4]]
    yield Kind("bodies of requests", [msgspec.json.encode(each) for each in (image, [image, image])], body, JSON)


def frames() -> Iterator[Kind]:
    unit = Unit(3, 2, Node(0, 4))
    hello = protocol.pack(protocol.Hello(1, protocol.VERSION, "a" * 64, "b" * 64, {"hidden": 4}))
    for name, good, read, changes in [
        ("hello", hello, lambda frame: protocol.unpack(frame, protocol.Hello), JSON),
        ("unit", protocol.pack_unit(unit, 1, False), protocol.unpack_unit, BYTES),
        ("answer", protocol.pack_answer(unit, RowStats(4, 5, 0.5, 1, 0.25), 1, 9, 0.5), protocol.unpack_answer, BYTES),
        ("failure", protocol.pack_failure(RunError("x")), lambda frame: str(protocol.unpack_failure(frame)), JSON),
    ]:
        yield Kind(f"frame: {name}", [good], read, changes, refusals=(ValueError, struct.error))

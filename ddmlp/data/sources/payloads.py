"""The payloads of messages, decoded into rows."""

import math
import re
import struct
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from ddmlp.data.manifest import MAX_CLASSES, MAX_PIXELS
from ddmlp.data.picture import picture_pixels
from ddmlp.data.sources import Rows
from ddmlp.data.sources.arrow_ipc import read_stream
from ddmlp.data.sources.arrow_messages import END_OF_FILE
from ddmlp.data.sources.pixel_lists import shape_of, shown
from ddmlp.errors import ConfigError, DatasetError, printable

ONE_ROW = ("raw", "json", "png")  # forms whose messages have one row each
FORMS = ("arrow", *ONE_ROW)
MAX_BYTES = 64 << 20  # of a payload
_LABEL = re.compile(rb"[0-9]{1,3}")
_Pixel = Annotated[int, Meta(ge=0, le=255)]


class Undecodable(Exception):
    """A row of a message, or all of it (None), cannot be decoded; the text says why."""

    def __init__(self, reason: str, row: int | None = None) -> None:
        super().__init__(reason)
        self.row = row


class _Fields(Struct):
    pixels: msgspec.Raw
    label: Annotated[int, Meta(ge=0)]


class Payloads:
    """Decodes the payloads of one stream: all its images have one shape.

    Parameters
    ----------
    form : str
        The form of the payloads: `arrow`, an Arrow IPC stream of any number of rows with the columns that `Columns`
        describes; `raw`, the pixels of an image, line by line; `json`, an object with `pixels`, a list of numbers or a
        list of lines, and `label`; `png`, a picture, see `picture_pixels`. With `raw` and `png`, the label is beside
        the payload, as decimal digits.
    classes : int
        The number of classes.
    image_shape : (int, int) or None
        The height and width of the images; None: those of the first one.

    Raises
    ------
    ConfigError
        The form is unknown.

    Examples
    --------
    >>> payloads = Payloads("json", 10, None)
    >>> [rows] = payloads.decode(b'{"pixels": [[0, 255], [7, 0]], "label": 3}', None)
    >>> rows.pixels.tolist(), rows.labels.tolist(), payloads.image_shape
    ([[[0, 255], [7, 0]]], [3], (2, 2))
    """

    def __init__(self, form: str, classes: int, image_shape: tuple[int, int] | None) -> None:
        check_form(form)
        self.image_shape = image_shape
        self._form, self._classes = form, classes
        self._decode = getattr(self, f"_{form}")
        self._flat = msgspec.json.Decoder(list[_Pixel])
        self._lines = msgspec.json.Decoder(list[list[_Pixel]])
        self._fields = msgspec.json.Decoder(_Fields)

    def decode(self, payload: bytes | None, label: bytes | None) -> Iterator[Rows | Undecodable]:
        """Yield the rows of a message, and for each row, or message, that cannot be decoded, the reason."""
        if payload is None:
            yield Undecodable("there is no payload")
        elif len(payload) > MAX_BYTES:
            yield Undecodable(f"the payload has {len(payload):,} bytes, expected at most {MAX_BYTES:,}")
        else:
            try:
                yield from self._decode(payload, label)
            except Undecodable as why:
                yield why

    def decode_images(self, payloads: Sequence[bytes | None], labels: Sequence[bytes | None]) -> Rows | None:
        """Return the rows of raw messages, decoded at once; None if `decode` has to look at each of them."""
        if self._form != "raw" or self.image_shape is None or not payloads:
            return None
        size, images = math.prod(self.image_shape), [each for each in payloads if each is not None]
        if len(images) < len(payloads) or set(map(len, images)) != {size} or size > MAX_BYTES:
            return None
        try:
            numbers = {label: self._label(label) for label in set(labels)}
        except Undecodable:
            return None
        pixels = np.frombuffer(b"".join(images), np.uint8)
        found = np.fromiter(map(numbers.__getitem__, labels), np.uint8, len(labels))
        return Rows(pixels.reshape(-1, *self.image_shape), found)

    def _arrow(self, payload: bytes, _label: bytes | None) -> Iterator[Rows | Undecodable]:
        bad: list[Undecodable] = []
        source = _Bytes(payload)

        def reject(row: int, reason: str) -> None:
            bad.append(Undecodable(reason, row))

        try:
            # All of it before a row is yielded: of a damaged message none is taken.
            found = list(read_stream(source, "the payload", self._classes, reject))
        except (DatasetError, OSError, struct.error) as error:
            raise Undecodable(str(error)) from None
        if source.lost:
            raise Undecodable("the payload ends without Arrow's end-of-stream marker")
        row = 0
        for rows in found:
            self._check_shape(rows.pixels.shape[1:])
            yield rows
            row += len(rows.labels)
        yield from bad

    def _raw(self, payload: bytes, label: bytes | None) -> Iterator[Rows]:
        pixels = np.frombuffer(payload, np.uint8)
        shape = self.image_shape or shape_of([len(payload)])
        if len(payload) != shape[0] * shape[1]:
            raise Undecodable(
                f"the payload has {len(payload):,} bytes, expected {shape[0]} x {shape[1]}, one for each pixel"
            )
        yield self._row(pixels.reshape(shape), self._label(label))

    def _json(self, payload: bytes, _label: bytes | None) -> Iterator[Rows]:
        try:
            fields = self._fields.decode(payload)
            text = bytes(fields.pixels)
            nested = text[1:].lstrip()[:1] == b"["
            pixels = (self._lines if nested else self._flat).decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Undecodable(
                f'{shown(error)}; expected {{"pixels": [0 to 255, ...], "label": a whole number}}'
            ) from None
        try:
            array = np.array(pixels, np.uint8)
        except ValueError:
            raise Undecodable("the lines of the image differ in length, expected one length") from None
        if not nested:
            shape = self.image_shape or shape_of([array.size])
            if array.size != shape[0] * shape[1]:
                raise Undecodable(f"the image has {array.size:,} pixels, expected {shape[0]} x {shape[1]}")
            array = array.reshape(shape)
        yield self._row(array, self._checked(fields.label))

    def _png(self, payload: bytes, label: bytes | None) -> Iterator[Rows]:
        number = self._label(label)
        try:
            pixels = picture_pixels(payload, "the payload", self.image_shape)
        except DatasetError as error:
            raise Undecodable(str(error)) from None
        yield self._row(pixels, number)

    def _label(self, label: bytes | None) -> int:
        if label is None or not _LABEL.fullmatch(label):
            found = "there is no label" if label is None else f"the label is {shown(label[:50])}"
            raise Undecodable(f"{found}, expected decimal digits: 0 to {self._classes - 1}")
        return self._checked(int(label))

    def _checked(self, label: int) -> int:
        if label >= self._classes:
            more = ", or set more classes" if self._classes < MAX_CLASSES else ""
            raise Undecodable(f"the label is {label}, expected 0 to {self._classes - 1}{more}")
        return label

    def _row(self, pixels: NDArray[np.uint8], label: int) -> Rows:
        self._check_shape(pixels.shape)
        return Rows(pixels[np.newaxis], np.array([label], np.uint8))

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        """Keep the shape of the first image; raise Undecodable for another one."""
        if self.image_shape is None:
            if not 1 <= shape[0] * shape[1] <= MAX_PIXELS:
                raise Undecodable(f"the image has {shape[0]} x {shape[1]} pixels, expected 1 to {MAX_PIXELS:,}")
            self.image_shape = (int(shape[0]), int(shape[1]))
        elif shape != self.image_shape:
            height, width = self.image_shape
            raise Undecodable(f"the image has {shape[0]} x {shape[1]} pixels, expected {height} x {width}")


class _Bytes:
    """A payload, as `read_stream` reads it."""

    def __init__(self, payload: bytes) -> None:
        self.lost: str | None = None
        self._payload, self._at = memoryview(payload), 0

    def read(self, size: int) -> memoryview:
        found = self._payload[self._at : self._at + size]
        self._at += len(found)
        if len(found) < size:
            self.lost = END_OF_FILE
        return found

    def peek(self, size: int) -> bytes:
        found = bytes(self._payload[self._at : self._at + size])
        if not found:
            self.lost = END_OF_FILE
        return found


def check_form(form: str) -> None:
    """Raise ConfigError for an unknown form of payloads."""
    if form not in FORMS:
        raise ConfigError(f"the format is {printable(form)!r}, expected one of {', '.join(FORMS)}")

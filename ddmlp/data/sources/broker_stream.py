"""Streams in message brokers: positions, decoding and reconnection, which all of them have in common."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

import numpy as np
from msgspec.structs import replace

from ddmlp.data.position import EARLIEST, LATEST, Position
from ddmlp.data.sources import BadRow, Rows, StreamEnd
from ddmlp.data.sources.messages import Message, MessageList, Messages
from ddmlp.data.sources.payloads import ONE_ROW, Payloads, Undecodable
from ddmlp.data.sources.stream_uri import StreamUri
from ddmlp.errors import DatasetError

FETCH_SECONDS = 0.1  # of a wait for messages, so that `stop` takes no longer
RECONNECT_SECONDS = 60.0  # for which a broker that was reached before may be gone
RETRY_SECONDS = 0.2  # between attempts to reach it


class Disconnected(Exception):
    """A broker cannot be reached, or not for the moment."""


class Broker(Protocol):
    """A connection to one stream of a broker. Its methods raise Disconnected, and DatasetError for all else."""

    def open(self, position: Position | None) -> Position:
        """Connect, and go to a position; None: to the first message. Returns the position.

        May be called again, after Disconnected. Raises DatasetError if messages after the position are lost, or the
        stream is another one than that of the position.
        """

    def fetch(self, seconds: float) -> list[Message] | Messages:
        """Return the next messages, after a wait of at most `seconds` if there are none yet.

        Each message is returned once, in the order of its partition. Raises DatasetError if one is lost.
        """

    def commit(self, position: Position) -> None:
        """Show other programs how far the stream was read."""

    def unread(self) -> int | None:
        """Return how many messages come after those that `fetch` has returned; None if the broker does not say.

        Called about once a second, so it should be one request. It is only for display.
        """

    def close(self) -> None:
        """Disconnect; the broker may be gone."""


class BrokerStream:
    """A stream in a broker: a `PositionedSource`. It ends only by `stop`, by an error, and if its broker stays away."""

    def __init__(self, uri: StreamUri, broker: Broker) -> None:
        self.name = uri.name
        self.lost: str | None = None
        self._form, self._image_shape = uri.form, uri.image_shape
        self._broker = broker
        self._stop = threading.Event()
        self._connected = False
        self.position: Position | None = None
        self._reject: Callable[[BadRow], None]

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def begin(
        self, position: Position | None, image_shape: tuple[int, int] | None, reject: Callable[[BadRow], None]
    ) -> None:
        """Say where to begin; see `PositionedSource`."""
        self.position, self._image_shape, self._reject = position, image_shape or self._image_shape, reject

    def batches(self, classes: int, idle: Callable[[], None], seconds: float) -> Iterator[Rows]:
        """Yield the rows, those of one fetch at a time; see `Source`. Raises DatasetError, also for a gap."""
        payloads = Payloads(self._form, classes, self._image_shape)
        wait = min(seconds, FETCH_SECONDS)
        try:
            self._open()
        except Disconnected as error:
            if self.position is None:  # it was never reached
                raise DatasetError(f"cannot read {self.name}: {error}") from None
            if not self._reconnect(str(error), idle):
                return
        while not self.stopped:
            idle()
            try:
                messages = self._broker.fetch(wait)
            except Disconnected as error:
                if not self._reconnect(str(error), idle):
                    return
                continue
            if messages:
                yield from self._rows(MessageList(messages) if isinstance(messages, list) else messages, payloads)
        self.lost = "stopped"

    def _open(self) -> None:
        """Connect, and go to the position."""
        found, before = self._broker.open(self.position), self.position
        self.position = replace(found, bad_rows=before.bad_rows, time=before.time) if before else found
        self._connected = True

    def _reconnect(self, why: str, idle: Callable[[], None]) -> bool:
        """Connect again, and go to the position; returns whether this was possible in time."""
        self._connected = False
        deadline = time.monotonic() + RECONNECT_SECONDS
        while not self._stop.wait(RETRY_SECONDS):
            idle()
            try:
                self._open()
                return True
            except Disconnected as error:
                if time.monotonic() > deadline:
                    self.lost = str(error)
                    return False
        self.lost = why
        return False

    def _rows(self, messages: Messages, payloads: Payloads) -> Iterator[Rows]:
        """Yield the rows of messages. If one is refused, the rows before it are yielded first."""
        position, found, error = self.position, list[Rows](), None
        assert position is not None, "it is open"
        at_once = payloads.decode_images(messages.payloads, messages.labels)
        if at_once is not None:
            self.position = _after(position, messages, len(messages), position.bad_rows)
            yield at_once
            return
        done, bad_rows = 0, position.bad_rows
        for message in messages:
            rows, bad = list[Rows](), list[Undecodable]()
            for each in payloads.decode(message.payload, message.label):
                rows.append(each) if isinstance(each, Rows) else bad.append(each)
            try:
                for why in bad:
                    place = message.partition, message.offset, why.row
                    self._reject(BadRow(*place, str(why), message.label, message.payload))
            except DatasetError as refused:
                error = refused
                break
            found += rows
            bad_rows += len(bad)
            done += 1
        self.position = _after(position, messages, done, bad_rows)
        if len(found) == 1:
            yield found[0]
        elif found:
            pixels, labels = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
            yield Rows(pixels, labels)
        elif self.position != position:
            empty = np.empty((0, *(payloads.image_shape or (0, 0))), np.uint8)
            yield Rows(empty, np.empty(0, np.uint8))
        if error is not None:
            raise DatasetError(f"{self.name}, {error}") from None

    def commit(self, position: Position) -> None:
        """Show other programs how far the stream was read; see `PositionedSource`."""
        with suppress(Disconnected, DatasetError):  # the next one makes up for it
            self._broker.commit(position)

    def find_end(self, rows: int) -> StreamEnd | None:
        """Ask the broker where the stream ends; see `PositionedSource`."""
        messages, moment = None, time.monotonic()
        if self._connected:
            with suppress(Disconnected, DatasetError):  # `fetch` will raise it, too
                messages = self._broker.unread()
        if messages is None:
            return None
        known = messages == 0 or self._form in ONE_ROW
        return StreamEnd(messages, rows + messages if known else None, moment)

    def stop(self) -> None:
        """Make `batches` end; see `Source`."""
        self._stop.set()

    def close(self) -> None:
        """Disconnect."""
        self._broker.close()


def _after(position: Position, messages: Messages, count: int, bad_rows: int) -> Position:
    """Return the position after the first `count` messages. Times that cannot be true are left out."""
    times = [time for time in messages.times[:count] if time is not None and EARLIEST <= time <= LATEST]
    newest = max(times if position.time is None else [*times, position.time], default=None)
    return Position(position.identity, position.offsets | messages.following(count), bad_rows, newest)

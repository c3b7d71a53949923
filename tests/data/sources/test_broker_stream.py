"""Streams in brokers, without one: messages of a fetch that are decoded at once have the rows of single ones."""

from collections.abc import Sequence
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.data.position import Position
from ddmlp.data.sources import BadRow
from ddmlp.data.sources.broker_stream import BrokerStream
from ddmlp.data.sources.fetch_size import FetchSize
from ddmlp.data.sources.messages import Message
from ddmlp.data.sources.payloads import Payloads
from ddmlp.data.sources.stream_uri import StreamUri
from ddmlp.errors import DatasetError

GOOD = st.tuples(st.binary(min_size=4, max_size=4), st.sampled_from([b"0", b"9", b"007"]))
BAD = st.tuples(
    st.sampled_from([None, b"", b"123", b"12345", b"1234"]), st.sampled_from([None, b"", b"10", b"x", b"5"])
)
FETCHES = st.lists(st.lists(st.tuples(st.sampled_from("01"), GOOD), max_size=6) | st.lists(
    st.tuples(st.sampled_from("01"), GOOD | BAD), max_size=6), max_size=6)  # fmt: skip


class Fetches:
    """A broker with two partitions, whose messages arrive in given groups."""

    def __init__(self, groups: Sequence[Sequence[tuple[str, tuple[bytes | None, bytes | None]]]]) -> None:
        ends = {"0": 0, "1": 0}
        self.groups: list[list[Message]] = []
        for group in groups:
            self.groups.append([])
            for partition, contents in group:
                offset = ends[partition]
                ends[partition] += 1
                self.groups[-1].append(Message(partition, str(offset), str(offset + 1), *contents))
        self.stream: BrokerStream

    def open(self, position: Position | None) -> Position:
        return position or Position({"kind": "test"}, {"0": "0", "1": "0"})

    def fetch(self, _seconds: float) -> list[Message]:
        if not self.groups:
            self.stream.stop()
            return []
        return self.groups.pop(0)

    def commit(self, position: Position) -> None:
        pass

    def close(self) -> None:
        pass


def outcome(groups: Any, most: int, shape: tuple[int, int] | None) -> tuple[list[Any], list[BadRow], str]:
    """All that can be seen of a stream: its rows with the positions after them, what it rejects, and its error."""
    broker, rejected, found, error = Fetches(groups), list[BadRow](), list[Any](), ""

    def reject(bad: BadRow) -> None:
        if len(rejected) == most:
            raise DatasetError(f"{bad.partition} {bad.offset} {bad.reason}")
        rejected.append(bad)

    uri = StreamUri("test", "localhost", 1, "digits", "raw", shape, {}, {})
    broker.stream = stream = BrokerStream(uri, broker)
    stream.begin(None, None, reject)
    try:
        for rows in stream.batches(10, lambda: None, 1.0):
            found.append((rows.pixels.dtype, rows.pixels.tolist(), rows.labels.tolist(), stream.position))
    except DatasetError as refused:
        error = str(refused)
    return [*found, stream.position, stream.lost], rejected, error


@given(groups=FETCHES, most=st.integers(0, 3), shape=st.sampled_from([None, (2, 2), (1, 4)]))
def test_at_once_as_singly(groups, most, shape):
    found = outcome(groups, most, shape)
    with mock.patch.object(Payloads, "decode_images", return_value=None):
        assert outcome(groups, most, shape) == found


def test_good_messages_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Payloads, "decode", None)
    (group, position, _), rejected, error = outcome([[("0", (b"1234", b"7")), ("1", (b"5678", b"0"))]], 0, (2, 2))
    assert group[1:3] == ([[[49, 50], [51, 52]], [[53, 54], [55, 56]]], [7, 0])
    assert group[3] == position == Position({"kind": "test"}, {"0": "1", "1": "1"})
    assert (rejected, error) == ([], "")


def test_fetch_size():
    size = FetchSize()
    assert size.count == 1
    size.see(100)
    assert size.count == 2
    size.see(100, 500)
    assert size.count == 502
    size.see(1 << 20, 10)
    assert size.count == 8
    size.see(1 << 30)
    assert size.count == 1

"""Messages of Kafka's client, each of which is looked at by itself only if that is needed."""

import itertools
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

from ddmlp.data.sources.checked_offset import CheckedOffset
from ddmlp.data.sources.messages import Message
from ddmlp.errors import printable


class KafkaMessages:
    """The messages of one fetch; see `Messages`.

    Parameters
    ----------
    found : list of confluent_kafka.Message
        The messages as the client returns them, without errors.
    partitions : list of int
        Their partitions.

    Attributes
    ----------
    ends : dict
        For each of the partitions, the offset after its last message.
    """

    def __init__(self, found: list[Any], partitions: list[int]) -> None:
        self._found, self._partitions = found, partitions
        self.payloads: list[bytes | None] = [each.value() for each in found]
        self.labels: list[bytes | None] = [label_of(each, each.headers()) for each in found]
        self.ends = self._ends(len(found))

    @classmethod
    def next_ones(cls, found: list[Any], following: dict[int, int]) -> "KafkaMessages | None":
        """Return messages if they are certainly the next ones, without errors; else None.

        following: the next offset of each partition.
        """
        if [each for each in found if each.error() is not None]:
            return None
        partitions = [*following] * len(found) if len(following) == 1 else [each.partition() for each in found]
        numbers = {partition: itertools.count(first) for partition, first in following.items()}
        if [each.offset() for each in found] != [next(numbers[partition]) for partition in partitions]:
            return None
        return cls(found, partitions)

    @property
    def times(self) -> list[int | None]:
        """Their times; see `Messages`."""
        return [each.timestamp()[1] for each in self._found]

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Message]:
        for each in self._found:
            yield message_of(each, str(each.offset() + 1))  # their checksums would take most of the time

    def _ends(self, count: int) -> dict[int, CheckedOffset]:
        last = dict(zip(self._partitions[:count], self._found[:count], strict=True))
        return {partition: next_of(each) for partition, each in last.items()}

    def following(self, count: int) -> dict[str, str]:
        """Return the offsets after the first `count` messages; see `Messages`."""
        ends = self.ends if count == len(self) else self._ends(count)
        return {str(partition): str(following) for partition, following in ends.items()}


def message_of(found: Any, following: str) -> Message:
    """Return a message as a `Message`."""
    place = str(found.partition()), str(found.offset()), following
    return Message(*place, found.value(), label_of(found, found.headers()), found.timestamp()[1])


def label_of(found: Any, headers: Sequence[tuple[str, bytes | None]] | None) -> bytes | None:
    """Return the label of a message: its header `label`, or else its key."""
    if headers and headers[-1][0] == "label":
        return headers[-1][1]
    label: bytes | None = next((value for name, value in reversed(headers or []) if name == "label"), found.key())
    return label


def next_of(found: Any) -> CheckedOffset:
    """Return the offset after a message."""
    return CheckedOffset(found.offset() + 1, checksum_of(found))


def checksum_of(found: Any) -> str:
    """Return the CRC-32 of a message and its time, in hexadecimal."""
    begin = zlib.crc32((found.key() or b"") + b"/")
    return f"{zlib.crc32(b'/%d' % found.timestamp()[1], zlib.crc32(found.value() or b'', begin)):08x}"


def text_of(error: Exception) -> str:
    """Return an error of the client as one line."""
    found = error.args[0]
    return printable(" ".join(str(found.str() if hasattr(found, "str") else found).split()))

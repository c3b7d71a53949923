"""Messages of RabbitMQ streams, whose offsets are made only if they are needed."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from ddmlp.data.sources.checked_offset import CheckedOffset
from ddmlp.data.sources.messages import Message
from ddmlp.data.sources.rabbitmq_chunk import StoredMessage

# The first bytes of a section of an AMQP 1.0 message, from the header to the footer.
_SECTIONS = frozenset(b"\0S" + bytes([kind]) for kind in range(0x70, 0x79))
# Until the body of a message that has nothing but it, and perhaps the property `label`, with their sizes.
_PLAIN = re.compile(rb"(?:\0St\xc1(.)\x02\xa1\x05label\xa1(.)([0-9]{1,3}))?\0Su(?:\xa0(.)|\xb0(.{4}))", re.DOTALL)


class RabbitMessages:
    """The messages of one fetch; see `Messages`.

    Parameters
    ----------
    stream : str
        The name of the stream.
    stored : list of StoredMessage
        The messages, in order.
    """

    def __init__(self, stream: str, stored: list[StoredMessage]) -> None:
        from rstream import amqp_decoder

        self._stream, self._stored = stream, stored
        contents = [payload_of(each.content, amqp_decoder) for each in stored]
        self.payloads: list[bytes | None] = [payload for payload, _ in contents]
        self.labels: list[bytes | None] = [label for _, label in contents]

    @property
    def times(self) -> list[int | None]:
        """Their times; see `Messages`."""
        return [each.time for each in self._stored]

    def __len__(self) -> int:
        return len(self._stored)

    def __iter__(self) -> Iterator[Message]:
        for each, payload, label in zip(self._stored, self.payloads, self.labels, strict=True):
            yield Message(self._stream, str(each.offset), following(each), payload, label, each.time)

    def following(self, count: int) -> dict[str, str]:
        """Return the offset after the first `count` messages; see `Messages`."""
        return {self._stream: following(self._stored[count - 1])} if count else {}


def following(message: StoredMessage) -> str:
    """Return the offset to continue with after a message."""
    return str(CheckedOffset(message.offset + 1, message.checksum))


def payload_of(message: memoryview, decode: Callable[[bytes], Any]) -> tuple[bytes | None, bytes | None]:
    """Return the payload of a message, and the label beside it, if it has them. decode: rstream's `amqp_decoder`.

    The payload of an AMQP 1.0 message is its body, and the label its application property `label`. RabbitMQ makes
    such messages of those that it gets by AMQP 0.9.1, with their headers as properties. Some clients of streams send
    bytes that are no AMQP message: these are the payload.
    """
    if (plain := _PLAIN.match(message)) is not None:  # which takes a fifth of the time
        map_size, label_size, label, *size = plain.groups()
        sizes = int.from_bytes(size[0] or size[1], "big"), map_size and map_size[0], label_size and label_size[0]
        length = len(label or b"")
        if sizes == (len(message) - plain.end(), label and length + 10, label and length):
            return bytes(message[plain.end() :]), label
    content = bytes(message)
    if content[:3] not in _SECTIONS:
        return content, None
    try:
        found = decode(content)
    except Exception:  # of any kind, for malformed bytes
        return content, None
    body = found.value if found.body is None else found.body
    label = (found.application_properties or {}).get(b"label")
    if label is not None and not isinstance(label, bytes):
        label = str(label).encode()
    return body if isinstance(body, bytes) else None, label

"""Messages of brokers, and what a broker returns at a time."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Message(NamedTuple):
    """A message.

    Parameters
    ----------
    partition, offset : str
        Where it is.
    following : str
        The offset to continue with after it.
    payload, label : bytes or None
        Its contents, if it has them.
    time : int or None
        When it was sent, in milliseconds since 1970 (UTC), if its broker says so.
    """

    partition: str
    offset: str
    following: str
    payload: bytes | None
    label: bytes | None
    time: int | None = None


class Messages(Protocol):
    """The messages of one fetch, whose contents can be had without making each message."""

    @property
    def payloads(self) -> list[bytes | None]:
        """The payloads of all messages."""

    @property
    def labels(self) -> list[bytes | None]:
        """The labels beside them."""

    @property
    def times(self) -> list[int | None]:
        """When they were sent; see `Message`."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Message]: ...

    def following(self, count: int) -> dict[str, str]:
        """Return the offset to continue with after the first `count` of them, for each of their partitions."""


class MessageList(list[Message]):
    """`Messages` that are made already."""

    @property
    def payloads(self) -> list[bytes | None]:
        return [each.payload for each in self]

    @property
    def labels(self) -> list[bytes | None]:
        return [each.label for each in self]

    @property
    def times(self) -> list[int | None]:
        return [each.time for each in self]

    def following(self, count: int) -> dict[str, str]:
        return {each.partition: each.following for each in self[:count]}

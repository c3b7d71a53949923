"""How far a stream has been read. The manifest that publishes rows has the position after them."""

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

MAX_PARTITIONS = 4096
EARLIEST, LATEST = 10**12, 253_402_300_799_999  # event times, from 2001 to 9999: other numbers of a broker are none

Text = Annotated[str, Meta(min_length=1, max_length=256)]
Offset = Annotated[str, Meta(pattern=r"^[0-9A-Za-z@_-]{1,100}\Z")]
EventTime = Annotated[int, Meta(ge=EARLIEST, le=LATEST)]


class Position(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A position in a stream: reading continues there.

    Parameters
    ----------
    identity : dict of str to str
        What tells the stream from every other one, also from one that was made again under its name.
    offsets : dict of str to str
        For each partition, where its next row is, in the form of its broker.
    bad_rows : int
        The number of rows before it that were put aside, because they could not be decoded.
    time : int or None
        The event time of the newest message before it, in milliseconds since 1970 (UTC); None if no message has one.

    Raises
    ------
    ValueError
        A text is not printable.

    Examples
    --------
    >>> position = Position({"kind": "kafka", "topic": "digits"}, {"0": "120", "1": "95"})
    >>> position.at("1", "96").offsets
    {'0': '120', '1': '96'}
    """

    identity: Annotated[dict[Text, Text], Meta(min_length=1, max_length=16)]
    offsets: Annotated[dict[Text, Offset], Meta(min_length=1, max_length=MAX_PARTITIONS)]
    bad_rows: Annotated[int, Meta(ge=0, le=2**53)] = 0
    time: EventTime | None = None

    def __post_init__(self) -> None:
        for text in (*self.identity, *self.identity.values(), *self.offsets):
            if not text.isprintable():
                raise ValueError(f"the position has {text!r}, expected printable characters")

    def at(self, partition: str, offset: str, bad_rows: int | None = None) -> "Position":
        """Return the position with another offset of one partition, and another number of bad rows."""
        bad = self.bad_rows if bad_rows is None else bad_rows
        return replace(self, offsets=self.offsets | {partition: offset}, bad_rows=bad)

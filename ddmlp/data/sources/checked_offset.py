"""Offsets of brokers that do not say whether a stream is the same as before."""

import re
from typing import NamedTuple

from ddmlp.errors import DatasetError

_FORM = re.compile(r"(\d{1,19})(?:@([0-9a-f]{8}))?")


class CheckedOffset(NamedTuple):
    """The offset of the next message, and the checksum of the one before it: as text, OFFSET@CHECKSUM.

    Parameters
    ----------
    number : int
        The offset.
    checksum : str
        The CRC-32, in hexadecimal; "" if no message was read.

    Examples
    --------
    >>> str(CheckedOffset(120, "0a1b2c3d")), str(CheckedOffset(0))
    ('120@0a1b2c3d', '0')
    """

    number: int
    checksum: str = ""

    def __str__(self) -> str:
        return f"{self.number}@{self.checksum}" if self.checksum else str(self.number)

    @classmethod
    def parse(cls, text: str) -> "CheckedOffset":
        """Parse a text; raises DatasetError if it has another form."""
        if not (found := _FORM.fullmatch(text)):
            raise DatasetError(f"the position has the offset {text!r}, expected OFFSET or OFFSET@CHECKSUM")
        return cls(int(found[1]), found[2] or "")

"""FlatBuffers tables: the format of an Arrow message's metadata (Message.fbs in Arrow's `format` folder)."""

import struct
from typing import Any


class Table:
    """A table, whose fields are identified by their numbers in the schema. Fields may be absent.

    All methods raise struct.error if the data is damaged.
    """

    def __init__(self, data: memoryview, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - unpack("<i", data, at)
        self._fields_size = unpack("<H", data, self._fields)

    @classmethod
    def root(cls, data: memoryview) -> "Table":
        return cls(data, unpack("<I", data, 0))

    def has(self, field: int) -> bool:
        return self._place(field) > 0

    def number(self, field: int, form: str) -> int:
        """Return a number in a format of `struct`; 0, the default of every field that ddmlp reads, if absent."""
        return unpack(form, self._data, place) if (place := self._place(field)) else 0

    def table(self, field: int) -> "Table":
        return Table(self._data, self._target(field))

    def structs(self, field: int, form: str) -> list[tuple[Any, ...]]:
        """Return a vector of structs, each in a format of `struct`."""
        if not self.has(field):
            return []
        at = self._target(field)
        end = at + 4 + unpack("<I", self._data, at) * struct.calcsize(form)
        return list(struct.iter_unpack(form, self._data[at + 4 : end]))

    def _target(self, field: int) -> int:
        if not (place := self._place(field)):
            raise struct.error(f"field {field} is missing")
        return place + unpack("<I", self._data, place)

    def _place(self, field: int) -> int:
        """Return the offset of the field; 0 if it is absent."""
        entry = 4 + 2 * field
        if entry + 2 > self._fields_size:
            return 0
        offset = unpack("<H", self._data, self._fields + entry)
        return self._at + offset if offset else 0


def unpack(form: str, data: memoryview, at: int) -> int:
    """Return the number at offset `at`; raises struct.error if it is outside the data."""
    if at < 0:
        raise struct.error(f"offset {at} is before the data")
    number: int = struct.unpack_from(form, data, at)[0]
    return number

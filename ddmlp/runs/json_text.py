"""Records as JSON text: one definition, a msgspec Struct, for writer and reader."""

import json
from typing import TypeVar

import msgspec

T = TypeVar("T")


def to_json(record: object, indent: int | None = None) -> str:
    """A record as JSON, in the layout of Python's `json`: files keep the bytes that they have always had."""
    return json.dumps(msgspec.to_builtins(record), indent=indent)


def from_json(text: str | bytes, kind: type[T]) -> T:
    """A record of this kind. Members that the kind does not have are ignored, unless it forbids them.

    Raises ValueError, which says what was found, what was expected, and at which member.
    """
    try:
        return msgspec.convert(json.loads(text), kind, str_keys=True)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None

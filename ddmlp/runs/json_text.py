"""Records as JSON text: one definition, a msgspec Struct, for writer and reader."""

import json
import math
import re
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from ddmlp.errors import printable

T = TypeVar("T")

# What a number or a text of a file may be at all: nobody is to compute with anything else.
MOST = 2**53
Count = Annotated[int, Meta(ge=0, le=MOST)]
Positive = Annotated[int, Meta(ge=1, le=MOST)]
Real = Annotated[float, Meta(ge=-1e15, le=1e15)]  # and no nan
Amount = Annotated[float, Meta(ge=0, le=1e15)]  # seconds, or rows a second
Fraction = Annotated[float, Meta(ge=0, le=1)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Digest = Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")]  # or none

_HALF = re.compile(rb"\\u[dD][89a-fA-F]")  # what may be one of the two halves that some characters are written in


def to_json(record: object, indent: int | None = None) -> str:
    """A record as JSON, in the layout of Python's `json`: files keep the bytes that they have always had."""
    return json.dumps(msgspec.to_builtins(record), indent=indent)


def from_json(text: str | bytes, kind: type[T], *, file_names: bool = False) -> T:
    """A record of this kind. Members that the kind does not have are ignored, unless it forbids them.

    file_names: its texts may have bytes that are no UTF-8, as Python has them in names of files. Numbers that are not
    finite are read as they are written, NaN, Infinity and -Infinity. Raises ValueError, which says what was found, what
    was expected, and at which member.
    """
    raw = text if isinstance(text, bytes) else text.encode()
    try:
        found = json.loads(raw.decode(), object_pairs_hook=_members, parse_int=_whole, parse_float=_finite)
        if _HALF.search(raw):
            json.dumps(found, ensure_ascii=False).encode(errors="surrogateescape" if file_names else "strict")
        return msgspec.convert(found, kind, str_keys=True)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeError:
        raise ValueError("it has a text that is not UTF-8") from None
    except (ValueError, OverflowError) as error:
        raise ValueError(printable(str(error))) from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, whose names are all different."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it has a member twice")
    return found


def _whole(text: str) -> int:
    """A whole number of 64 bits at most, as every one of ours."""
    if len(text) > 20 or not -(2**63) <= (number := int(text)) < 2**64:
        raise ValueError(f"{text[:30]} is out of range")
    return number


def _finite(text: str) -> float:
    """A number that is not too large for a float64."""
    if math.isinf(number := float(text)):
        raise ValueError(f"{text[:30]} is out of range")
    return number

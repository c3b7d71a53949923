"""Records as JSON text. One definition, a msgspec Struct, serves the writer and the reader."""

import json
import math
import re
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from ddmlp.errors import printable

T = TypeVar("T")

# Bounds of the numbers and texts in files: nothing outside them reaches a computation.
MOST = 2**53
Count = Annotated[int, Meta(ge=0, le=MOST)]
Positive = Annotated[int, Meta(ge=1, le=MOST)]
Real = Annotated[float, Meta(ge=-1e15, le=1e15)]  # never nan
Amount = Annotated[float, Meta(ge=0, le=1e15)]  # seconds, or rows per second
Fraction = Annotated[float, Meta(ge=0, le=1)]
Moment = Annotated[datetime, Meta(tz=True)]  # in ISO 8601
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Digest = Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")]  # or empty

_HALF = re.compile(rb"\\u[dD][89a-fA-F]")  # an escaped surrogate, which must be half of a pair


def to_json(record: object, indent: int | None = None) -> str:
    """Return a record as JSON, laid out as by Python's `json`, so that files keep the bytes of earlier versions.

    Examples
    --------
    >>> class Point(msgspec.Struct):
    ...     x: int
    >>> to_json(Point(1))
    '{"x": 1}'
    >>> from_json('{"x": 1, "unknown": 2}', Point)
    Point(x=1)
    """
    return json.dumps(msgspec.to_builtins(record), indent=indent)


def from_json(text: str | bytes, kind: type[T], *, file_names: bool = False) -> T:
    """Parse a record. Unknown members are ignored, unless the kind forbids them.

    NaN, Infinity and -Infinity are read as Python's `json` writes them.

    Parameters
    ----------
    text
        JSON (RFC 8259), in UTF-8.
    kind
        The type of the record.
    file_names
        Whether texts may hold bytes that are not UTF-8, as `surrogateescape` represents them in file names.

    Raises
    ------
    ValueError
        If the text is not JSON or not of this kind, has a member twice, or has a number that is out of range. The
        message is one line and names the member.
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
        raise ValueError("it has text that is not UTF-8") from None
    except (ValueError, OverflowError) as error:
        raise ValueError(printable(str(error))) from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object. Raises ValueError if a name occurs twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it has the same member twice")
    return found


def _whole(text: str) -> int:
    """Parse an integer. Raises ValueError if it needs more than 64 bits."""
    if len(text) > 20 or not -(2**63) <= (number := int(text)) < 2**64:
        raise ValueError(f"{text[:30]} is out of range")
    return number


def _finite(text: str) -> float:
    """Parse a number. Raises ValueError if it is too large for float64."""
    if math.isinf(number := float(text)):
        raise ValueError(f"{text[:30]} is out of range")
    return number

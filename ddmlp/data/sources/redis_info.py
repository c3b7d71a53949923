"""What Redis says about a stream."""

from typing import Any, NamedTuple

from ddmlp.errors import DatasetError

# The answer of XINFO STREAM without the contents of the first and the last entry: their IDs are all that is needed, and
# an entry may have megabytes.
_SCRIPT = """
local found = redis.pcall('XINFO', 'STREAM', KEYS[1])
for at = 2, #found, 2 do
    if type(found[at]) == 'table' then found[at] = found[at][1] end
end
return found
"""

Id = tuple[int, int]


def look(stream: bytes) -> tuple[str, int, bytes]:
    """Return the arguments of EVAL whose answer `RedisInfo.of` takes."""
    return _SCRIPT, 1, stream


class RedisInfo(NamedTuple):
    """What Redis says about a stream, of one moment.

    Parameters
    ----------
    length, added : int
        The number of entries that it has, and that were ever added.
    first : (int, int) or None
        The ID of the first one that it has.
    newest, deleted : (int, int)
        The largest ID of an entry that was ever added, and of one that was deleted singly.
    """

    length: int
    added: int
    first: Id | None
    newest: Id
    deleted: Id

    @classmethod
    def of(cls, answer: list[Any]) -> "RedisInfo":
        """Of Redis' answer; raises DatasetError for one of Redis before 7.0."""
        found = dict(zip(answer[::2], answer[1::2], strict=True))
        if b"entries-added" not in found:
            raise DatasetError("the Redis server is older than 7.0, and so cannot say whether entries are lost")
        first = found[b"first-entry"]
        return cls(
            found[b"length"],
            found[b"entries-added"],
            id_of(first) if first else None,
            id_of(found[b"last-generated-id"]),
            id_of(found[b"max-deleted-entry-id"]),
        )


def id_of(name: bytes) -> Id:
    """Return an ID as two numbers, in whose order IDs are."""
    first, _, second = name.partition(b"-")
    return int(first), int(second)


def text_of(name: Id) -> str:
    """Return an ID as Redis writes it."""
    return f"{name[0]}-{name[1]}"

"""The messages in a chunk of a RabbitMQ stream.

RabbitMQ stores the messages of a stream in chunks, and delivers whole ones. An entry of a chunk is a message, or a
batch of them, which may be compressed: see PROTOCOL.adoc of its plugin rabbitmq_stream.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from ddmlp.data.sources.payloads import MAX_BYTES

CODECS = {1: "gzip", 3: "lz4", 4: "zstd"}  # by their number in a batch; 0: none
_SIZE = struct.Struct(">I")
_BATCH = struct.Struct(">BHII")  # kind, messages, bytes, bytes when compressed
_IS_BATCH, _CODEC = 0x80, 0x70  # bits of the first byte of an entry


class StoredMessage(NamedTuple):
    """A message as it is stored.

    Parameters
    ----------
    time : int
        The time of its chunk, in milliseconds since 1970.
    offset : int
        Its number in the stream.
    content : memoryview
        Its bytes.
    """

    time: int
    offset: int
    content: memoryview

    @property
    def checksum(self) -> str:
        """The CRC-32 of the message and its time, in hexadecimal."""
        return f"{zlib.crc32(self.content, zlib.crc32(str(self.time).encode())):08x}"


def messages_of(chunk: Any) -> Iterator[StoredMessage]:
    """Yield the messages of a chunk, a frame `Deliver`.

    Raises
    ------
    ValueError
        The chunk is malformed, or a batch is compressed in another way, or has more than MAX_BYTES.
    """
    time, offset, data, at = chunk.timestamp, chunk.chunk_first_offset, memoryview(chunk.data), 0
    for _ in range(chunk.num_entries):
        if at < len(data) and data[at] & _IS_BATCH:
            count, inner, at = _batch(data, at)
            place = 0
            for _ in range(count):
                message, place = _next(inner, place)
                yield StoredMessage(time, offset, message)
                offset += 1
        else:
            message, at = _next(data, at)
            yield StoredMessage(time, offset, message)
            offset += 1


def _next(data: memoryview, at: int) -> tuple[memoryview, int]:
    """Return the message that begins at `at`, and where the next one begins."""
    if at + _SIZE.size > len(data):
        raise ValueError("a message is cut off")
    begin = at + _SIZE.size
    end = begin + _SIZE.unpack_from(data, at)[0]
    if end > len(data):
        raise ValueError("a message is cut off")
    return data[begin:end], end


def _batch(data: memoryview, at: int) -> tuple[int, memoryview, int]:
    """Return the number of messages of a batch, their bytes, and where the next entry begins."""
    begin = at + _BATCH.size
    if begin > len(data):
        raise ValueError("a batch is cut off")
    kind, count, size, stored = _BATCH.unpack_from(data, at)
    content, number = data[begin : begin + stored], (kind & _CODEC) >> 4
    if number:
        if number not in CODECS:
            raise ValueError(f"a batch is compressed by codec {number}, expected {', '.join(CODECS.values())} or none")
        if size > MAX_BYTES:
            raise ValueError(f"a batch has {size:,} bytes, expected at most {MAX_BYTES:,}")
        try:
            with pa.input_stream(pa.py_buffer(content), compression=CODECS[number]) as stream:
                content = memoryview(stream.read(size + 1))  # no more, whatever it contains
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"a batch cannot be decompressed: {error}") from None
    if len(content) != size:
        raise ValueError(f"a batch has {len(content):,} bytes or more, expected {size:,}")
    return count, content, begin + stored

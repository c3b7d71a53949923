"""An encrypted connection: OpenSSL encrypts and decrypts in memory, and each system call moves many records.

If OpenSSL read and wrote the socket itself, each record of 16 KiB would take three system calls.
"""

import hashlib
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from ddmlp.errors import printable

CHUNK = 1 << 17  # bytes that are encrypted, sent or received at once
REPLIES = 1 << 16  # bytes of TLS's own messages that may wait for the other end, which receives nothing

T = TypeVar("T")


class TlsSocket:
    """The methods of a non-blocking socket that a `FrameSocket` needs. The handshake is part of the first calls."""

    def __init__(self, end: socket.socket, context: ssl.SSLContext, server: bytes | None) -> None:
        """server: the fingerprint of the server's certificate; None: the other end is the server."""
        self._end, self._fingerprint = end, server
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server is not None)
        self._unsent = memoryview(b"")  # encrypted data
        self._taken = 0  # bytes of the views of the last call that they stand for
        self.partial = False  # whether the part of a record has arrived, which is not decrypted yet

    @property
    def fingerprint(self) -> bytes:
        """The SHA-256 of the server's certificate, after the handshake."""
        return self._fingerprint or hashlib.sha256(self._tls.getpeercert(binary_form=True) or b"").digest()

    @property
    def pending(self) -> bool:
        """Whether data have arrived and are not received yet: no selector reports them."""
        return self._incoming.pending > 0 or self._tls.pending() > 0

    def fileno(self) -> int:
        return self._end.fileno()

    def recv(self, size: int) -> bytes:
        """Receive at most `size` bytes, of one record.

        Raises BlockingIOError if no record is complete, EOFError and OSError.
        """
        found: bytes = self._read(size)
        return found

    def recv_into(self, view: memoryview) -> int:
        """Receive into a view all records that have arrived and fit. See `recv`."""
        size = len(view)
        found: int = self._read(size, view)
        with suppress(ssl.SSLError):  # no other record is complete; an error is reported by the next call
            while 0 < found < size and (more := int(self._tls.read(size - found, view[found:]))):
                found += more
        return found

    def send(self, view: memoryview) -> int:
        """See `sendmsg`."""
        return self.sendmsg([view])

    def sendmsg(self, views: Sequence[memoryview]) -> int:
        """Encrypt and send the first bytes of the views; returns their number.

        Raises OSError, and BlockingIOError if not all of them are sent: the call must be repeated with the same bytes.
        """
        if not self._taken:
            try:
                for view in views:
                    if self._taken < CHUNK:  # memory takes all of a view at once
                        self._taken += self._call(self._tls.write, view[: CHUNK - self._taken])
            except EOFError as error:  # during the handshake
                raise ConnectionResetError(str(error)) from None
        self._push()
        taken, self._taken = self._taken, 0
        return taken

    def close(self) -> None:
        self._end.close()

    def _read(self, *arguments: object) -> Any:
        """Receive and decrypt."""
        self.partial = True
        found = self._call(self._tls.read, *arguments)
        self.partial = False
        return found

    def _receive(self) -> None:
        """Receive encrypted data. Raises BlockingIOError if there are none, EOFError and OSError."""
        data = self._end.recv(CHUNK)
        if not data:
            raise EOFError("the connection was closed")
        self._incoming.write(data)

    def _push(self) -> None:
        """Send encrypted data. Raises BlockingIOError if the socket does not accept all, and OSError."""
        while self._unsent or self._outgoing.pending:
            if not self._unsent:
                self._unsent = memoryview(self._outgoing.read())
            self._unsent = self._unsent[self._end.send(self._unsent) :]

    def _call(self, method: Callable[..., T], *arguments: object) -> T:
        """Call a method of OpenSSL, and send its replies; raises what a socket raises instead of OpenSSL's errors.

        Data are received for it once at most: so a client that sends endlessly does not stop the others.
        """
        try:
            try:
                return method(*arguments)
            except ssl.SSLWantReadError:
                self._reply()
                self._receive()
                return method(*arguments)
        except ssl.SSLWantReadError:
            self._reply()
            raise BlockingIOError from None
        except ssl.SSLError as error:
            self._reply()  # an alert
            raise ConnectionError(f"TLS: {reason(error)}") from None

    def _reply(self) -> None:
        """Send TLS's own messages, as far as the socket accepts them. Raises ConnectionError if too many are left."""
        with suppress(OSError):  # a broken connection is detected when it is read
            self._push()
        unsent = len(self._unsent) + self._outgoing.pending
        if unsent > CHUNK + REPLIES:
            raise ConnectionError(f"{unsent:,} bytes are unsent, expected at most {CHUNK + REPLIES:,}")


def reason(error: Exception) -> str:
    """An error of OpenSSL in words."""
    if not isinstance(error, ssl.SSLError) or error.reason is None:
        return printable(str(error))
    words = error.reason.replace("_", " ").lower()
    detail = getattr(error, "verify_message", "")
    return f"{words}: {detail}" if detail else words

"""Checks that the Ray of a run is alive."""

import errno
import os
import select
import socket
import time

CONNECT_SECONDS = 1.0
ENDED = (errno.ECONNREFUSED, errno.ECONNRESET)  # how the machine of a process that has ended answers


class RayProbe:
    """Connects to Ray's GCS at each check, and to the raylet of this machine once, because a raylet logs a line for
    each connection. It needs no Ray in this process.

    A process that has ended does not come back. A machine that does not answer may be cut off only for a while, and the
    steps of a training need no GCS.
    """

    def __init__(
        self, gcs: str, raylet: str, *, every: float = 1.0, patience: float = 5.0, unreachable: float = 40.0
    ) -> None:
        """gcs: host:port; raylet: the path of a Unix socket; patience: seconds after which a process that has ended
        counts as lost; unreachable: the same for a machine that does not answer."""
        self._name = gcs
        self._address = _resolved(gcs)
        self._every, self._patience, self._unreachable = every, patience, unreachable
        self._looked = self._well = time.monotonic()
        self._attempt: socket.socket | None = None  # to connect to the GCS
        self._raylet = socket.socket(socket.AF_UNIX)
        try:
            self._raylet.connect(raylet)
        except OSError:
            self._raylet.close()
        else:
            self._raylet.setblocking(False)

    def lost(self) -> str | None:
        """What is lost, in words, or None. It never waits, and frequent calls are cheap."""
        if self._attempt is None and time.monotonic() < self._looked + self._every:
            return None
        error = self._connect(0.0)
        if error is None:
            return None
        found, patience = self._missing(error)
        if found is None:
            self._well = time.monotonic()
        return found if time.monotonic() >= self._well + patience else None

    def missing(self) -> str | None:
        """What does not answer now, in words, or None."""
        return self._missing(self._connect(CONNECT_SECONDS) or 0)[0]

    def _connect(self, seconds: float) -> int | None:
        """The number of the error if the GCS cannot be reached, 0 if it can; None if that is still open after
        `seconds`."""
        if self._attempt is None:
            family, address = self._address
            self._attempt, self._looked = socket.socket(family), time.monotonic()
            self._attempt.setblocking(False)
            self._attempt.connect_ex(address)
        poll = select.poll()
        poll.register(self._attempt, select.POLLOUT)
        ended = poll.poll(1000 * seconds)
        if not ended and time.monotonic() < self._looked + CONNECT_SECONDS:
            return None
        error = self._attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if ended else errno.ETIMEDOUT
        self._attempt.close()
        self._attempt = None
        return error

    def _missing(self, error: int) -> tuple[str | None, float]:
        """What does not answer, and for how many seconds that may last."""
        if error in ENDED:
            return f"Ray's GCS, at {self._name}, is gone", self._patience
        if not self._raylet_lives:
            return "Ray's raylet on this machine is gone", self._patience
        if error:
            reason = f"{os.strerror(error)}; its machine is down, or cut off from this one"
            return f"Ray's GCS, at {self._name}, cannot be reached: {reason}", self._unreachable
        return None, 0.0

    @property
    def _raylet_lives(self) -> bool:
        try:
            return bool(self._raylet.recv(1))  # a raylet sends nothing here: only its end makes this return
        except BlockingIOError:
            return True
        except OSError:
            return False

    def close(self) -> None:
        self._raylet.close()
        if self._attempt is not None:
            self._attempt.close()


def _resolved(gcs: str) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    """The family and the address of host:port. A name can have several addresses: the one that answers counts."""
    host, _, port = gcs.rpartition(":")
    host = host.strip("[]")
    try:
        with socket.create_connection((host, int(port)), CONNECT_SECONDS) as found:
            return socket.AddressFamily(found.family), found.getpeername()
    except OSError:
        family, *_, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        return family, address

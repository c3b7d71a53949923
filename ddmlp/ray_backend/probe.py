"""Checks that the Ray of a run is alive."""

import socket
import time

CONNECT_SECONDS = 1.0


class RayProbe:
    """Connects to Ray's GCS at each check, and to the raylet of this machine once, because a raylet logs a line for
    each connection. It needs no Ray in this process."""

    def __init__(self, gcs: str, raylet: str, *, every: float = 1.0, patience: float = 5.0) -> None:
        """gcs: host:port; raylet: the path of a Unix socket; patience: seconds after which a silent process is dead."""
        host, _, port = gcs.rpartition(":")
        self._gcs = host.strip("[]"), int(port)
        self._every, self._patience = every, patience
        self._looked = self._well = time.monotonic()
        self._raylet = socket.socket(socket.AF_UNIX)
        try:
            self._raylet.connect(raylet)
        except OSError:
            self._raylet.close()
        else:
            self._raylet.setblocking(False)

    def lost(self) -> str | None:
        """The process that has not answered for `patience` seconds, in words, or None. Frequent calls are cheap."""
        if time.monotonic() < self._looked + self._every:
            return None
        self._looked = time.monotonic()
        found = self.missing()
        if found is None:
            self._well = time.monotonic()
        return found if time.monotonic() >= self._well + self._patience else None

    def missing(self) -> str | None:
        """The process that does not answer now, in words, or None."""
        try:
            socket.create_connection(self._gcs, CONNECT_SECONDS).close()
        except OSError:
            return "Ray's GCS, at {}:{}, is gone".format(*self._gcs)
        try:
            if self._raylet.recv(1):  # a raylet sends nothing here: only its end makes this return
                return None
        except BlockingIOError:
            return None
        except OSError:
            pass
        return "Ray's raylet on this machine is gone"

    def close(self) -> None:
        self._raylet.close()

"""Whether the Ray that a run is on still lives."""

import socket
import time

CONNECT_SECONDS = 1.0


class RayProbe:
    """Connects to Ray's GCS at each look, and to the raylet of this machine once, because a raylet writes a line into
    its log for each connection. Needs no Ray in this process."""

    def __init__(self, gcs: str, raylet: str, *, every: float = 1.0, patience: float = 5.0) -> None:
        """gcs: host:port; raylet: a Unix socket's path; patience: seconds until what does not answer counts as dead."""
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
        """What has not answered for `patience` seconds, in words; None if all is well. Cheap if called often."""
        if time.monotonic() < self._looked + self._every:
            return None
        self._looked = time.monotonic()
        found = self.missing()
        if found is None:
            self._well = time.monotonic()
        return found if time.monotonic() >= self._well + self._patience else None

    def missing(self) -> str | None:
        """What does not answer now, in words; None if all is well."""
        try:
            socket.create_connection(self._gcs, CONNECT_SECONDS).close()
        except OSError:
            return "Ray's GCS, at {}:{}, is gone".format(*self._gcs)
        try:
            if self._raylet.recv(1):  # a raylet sends nothing here, so this is the end of it
                return None
        except BlockingIOError:
            return None
        except OSError:
            pass
        return "Ray's raylet on this machine is gone"

    def close(self) -> None:
        self._raylet.close()

"""Chooses the Ray to train on: a named one, this program's, one of this user on this machine, or a new one."""

import os
import re
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from ddmlp.errors import ClusterError, ConfigError

CONNECT_SECONDS = 3.0
HOST_PORT = re.compile(r"(\[(?P<ipv6>[^][]*:[^][]*)\]|(?P<host>[^][:]+)):(?P<port>[0-9]{1,5})")
PROC = Path("/proc")
SHOWN = "expected HOST:PORT of its head, as `ray start --head` prints it (default port: 6379)"


@dataclass(frozen=True)
class Choice:
    """The address of a Ray to attach to, or None for a new one; and the reason, in words."""

    address: str | None
    why: str

    @property
    def own(self) -> bool:
        return self.address is None


def choose(address: str | None = None) -> Choice:
    """Choose by `address` ("local": a new one), by RAY_ADDRESS, or by the Rays that run, in this order.

    A Ray that is not named must belong to this user. Raises ConfigError if an address is not HOST:PORT, and
    ClusterError if no Ray answers there.
    """
    source = "address" if address else "RAY_ADDRESS"
    named = (address or os.environ.get("RAY_ADDRESS", "")).strip()
    if named == "local":
        return Choice(None, source)
    if named not in ("", "auto"):
        return Choice(_answering(named, source), source)
    if program := _of_this_program():
        return Choice(program, "this program is connected to it")
    found = _running()
    if found.own and named == "auto":
        raise ClusterError(f"{found.why}; start one with: ray start --head")
    return found


def _answering(address: str, source: str) -> str:
    """The address, if it is HOST:PORT and a process answers there."""
    scheme, has_scheme, _ = address.partition("://")
    if has_scheme:
        kinds = {"ray": "a Ray Client server", "http": "a dashboard", "https": "a dashboard"}
        raise ConfigError(f"{source} is {address}, the address of {kinds.get(scheme, 'no Ray')}; {SHOWN}")
    if not (parts := _parts(address)):
        raise ConfigError(f"{source} is {address}; {SHOWN}")
    if reason := _refusal(parts):
        remedy = "give no address" if source == "address" else "unset RAY_ADDRESS"
        raise ClusterError(f"no Ray answers at {address} ({source}): {reason}; start it, or {remedy}")
    return address


def _refusal(parts: tuple[str, int]) -> str | None:
    """The reason why no process can be reached at a host and port; None if one can."""
    try:
        socket.create_connection(parts, timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return None


def _parts(address: str) -> tuple[str, int] | None:
    """Host and port of HOST:PORT or, if the host is an IPv6 address, of [HOST]:PORT; None for any other form."""
    found = HOST_PORT.fullmatch(address)
    if not found or not 0 < int(found["port"]) < 65536:
        return None
    return found["ipv6"] or found["host"], int(found["port"])


def _of_this_program() -> str | None:
    """The address of the Ray that the user's program has connected this process to, if it has."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    return str(ray.get_runtime_context().gcs_address)


def _running() -> Choice:
    """The Ray that `ray start` started on this machine, if it answers and belongs to this user."""
    # Ray looks in the same places.
    folder = os.environ.get("RAY_TMPDIR") or (sys.platform == "linux" and os.environ.get("TMPDIR")) or "/tmp"
    record = Path(folder, "ray", "ray_current_cluster")
    try:
        address, owner = record.read_text().strip(), record.stat().st_uid
    except (OSError, UnicodeDecodeError):
        return Choice(None, "no Ray is running on this machine")
    parts = _parts(address)
    if not parts or _refusal(parts):
        return Choice(None, f"no Ray answers at {address}, which {record} names")
    # The owner of the record is the second choice: Ray leaves it unchanged if another user's Ray has the same address.
    if _listener(parts[1], owner) != os.getuid():
        return Choice(None, f"the Ray at {address} belongs to another user; to join it, give its address")
    return Choice(address, "it is yours and runs on this machine")


def _listener(port: int, default: int) -> int:
    """The user whose process listens at a TCP port of this machine, or `default` if the system does not show it."""
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state, _, _, _, user, *_ = line.split()
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                return int(user)
    return default

"""Asks the head of a Ray, before this process attaches to it, whether it requires a token, and for its versions.

Ray keeps the settings that it reads when it is imported, and its own attempts to connect take long to fail. So the
head is asked first, by messages of its protocol.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from ddmlp.errors import ClusterError

ANSWER_SECONDS = 4.0
LEFT_TO_RAY = ("RAY_USE_TLS", "RAY_ENABLE_K8S_TOKEN_AUTH")  # certificates, and tokens that Kubernetes gives
METHOD = "/ray.rpc.InternalKVGcsService/InternalKVGet"
# Protocol Buffers: field 1, the key; field 2, its namespace.
VERSIONS = b"\x0a\x10CLUSTER_METADATA\x12\x07cluster"
SESSION = b"\x0a\x0csession_name\x12\x07session"
PROC = Path("/proc")


@dataclass(frozen=True)
class Head:
    """The head of a Ray.

    authentication: the RAY_AUTH_MODE that it accepts; versions: of Ray and Python; session: a unique name of this Ray.
    The latter two are missing if its answer has another form.
    """

    address: str
    authentication: str
    versions: tuple[str, str] | None = None
    session: str = ""

    @property
    def differs(self) -> str:
        """The versions in which it differs from this process; empty if they are equal."""
        here = version("ray"), ".".join(map(str, sys.version_info[:3]))
        if self.versions in (None, here):
            return ""
        assert self.versions is not None
        there = "Ray {} and Python {}".format(*self.versions)
        return f"{there} at {self.address}, Ray {here[0]} and Python {here[1]} here ({sys.executable})"


def ask_head(address: str) -> Head | None:
    """The head at an address; None if it cannot be asked in this way.

    Raises ClusterError if none answers, or if it requires a token that this user does not have.
    """
    if any(os.environ.get(name) == "1" for name in LEFT_TO_RAY):
        return None
    import grpc

    token, source = find_token()
    offers = [(), (("authorization", f"Bearer {token}"),)] if token else [()]
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        for metadata in offers:
            try:
                ask = partial(channel.unary_unary(METHOD), timeout=ANSWER_SECONDS, metadata=metadata)
                versions, session = _versions(ask(VERSIONS)), _session(ask(SESSION))
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                    continue
                reason = error.details().splitlines()[0][:200] if error.details() else error.code().name
                raise ClusterError(f"the server at {address} is not the head of a Ray: {reason}") from None
            return Head(address, "token" if metadata else "disabled", versions, session)
    raise ClusterError(
        f"the Ray at {address} requires a token, and {source} has {'another' if token else 'none'}; set "
        "RAY_AUTH_TOKEN_PATH to a file with the token that its head was started with (the user who started it has it "
        "in ~/.ray/auth_token)"
    )


def find_token() -> tuple[str, str]:
    """This user's token for Ray (or ""), and its source. The places and their order are those of Ray."""
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token, "RAY_AUTH_TOKEN"
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    try:
        return path.read_text().strip(), str(path)
    except (OSError, UnicodeDecodeError):
        return "", str(path)


def check_node(head: Head) -> None:
    """Raise ClusterError if this machine is no node of the Ray, or this user cannot use the node: Ray would wait for a
    minute, or abort this process."""
    if not head.session or not PROC.is_dir():
        return
    found = list(_nodes(head.session))
    if not found:
        raise ClusterError(
            f"the Ray at {head.address} has no node on this machine; use a machine that is one, or make this one a "
            f"node: ray start --address {head.address}"
        )
    for process, logs in found:
        for folder in (logs, logs / "events"):  # Ray lets all users write to the first
            if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
                raise ClusterError(
                    f"the Ray at {head.address} belongs to user {process.stat().st_uid}, and you cannot join it: "
                    f"you cannot write to {folder}; start one of your own: address local"
                )


def _nodes(session: str) -> Iterator[tuple[Path, Path]]:
    """The processes of the session's nodes on this machine, and the folders of their logs, found as Ray does."""
    for path in PROC.glob("[0-9]*/cmdline"):
        try:
            program, *words = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if program.endswith(b"/raylet") and f"--session-name={session}".encode() in words:
            for word in words:
                if word.startswith(b"--log_dir="):
                    yield path.parent, Path(os.fsdecode(word.partition(b"=")[2]))


def _session(answer: bytes) -> str:
    found = re.search(rb"session_[\w.-]+", answer)
    return found[0].decode() if found else ""


def _versions(answer: bytes) -> tuple[str, str] | None:
    try:
        found = json.loads(re.search(rb"\{.*\}", answer)[0])  # type: ignore[index]
        return str(found["ray_version"]), str(found["python_version"])
    except (TypeError, ValueError, KeyError):
        return None

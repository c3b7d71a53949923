"""Ray: the cluster that is running, or one of our own, and how much room it has for actors."""

import os
import secrets
import socket
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ddmlp.errors import ClusterError, DdmlpError
from ddmlp.ray_backend.process_groups import own_process_groups

OBJECT_STORE_BYTES = 100 << 20  # of our own Ray: our arrays do not travel through its store
CONNECT_SECONDS = 3
# A process that Ray starts again would have to be told what to do again, so that is not left to Ray.
NEVER_AGAIN: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0}
INSTALLED = "if this is at the start: every node needs this ddmlp, and the RAY_AUTH_MODE that its Ray was started with"

# Read by Ray when it is imported. No `uv run` among this process's ancestors is to change how the workers start; no
# usage report; workers as urgent as this process, which waits for them; no second report of a death.
ALWAYS = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ray would print long paragraphs into our standard output; we say it ourselves, in a line.
    "RAY_DEDUP_LOGS_SKIP_REGEX": "A worker died or was killed|has been marked dead|Raylet is terminated",
}
# For a Ray that runs, and has answered: one that refuses us is not to be asked 20 times.
ATTACHED = {"RAY_NUM_REDIS_GET_RETRIES": "3"}
# For a Ray of our own: listen on loopback only, demand a token of everyone, measure nothing.
OWN = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_enable_metrics_collection": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",
}


@dataclass(frozen=True)
class Cluster:
    """A Ray that this process is connected to.

    own: whether it was started here, and ends with `leave`; dashboard: where its dashboard is, if it has one.
    """

    ray: ModuleType
    address: str
    own: bool
    dashboard: str | None = None

    @property
    def cpus(self) -> float:
        """CPUs of all nodes, as Ray counts them."""
        return float(self.ray.cluster_resources().get("CPU", 0))

    @property
    def here(self) -> str:
        """This process's node."""
        return str(self.ray.get_runtime_context().get_node_id())

    @property
    def nodes(self) -> int:
        """How many nodes are alive."""
        return sum(node["Alive"] for node in self.ray.nodes())

    def share(self, workers: int) -> float:
        """CPUs to reserve for each of so many workers: one, or a fraction where there are fewer."""
        if not self.cpus:
            return 1.0  # which no node has now
        # Ray counts in ten-thousandths; rounded down, so that the shares fit.
        return min(1.0, int(self.cpus / workers * 10_000) / 10_000)

    def room(self) -> str:
        """What the cluster has, in words."""
        free = float(self.ray.available_resources().get("CPU", 0))
        return f"{self.nodes} node{'s' * (self.nodes != 1)} with {self.cpus:g} CPUs, {free:g} of them free"

    def leave(self) -> None:
        """Disconnect, and end a Ray of our own."""
        self.ray.shutdown()


def connect(address: str | None = None, *, dashboard: bool = False) -> Cluster:
    """Attach to the Ray at `address`, at RAY_ADDRESS, or to the one running on this machine; else start one here.

    `address` is HOST:PORT; "local" always starts one. Raises ClusterError if a Ray that was asked for does not answer,
    or rejects this process.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if address in (None, "auto"):
        running = _running()
        if running is None and address == "auto":
            raise ClusterError("no Ray is running on this machine; start one with: ray start --head")
        address = running
    elif address != "local" and not _answers(address):
        raise ClusterError(f"no Ray answers at {address}; start one with ray start, or leave out --address")
    own = address in (None, "local")
    for name, value in {**ALWAYS, **(OWN if own else ATTACHED)}.items():
        os.environ.setdefault(name, value)
    if own:
        os.environ["RAY_AUTH_MODE"] = "token"
        # A token of this process's own: nothing is written to the user's home, and it ends with us.
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    elif has_token():
        # `ray start --head` demands the token where there is one; Ray offers it by itself only where no address is
        # given. A Ray that was started before there was one needs RAY_AUTH_MODE=disabled.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray

    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    starting = {"include_dashboard": dashboard, "object_store_memory": OBJECT_STORE_BYTES}
    options: dict[str, Any] = {"address": "local", **starting} if own else {"address": address}
    try:
        with own_process_groups() if own else nullcontext():
            found: Any = ray.init(**options, **quiet)
    except Exception as error:  # Ray raises many kinds here, RuntimeError and ConnectionError among them
        where = "a local Ray" if own else f"the Ray at {address}"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        hint = "" if own else "; if it demands a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
        raise ClusterError(f"{where} could not be {'started' if own else 'joined'}: {reason}{hint}") from error
    url = found.address_info.get("webui_url")
    return Cluster(ray, str(found.address_info["gcs_address"]), own, f"http://{url}" if url else None)


def get_answer(ray: ModuleType, asked: Any) -> Any:
    """The answer of an actor; raises what it raised, where that is an error of ours or of the operating system, and
    ClusterError for others. Its death is Ray's RayActorError."""
    try:
        return ray.get(asked)
    except ray.exceptions.RayActorError:
        raise
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, DdmlpError | OSError):
            raise error.cause from None
        raise ClusterError(f"an actor failed: {one_line(error.cause)}; {INSTALLED}") from error


def one_line(error: BaseException) -> str:
    """An error of Ray's in one line."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    return f"{type(error).__name__}: {lines[0].strip()}"


def _running() -> str | None:
    """The address of the Ray that `ray start` made on this machine, if it still answers."""
    # Where Ray itself looks; read here, because what may be set before `import ray` depends on the answer.
    folder = os.environ.get("RAY_TMPDIR") or (sys.platform == "linux" and os.environ.get("TMPDIR")) or "/tmp"
    try:
        address = Path(folder, "ray", "ray_current_cluster").read_text().strip()
    except OSError:
        return None
    return address if _answers(address) else None


def has_token() -> bool:
    """Whether this user has a token for Ray, in the places where Ray looks."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return True
    return Path("~/.ray/auth_token").expanduser().exists()


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True

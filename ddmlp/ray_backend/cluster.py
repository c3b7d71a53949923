"""Attaches to a Ray or starts one; its resources, and the answers of its actors."""

import logging
import os
import re
import secrets
import socket
import time
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ddmlp.errors import ClusterError, DdmlpError
from ddmlp.ray_backend.choice import Choice
from ddmlp.ray_backend.head import ask_head, check_node, find_token
from ddmlp.ray_backend.temporary import has_room, ray_folder

OBJECT_STORE_BYTES = 100 << 20  # of a local Ray: no array of a training goes through its store
SHARED_MEMORY = Path("/dev/shm")
LOOPBACK = "127.0.0.1"
CPU_SECONDS = 5  # until a running Ray must have a CPU
# Ray must not restart actors or repeat calls: a new process would not know its job.
NEVER_AGAIN: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0}
SHARES = 10_000  # of a CPU: the unit in which Ray counts
EXIT, EXIT_CHARACTERS = "Worker exit type:", 400  # how Ray introduces the reason why a process ended
NOT_MADE, COLOUR = "raised in its creation task", re.compile(r"\x1b\[[0-9;]*m")  # how Ray begins a traceback
INSTALLED = (
    "if this happens at the start: every node needs this version of ddmlp, and the RAY_AUTH_MODE that its Ray was "
    "started with"
)

# Ray reads these when it is imported: `uv run` among the ancestors of this process must not change how workers start;
# no usage report; the variables of accelerators stay as they are; no traceback of a call to an actor that is replaced
# before the answer is read.
ALWAYS = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
}
# For a running Ray: if it refuses this process, ask 3 times, not 20.
ATTACHED = {"RAY_NUM_REDIS_GET_RETRIES": "3"}
_token = secrets.token_hex(32)  # one for each process: Ray keeps the first
# For a local Ray: listen on loopback only, collect no metrics, start no workers in advance, and give workers the
# priority of this process, which waits for them.
OWN = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",
}


@dataclass(frozen=True)
class Cluster:
    """A Ray that this process is connected to.

    own: whether this process started it, and `leave` ends it; raylet: its socket on this machine; why: the reason of
    the choice, in words; dashboard: its URL, if it has one.
    """

    ray: ModuleType
    address: str
    own: bool
    raylet: str
    why: str = ""
    dashboard: str | None = None

    @property
    def cpus(self) -> float:
        """CPUs of all nodes, as Ray counts them."""
        return float(self.ray.cluster_resources().get("CPU", 0))

    @property
    def cpus_by_node(self) -> dict[str, float]:
        """CPUs of each live node that has any, by its number."""
        found = {node["NodeID"]: float(node["Resources"].get("CPU", 0)) for node in self.ray.nodes() if node["Alive"]}
        return {node: cpus for node, cpus in found.items() if cpus}

    def host(self, node: str) -> str:
        """The name of a node's machine, and its address."""
        for each in self.ray.nodes():
            if each["NodeID"] == node:
                return f"{each['NodeManagerHostname']} ({each['NodeManagerAddress']})"
        return "an unknown host"

    def node_of(self, actor: Any) -> str:
        """The number of the node that an actor was started on; empty if it has none."""
        found = self.ray._private.state.actors(actor._actor_id.hex()).get("Address", {}).get("NodeID")
        return found or ""

    @property
    def here(self) -> str:
        """This process's node."""
        return str(self.ray.get_runtime_context().get_node_id())

    @property
    def nodes(self) -> int:
        """The number of live nodes."""
        return sum(node["Alive"] for node in self.ray.nodes())

    def share(self, workers: int) -> float:
        """CPUs to reserve for each worker: at most 1, and no more than lets all fit on otherwise empty nodes."""
        nodes = [round(cpus * SHARES) for cpus in self.cpus_by_node.values()]
        if sum(nodes) < workers:
            return 1.0 if not nodes else 1 / SHARES  # no node has that now
        # The larger the share, the fewer workers fit: find the largest share with which all do.
        largest = bisect_right(range(1, SHARES + 1), -workers, key=lambda share: -sum(node // share for node in nodes))
        return largest / SHARES

    def room(self) -> str:
        """The nodes and CPUs, in words."""
        free = float(self.ray.available_resources().get("CPU", 0))
        return f"{self.nodes} node{'s' * (self.nodes != 1)} with {self.cpus:g} CPUs, {free:g} of them free"

    def leave(self) -> None:
        """Disconnect; ends a Ray that was started here."""
        self.ray.shutdown()


def connect(choice: Choice, *, dashboard: bool = False) -> Cluster:
    """Attach to a Ray, or start one here. This changes the environment of this process.

    Raises ClusterError if Ray does not start, rejects this process, or has no CPUs, and the errors of `ask_head`,
    `check_node` and `ray_folder`.
    """
    return _start(choice, dashboard=dashboard) if choice.own else _join(choice)


def _start(choice: Choice, *, dashboard: bool) -> Cluster:
    """Start a Ray."""
    folder = ray_folder()
    _check_loopback()
    for name, value in {**ALWAYS, **OWN}.items():
        os.environ.setdefault(name, value)
    # Require a token of every process. It is not written to the home folder, and ends with this process.
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=_token)
    options: dict[str, Any] = {
        "address": "local",
        "include_dashboard": dashboard,
        "object_store_memory": OBJECT_STORE_BYTES,
        "_temp_dir": str(folder),
    }
    if not has_room(SHARED_MEMORY, OBJECT_STORE_BYTES):
        options["_plasma_directory"] = str(folder)  # on disk, which costs no time: see OBJECT_STORE_BYTES
    try:
        return _connected(choice, options)
    except Exception as error:  # Ray raises many kinds here, RuntimeError and ConnectionError among them
        raise ClusterError(f"a local Ray could not be started, its logs are in {folder}: {one_line(error)}") from error


def _join(choice: Choice) -> Cluster:
    """Attach to a running Ray."""
    assert choice.address is not None
    head = ask_head(choice.address)
    for name, value in {**ALWAYS, **ATTACHED}.items():
        os.environ.setdefault(name, value)
    if head is not None:
        check_node(head)
        # The mode of the head: a Ray that was started without a token rejects one, and Ray would send it.
        os.environ["RAY_AUTH_MODE"] = head.authentication
    elif find_token()[0]:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        found = _connected(choice, {"address": choice.address})
    except Exception as error:
        reason = head.differs if head is not None and head.differs else one_line(error)
        raise ClusterError(f"the Ray at {choice.address} ({choice.why}) could not be joined: {reason}") from error
    for _ in range(CPU_SECONDS):
        if found.cpus:
            return found
        time.sleep(1)
    found.leave()
    raise ClusterError(
        f"the Ray at {choice.address} ({choice.why}) has no CPUs, and workers need them; start a node with CPUs: "
        f"ray start --address {choice.address}"
    )


def _connected(choice: Choice, options: dict[str, Any]) -> Cluster:
    import ray

    found: Any = ray.init(**options, logging_level=logging.ERROR, log_to_driver=False)
    at = found.address_info
    url = f"http://{at['webui_url']}" if at.get("webui_url") else None
    return Cluster(ray, str(at["gcs_address"]), choice.own, str(at["raylet_socket_name"]), choice.why, url)


def _check_loopback() -> None:
    """Raise ClusterError if this machine cannot reach itself, which Ray reports after a minute only."""
    try:
        with socket.create_server((LOOPBACK, 0)) as server:
            socket.create_connection(server.getsockname(), timeout=1).close()
    except OSError as error:
        raise ClusterError(
            f"this machine cannot reach itself at {LOOPBACK}: {error.strerror or error}; Ray's processes need that to "
            "communicate: ip link set lo up, or give the address of a Ray on another machine, or train without workers"
        ) from None


class ActorLostError(Exception):
    """An actor is dead or cannot be reached; the message is the reason, in one line."""


def get_answer(ray: ModuleType, asked: Any, seconds: float | None = None) -> Any:
    """Wait for the answer to a call of an actor, for at most `seconds`.

    Raises the actor's error if it is a DdmlpError or an OSError, ClusterError for other errors and if the actor's class
    cannot be imported there, and ActorLostError, also if there is no answer in time.
    """
    try:
        return ray.get(asked, timeout=seconds)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, DdmlpError | OSError):
            raise error.cause from None
        raise ClusterError(f"an actor failed: {one_line(error.cause)}; {INSTALLED}") from error
    except ray.exceptions.RayError as error:  # of many kinds: a dead actor, a dead node, a full memory
        if getattr(error, "actor_init_failed", False):
            raise ClusterError(f"an actor could not be created: {one_line(error)}; {INSTALLED}") from error
        raise ActorLostError(one_line(error)) from error


def one_line(error: BaseException) -> str:
    """An error of Ray in one line: its first line, and why a process ended, if it has that; the last line, with the
    reason, if an actor could not be created."""
    text = COLOUR.sub("", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    if NOT_MADE in lines[0]:
        return f"{type(error).__name__}: {lines[-1]}"
    _, found, why = " ".join(lines[1:]).partition(EXIT)
    return f"{type(error).__name__}: {lines[0]}" + (f" {EXIT} {why.strip()[:EXIT_CHARACTERS]}" if found else "")

"""Attaches to a Ray or starts one; how much room it has for actors, and what its actors answer."""

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

OBJECT_STORE_BYTES = 100 << 20  # of our own Ray: our arrays do not travel through its store
SHARED_MEMORY = Path("/dev/shm")
LOOPBACK = "127.0.0.1"
CPU_SECONDS = 5  # until a Ray that runs must have a CPU
# Ray must not restart actors or repeat calls: a new process would not know its job.
NEVER_AGAIN: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0}
SHARES = 10_000  # of a CPU: Ray counts in these
EXIT, EXIT_CHARACTERS = "Worker exit type:", 400  # how Ray says why a process has ended
NOT_MADE, COLOUR = "raised in its creation task", re.compile(r"\x1b\[[0-9;]*m")  # how Ray begins a traceback
INSTALLED = "if this is at the start: every node needs this ddmlp, and the RAY_AUTH_MODE that its Ray was started with"

# Read by Ray when it is imported. No `uv run` among this process's ancestors is to change how the workers start; no
# usage report; workers as urgent as this process, which waits for them; no second report of a death.
ALWAYS = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
# For a Ray that runs, and has answered: one that refuses us is not to be asked 20 times.
ATTACHED = {"RAY_NUM_REDIS_GET_RETRIES": "3"}
_token = secrets.token_hex(32)  # one a process, because Ray keeps the first
# For a Ray of our own: listen on loopback only, measure nothing.
OWN = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",
}


@dataclass(frozen=True)
class Cluster:
    """A Ray that this process is connected to.

    own: whether it was started here, and ends with `leave`; raylet: its socket on this machine; why: why it was
    chosen, in words; dashboard: where its dashboard is, if it has one.
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
        """CPUs of each node that is alive and has some, by its number."""
        found = {node["NodeID"]: float(node["Resources"].get("CPU", 0)) for node in self.ray.nodes() if node["Alive"]}
        return {node: cpus for node, cpus in found.items() if cpus}

    def host(self, node: str) -> str:
        """The name of a node's machine, and its address."""
        for each in self.ray.nodes():
            if each["NodeID"] == node:
                return f"{each['NodeManagerHostname']} ({each['NodeManagerAddress']})"
        return "an unknown host"

    def node_of(self, actor: Any) -> str:
        """The number of the node that an actor was started on; empty if it was on none."""
        found = self.ray._private.state.actors(actor._actor_id.hex()).get("Address", {}).get("NodeID")
        return found or ""

    @property
    def here(self) -> str:
        """This process's node."""
        return str(self.ray.get_runtime_context().get_node_id())

    @property
    def nodes(self) -> int:
        """How many nodes are alive."""
        return sum(node["Alive"] for node in self.ray.nodes())

    def share(self, workers: int) -> float:
        """CPUs to reserve for each worker: at most 1, and the most with which all fit on the nodes, if nothing else
        runs there."""
        nodes = [round(cpus * SHARES) for cpus in self.cpus_by_node.values()]
        if sum(nodes) < workers:
            return 1.0 if not nodes else 1 / SHARES  # no node has that now
        # The more for each, the fewer fit. This many shares do, and no more.
        return (
            bisect_right(range(1, SHARES + 1), -workers, key=lambda share: -sum(node // share for node in nodes))
        ) / SHARES

    def room(self) -> str:
        """What the cluster has, in words."""
        free = float(self.ray.available_resources().get("CPU", 0))
        return f"{self.nodes} node{'s' * (self.nodes != 1)} with {self.cpus:g} CPUs, {free:g} of them free"

    def leave(self) -> None:
        """Disconnect, and end a Ray of our own."""
        self.ray.shutdown()


def connect(choice: Choice, *, dashboard: bool = False) -> Cluster:
    """Attach to a Ray, or start one here.

    This changes the environment of this process. Raises ClusterError if Ray does not start, rejects this process, or
    has no CPUs; also what `ask_head`, `check_node` and `ray_folder` raise.
    """
    return _start(choice, dashboard=dashboard) if choice.own else _join(choice)


def _start(choice: Choice, *, dashboard: bool) -> Cluster:
    """A Ray of our own."""
    folder = ray_folder()
    _check_loopback()
    for name, value in {**ALWAYS, **OWN}.items():
        os.environ.setdefault(name, value)
    # Demand a token of everyone. Nothing is written to the user's home, and it ends with us.
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=_token)
    options: dict[str, Any] = {
        "address": "local",
        "include_dashboard": dashboard,
        "object_store_memory": OBJECT_STORE_BYTES,
        "_temp_dir": str(folder),
    }
    if not has_room(SHARED_MEMORY, OBJECT_STORE_BYTES):
        options["_plasma_directory"] = str(folder)  # on disk, which costs nothing: see OBJECT_STORE_BYTES
    try:
        return _connected(choice, options)
    except Exception as error:  # Ray raises many kinds here, RuntimeError and ConnectionError among them
        raise ClusterError(f"a local Ray could not be started, its logs are in {folder}: {one_line(error)}") from error


def _join(choice: Choice) -> Cluster:
    """A Ray that runs."""
    assert choice.address is not None
    head = ask_head(choice.address)
    for name, value in {**ALWAYS, **ATTACHED}.items():
        os.environ.setdefault(name, value)
    if head is not None:
        check_node(head)
        # As the head has it: a Ray that was started before this user had a token takes none, and Ray would send it.
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
        f"the Ray at {choice.address} ({choice.why}) has no CPUs, and the workers need some; start a node that has: "
        f"ray start --address {choice.address}"
    )


def _connected(choice: Choice, options: dict[str, Any]) -> Cluster:
    import ray

    found: Any = ray.init(**options, logging_level=logging.ERROR, log_to_driver=False)
    at = found.address_info
    url = f"http://{at['webui_url']}" if at.get("webui_url") else None
    return Cluster(ray, str(at["gcs_address"]), choice.own, str(at["raylet_socket_name"]), choice.why, url)


def _check_loopback() -> None:
    """Raise ClusterError if this machine cannot reach itself, which Ray takes a minute to find out."""
    try:
        with socket.create_server((LOOPBACK, 0)) as server:
            socket.create_connection(server.getsockname(), timeout=1).close()
    except OSError as error:
        raise ClusterError(
            f"this machine cannot reach itself at {LOOPBACK}: {error.strerror or error}; Ray's processes need that to "
            "talk to each other: ip link set lo up, or name a Ray elsewhere by --address, or train by --workers 0"
        ) from None


class ActorLostError(Exception):
    """An actor is dead or cannot be reached; the reason, in a line."""


def get_answer(ray: ModuleType, asked: Any) -> Any:
    """The answer to a call of an actor, once it has come. Raises what the actor raised if that is a DdmlpError or an
    OSError, ClusterError for other errors and if its class cannot be imported there, and ActorLostError."""
    try:
        return ray.get(asked)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, DdmlpError | OSError):
            raise error.cause from None
        raise ClusterError(f"an actor failed: {one_line(error.cause)}; {INSTALLED}") from error
    except ray.exceptions.RayError as error:  # of many kinds: it has died, its node has, or the memory was full
        if getattr(error, "actor_init_failed", False):
            raise ClusterError(f"an actor cannot be made: {one_line(error)}; {INSTALLED}") from error
        raise ActorLostError(one_line(error)) from error


def one_line(error: BaseException) -> str:
    """An error of Ray's in one line: its first line, and why a process has ended, if it says so; the last one, the
    reason, if an actor could not be made."""
    text = COLOUR.sub("", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    if NOT_MADE in lines[0]:
        return f"{type(error).__name__}: {lines[-1]}"
    _, found, why = " ".join(lines[1:]).partition(EXIT)
    return f"{type(error).__name__}: {lines[0]}" + (f" {EXIT} {why.strip()[:EXIT_CHARACTERS]}" if found else "")

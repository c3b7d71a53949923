"""A worker of a group."""

from dataclasses import dataclass
from typing import Any

from ddmlp.ray_backend.endpoint import Endpoint
from ddmlp.ray_backend.relays import Relay
from ddmlp.training.worker_pool import EXITED


@dataclass(eq=False)
class Member:
    """A worker's actor, where it runs, and what it does.

    slot: the number of its log, which a replacement continues; place: its placement group, in an elastic group;
    endpoint: of the server that it works for; relay: the one on its node, if there is one; cause: why the server has
    dropped it, if so.
    """

    number: int
    slot: int
    actor: Any
    place: Any = None
    node: str = ""
    process: int = 0
    endpoint: Endpoint | None = None
    relay: Relay | None = None
    cause: str = EXITED

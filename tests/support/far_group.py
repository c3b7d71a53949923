"""A group whose workers are on other nodes than the server, as far as it knows."""

from typing import Any

from ddmlp.ray_backend.worker_group import WorkerGroup


class FarGroup(WorkerGroup):
    """Takes all nodes for other ones than the server's."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._here = "elsewhere"

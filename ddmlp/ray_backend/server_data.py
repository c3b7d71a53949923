"""The training data on the server's node, read from another node, in parts, as Ray's objects."""

import logging
from typing import Any

from ddmlp.data.dataset import Dataset
from ddmlp.data.dataset_cache import DatasetCache
from ddmlp.data.manifest import Manifest, Shard
from ddmlp.ray_backend.cluster import ActorLostError, get_answer
from ddmlp.ray_backend.supervised import BESIDE
from ddmlp.training.job import Job

log = logging.getLogger(__name__)


def open_data(job: Job, server: Any, *, far: bool) -> Dataset:
    """Open the training data of a worker. A node without their folder fetches them, unless they may still grow.

    far: whether the server is on another node. Raises ConnectionError if it does not answer, DatasetError if the data
    are damaged, or have no room here.
    """
    path = job.data / "train"
    if not far or job.data.exists() or job.config.follow:
        return Dataset(path, verify=far)  # the server verifies only the copy on its node
    log.info("this node has no %s: its copy is fetched from the server's node", job.data)
    data = ServerData(server, job.timeouts.rows)
    dataset = DatasetCache.of_user().fetch(data.manifest(), data.read_part, job.timeouts.answer)
    log.info("the data are in %s", dataset.path)
    return dataset


class ServerData:
    """Reads the data of a server actor.

    Parameters
    ----------
    server
        The actor.
    seconds : float
        The longest wait for a part.
    """

    def __init__(self, server: Any, seconds: float) -> None:
        self._server, self._seconds = server, seconds

    def manifest(self) -> Manifest:
        """The manifest of the data. Raises ConnectionError if the server does not answer, as does `read_part`."""
        found: Manifest = self._ask("manifest")
        return found

    def read_part(self, shard: Shard, offset: int, size: int) -> bytes:
        """A part of a shard; see `Dataset.read_part`."""
        found: bytes = self._ask("read_part", shard, offset, size)
        return found

    def _ask(self, method: str, *arguments: Any) -> Any:
        import ray

        asked = getattr(self._server, method).options(concurrency_group=BESIDE).remote(*arguments)
        try:
            return get_answer(ray, asked, self._seconds)
        except ActorLostError as error:
            raise ConnectionError(f"the server's node does not send its data: {error}") from None

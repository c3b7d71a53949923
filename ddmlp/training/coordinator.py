"""The coordinator of several servers: decides which step is applied when, as one parameter server does.

The servers have the weights, a slice each, and add the gradients (Li et al. 2014, "Scaling distributed machine learning
with the parameter server"). Here are only the statistics of the rows, added along the same tree.
"""

from collections.abc import Collection
from typing import Protocol

from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Weights
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.weight_store import WeightStore


class Servers(Protocol):
    """The servers. Each executes the commands in the order in which they are given."""

    def load(self, version: int, weights: Weights) -> None:
        """Give each server its slice of a version, the newest one so far."""

    def begin(self, step: int, read: int, microbatches: int) -> None:
        """Open a step that reads the version `read`."""

    def apply(self, step: int, step_size: float, keep: Collection[int]) -> None:
        """Make the next version of a step whose gradients all servers have; see `WeightSlice.apply`."""

    def __getitem__(self, version: int) -> Weights:
        """The weights of a version that is still kept, from all servers."""

    def close(self) -> None:
        """Release the servers."""


class Coordinator(ParameterServer):
    """A parameter server whose weights and gradients are empty: it has the servers change theirs.

    Parameters
    ----------
    servers : Servers
        The servers, which have all versions in `store`.
    store : WeightStore
        The pool's: it says which versions may still be read.
    optimizer, version, bound, in_order
        Those of `ParameterServer`.
    """

    def __init__(
        self,
        servers: Servers,
        store: WeightStore,
        optimizer: SGD,
        version: int,
        *,
        bound: float = 0,
        in_order: bool = True,
    ) -> None:
        super().__init__(optimizer, version, store[version], bound=bound, in_order=in_order)
        self._servers, self._store = servers, store

    def begin_step(self, step: int, read: int, microbatches: int) -> None:
        super().begin_step(step, read, microbatches)
        self._servers.begin(step, read, microbatches)

    def apply_step(self, step: int, step_size: float, into: Weights) -> RowStats:
        row_stats = super().apply_step(step, step_size, into)
        self._servers.apply(step, step_size, self._store.needed)
        return row_stats

"""How a run is computed. Nothing of it changes the result."""

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ddmlp.config import MAX_WORKERS, Timeouts
from ddmlp.data.store import check_uri
from ddmlp.errors import ConfigError, require_package
from ddmlp.files import as_path

MAX_BAD_ROWS = 1_000
MAX_SERVERS = 64  # each is a process, and each worker is connected to all


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is computed. Raises ConfigError for bad values.

    Parameters
    ----------
    workers : int or (int, int)
        Worker processes on Ray, or the fewest and the most; 0: all is computed in this process.
    servers : int
        Processes that the weights are divided among, on the nodes of the cluster; 1: no division.
    address : str, optional
        The Ray to use: HOST:PORT, "local" for a new one, or "auto" for one that runs.
    dashboard : bool
        Whether a Ray that is started for the run has its dashboard.
    checkpoint_every : int
        Steps between checkpoints, in addition to the one at the end of each epoch.
    keep : int
        Checkpoints to keep.
    checkpoint_uri : str, optional
        The store that also gets the newest checkpoints; see `Store`.
    stop_after : int, optional
        The step to stop at, with a checkpoint and a model.
    certificates : str or Path, optional
        A folder, on every node, with the files ca.crt, tls.crt and tls.key, for TLS between nodes; by default, each run
        makes its own certificates.
    idle_timeout : float
        Seconds without a new row after which a run that follows its data ends.
    quarantine : str or Path, optional
        A folder, one for each run, for the rows of a stream that cannot be decoded; without it, the first such row is
        an error. Only for a stream that has positions.
    max_bad_rows : int
        The largest number of rows to put there.
    spool_bytes : int, optional
        Bytes of pixels of a stream that may wait on disk to be trained on: if there are more, the run stops reading.
    drift_alarm : bool
        Whether to record rises of the prequential error, of a run that trains once on each row.
    trace : bool
        Whether to record what each process does, in trace.json in the run's folder; see docs/trace.md.
    timeouts : Timeouts
        All other waits.
    """

    workers: int | tuple[int, int] = 0
    servers: int = 1
    address: str | None = None
    dashboard: bool = False
    checkpoint_every: int = 10_000
    keep: int = 3
    checkpoint_uri: str | None = None
    stop_after: int | None = None
    certificates: str | Path | None = None
    idle_timeout: float = math.inf
    quarantine: str | Path | None = None
    max_bad_rows: int = MAX_BAD_ROWS
    spool_bytes: int | None = None
    drift_alarm: bool = False
    trace: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)

    def __post_init__(self) -> None:
        check_switches(dashboard=self.dashboard, drift_alarm=self.drift_alarm, trace=self.trace)
        if self.drift_alarm:
            require_package("river", "drift", "the drift alarm")
        counts = ("checkpoint_every", 1), ("keep", 1), ("stop_after", 0), ("max_bad_rows", 1), ("spool_bytes", 1)
        for name, least in counts:
            value = getattr(self, name)
            if not (value is None and name in ("stop_after", "spool_bytes")) and (
                type(value) is not int or value < least
            ):
                raise ConfigError(f"{name} is {value!r}, expected a whole number, {least} or more")
        if type(self.idle_timeout) not in (int, float) or not self.idle_timeout >= 0:
            raise ConfigError(f"idle_timeout is {self.idle_timeout!r}, expected 0 or more seconds")
        if self.quarantine is not None:
            as_path(self.quarantine, "quarantine", "the path of a folder")
        elif self.max_bad_rows != MAX_BAD_ROWS:
            raise ConfigError("max_bad_rows goes with quarantine, the folder for these rows")
        if not isinstance(self.address, str | None):
            raise ConfigError(f"address is {self.address!r}, expected HOST:PORT, local or auto")
        if self.checkpoint_uri is not None:
            check_uri(self.checkpoint_uri)
        if not isinstance(self.certificates, str | Path | None):
            raise ConfigError(f"certificates is {self.certificates!r}, expected a folder")
        if self.certificates is not None:
            from ddmlp.transport.tls import Credentials

            Credentials.read(Path(self.certificates))
        fewest, most = self.range
        if not type(fewest) is type(most) is int:
            raise ConfigError(
                f"workers is {self.workers!r}, expected a whole number, or a pair, the fewest and the most"
            )
        check_workers(fewest, most)
        if type(self.servers) is not int or not 1 <= self.servers <= MAX_SERVERS:
            raise ConfigError(f"servers is {self.servers!r}, expected a whole number from 1 to {MAX_SERVERS}")
        if most == 0 and self.servers > 1:
            raise ConfigError(f"servers is {self.servers}, expected 1 without workers: one process has all weights")
        if most == 0 and (self.address or self.dashboard or self.certificates is not None):
            raise ConfigError("address, dashboard and certificates need 1 or more workers")

    @property
    def range(self) -> tuple[int, int]:
        """The fewest workers, and the most."""
        if isinstance(self.workers, tuple) and len(self.workers) == 2:
            return self.workers
        return self.workers, self.workers

    @property
    def of_streams(self) -> bool:
        """Whether options are set that only streams have."""
        return self.quarantine is not None or self.spool_bytes is not None

    @property
    def given(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        default = Options()
        return {
            each.name: value
            for each in fields(self)
            if (value := getattr(self, each.name)) != getattr(default, each.name)
        }


def check_switches(**given: object) -> None:
    """Raise ConfigError for a value that is not True or False."""
    for name, value in given.items():
        if type(value) is not bool:
            raise ConfigError(f"{name} is {value!r}, expected True or False")


def check_workers(fewest: int, most: int) -> None:
    """Raise ConfigError unless `fewest` to `most` is a valid range for the number of workers."""
    if not 0 <= fewest <= most <= MAX_WORKERS or (fewest == 0 < most):
        found = most if fewest == most else f"{fewest} to {most}"
        raise ConfigError(
            f"workers is {found}, expected 0 to {MAX_WORKERS}, or the fewest and the most, each 1 to {MAX_WORKERS}"
        )
    if most:
        require_package("ray", "ray", f"workers={most}")

"""The settings of a run, checked before anything heavy is imported."""

import math
import re
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ddmlp.errors import ConfigError

SCHEDULES = ("constant", "linear", "inverse")
ENDLESS = "inf"
MAX_DELAY = 64  # each version between is kept, and lies in every checkpoint
MAX_WORKERS = 1024  # each is a process


@dataclass(frozen=True)
class TrainConfig:
    """Everything, besides the data, that the result of a run is a function of. Raises ConfigError for bad values."""

    hidden: int = 256  # n, units of the hidden layer
    batch: int = 8  # B, rows of a global batch: one step
    microbatch: int = 128  # rows of a microbatch: the smallest piece of work
    lr: float = 0.8  # alpha at step 0; each row moves the weights by alpha / B
    lr_schedule: str = "linear"  # constant; falling linearly to zero after the last step; or inverse: see lr_half
    lr_half: int = 10_000  # steps after which `inverse`, alpha / (1 + step / lr_half), has halved it
    epochs: int = 5
    seed: int = 0  # of the initial weights and the epoch orders
    window: int = 65_536  # rows that are shuffled together
    staleness: int | str = 0  # S, the most versions between what a gradient was computed with and applied to; or "inf"
    staleness_lr: bool = False  # whether a gradient of staleness s > 1 counts 1/s
    delay: int = 0  # D: the gradient of version v is applied to version v + D
    follow: bool = False  # one pass over rows that may still be coming, in the order of their publication
    init_sha256: str = ""  # of the weights that it begins with; "": they are drawn by the seed
    begun_epochs: int = 0  # that the run was begun for, if it was given more later on; else 0

    def __post_init__(self) -> None:
        for name, least, most in [
            ("hidden", 1, 1_000_000),
            ("batch", 1, 2**40),
            ("microbatch", 1, 2**24),
            ("epochs", 0, 2**31),
            ("seed", 0, 2**64 - 1),
            ("window", 1, 2**40),
            ("lr_half", 1, 2**40),
            ("delay", 0, MAX_DELAY),
            ("begun_epochs", 0, 2**31),
        ]:
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ConfigError(f"{flag(name)} is {value!r}, expected a whole number from {least} to {most}")
        if not (type(self.lr) in (int, float) and 0 < self.lr < math.inf):
            raise ConfigError(f"--lr is {self.lr!r}, expected a finite number above 0")
        if self.lr_schedule not in SCHEDULES:
            raise ConfigError(f"--lr-schedule is {self.lr_schedule!r}, expected one of {', '.join(SCHEDULES)}")
        for name in ("staleness_lr", "follow"):
            if type(getattr(self, name)) is not bool:
                raise ConfigError(f"{flag(name)} is {getattr(self, name)!r}, expected true or false")
        if self.staleness != ENDLESS and (type(self.staleness) is not int or not 0 <= self.staleness <= 2**31):
            raise ConfigError(f"--staleness is {self.staleness!r}, expected a whole number from 0 to {2**31}, or inf")
        if self.delay and self.asynchronous:
            raise ConfigError("--delay and --staleness exclude each other: a fixed delay is synchronous")
        if self.staleness_lr and not self.asynchronous:
            raise ConfigError("--staleness-lr goes with --staleness 1 or more")
        if type(self.init_sha256) is not str or not re.fullmatch(r"([0-9a-f]{64})?", self.init_sha256):
            raise ConfigError(f"init_sha256 is {self.init_sha256!r}, expected 64 hexadecimal digits, or none")
        if self.begun_epochs and (self.lr_schedule == "linear" or not self.begun_epochs < self.epochs):
            raise ConfigError(f"begun_epochs is {self.begun_epochs}, expected 0: the run cannot have been extended")
        if self.follow and (self.epochs != 1 or self.lr_schedule == "linear"):
            raise ConfigError("--follow has neither epochs nor an end: leave out --epochs, and --lr-schedule linear")

    def check_rows(self, rows: int) -> None:
        """Raise ConfigError if a dataset of `rows` rows has no global batch of the size asked for."""
        if self.batch > rows and not self.follow:
            raise ConfigError(f"--batch is {self.batch}, expected at most the {rows} rows of the training data")

    def extended_to(self, epochs: int) -> "TrainConfig":
        """The settings of this run with more epochs. Raises ConfigError if its steps so far would then be others."""
        if epochs == self.epochs:
            return self
        if epochs < self.epochs:
            raise ConfigError(f"--epochs is {epochs}, expected at least the {self.epochs} that the run has already")
        if self.lr_schedule == "linear":
            raise ConfigError(
                f"--epochs is {epochs}, but the run has {self.epochs}, at whose end its learning rate comes to zero "
                "(--lr-schedule linear): of a longer run all steps are others; begin one with its weights by --init RUN"
            )
        return replace(self, epochs=epochs, begun_epochs=self.begun_epochs or self.epochs)

    @property
    def begun(self) -> "TrainConfig":
        """The settings that the run was begun with."""
        return replace(self, epochs=self.begun_epochs, begun_epochs=0) if self.begun_epochs else self

    @property
    def asynchronous(self) -> bool:
        """Whether steps are applied in the order in which they are computed, not in the plan's."""
        return self.staleness != 0

    @property
    def bound(self) -> float:
        """The most versions between what a gradient is computed with and what it is applied to."""
        return math.inf if self.staleness == ENDLESS else max(float(self.staleness), self.delay)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls)]


def check_workers(fewest: int, most: int) -> None:
    """Raise ConfigError for numbers of workers that cannot be."""
    if not 0 <= fewest <= most <= MAX_WORKERS or (fewest == 0 < most):
        found = most if fewest == most else f"{fewest}:{most}"
        raise ConfigError(
            f"--workers is {found}, expected 0 to {MAX_WORKERS}, or MIN:MAX with 1 <= MIN <= MAX <= {MAX_WORKERS}"
        )


def flag(name: str) -> str:
    """The command-line flag of a setting: lr_schedule is --lr-schedule."""
    return "--" + name.replace("_", "-")


@dataclass(frozen=True)
class Timeouts:
    """How long each wait may take, in seconds. None of them changes what is computed.

    >>> Timeouts(unresponsive=0.5).unresponsive
    0.5
    """

    # Workers, as the parameter server sees them.
    first_unit: float = 20.0  # until a unit is overdue while no worker has answered one
    overdue: float = 0.02  # a unit is never overdue sooner: a process may have to wait that long for a core
    unresponsive: float = 5.0  # without an answer, after which an overdue worker counts as unresponsive
    answer: float = 600.0  # without any answer, after which the run ends
    join: float = 60.0  # without any worker, after which the run ends
    # Messages between processes.
    handshake: float = 10.0  # from connecting to being accepted
    message: float = 5.0  # that a whole message may take; an array's over a network also what `bytes_per_second` allows
    bytes_per_second: float = 100_000.0  # over a network, at least
    rows: float = 30.0  # until rows that another node has published must be visible here
    # Ray, as the process that trains sees it.
    start: float = 180.0  # until Ray, and a trainer on it, are there
    ray: float = 5.0  # without a connection to Ray's GCS, or to the raylet here, after which it counts as gone
    driver: float = 1_800.0  # without an answer of the driver, after which the run ends
    stop: float = 8.0  # after a signal, until an answer that does not come is waited for no more
    close: float = 30.0  # until the driver has let everything go
    # Ray's actors.
    place: float = 60.0  # until the workers have their CPUs
    worker_start: float = 20.0  # that a worker which is still starting is waited for before it is killed
    server: float = 600.0  # without an answer of the server; testing the weights or saving them is one silence
    ping: float = 10.0  # that a silent server has to say that it lives
    death: float = 20.0  # until Ray says that a server which was killed is dead

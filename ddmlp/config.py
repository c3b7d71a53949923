"""The settings of a run, checked before anything heavy is imported."""

import math
import re
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ddmlp.errors import ConfigError

SCHEDULES = ("constant", "linear", "exponential", "inverse")
FALLING = ("linear", "exponential")  # each step depends on the number of steps
ENDLESS = "inf"
MAX_DELAY = 64  # versions of the weights; all of them are in memory and in every checkpoint
GRADIENT_BITS = (0, *range(4, 17))
MAX_WORKERS = 1024  # each is a process


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run. Its result is a function of these and the data.

    Parameters
    ----------
    hidden : int
        n, the number of hidden units.
    batch : int
        B, the rows of a global batch: one step.
    microbatch : int
        Rows of a microbatch, the smallest unit of work.
    lr : float
        The learning rate alpha at step 0. Each row moves the weights by alpha / B times its gradient.
    lr_schedule : {"linear", "constant", "exponential", "inverse"}
        "linear": alpha falls linearly to zero at the end of the run; "exponential": by the same factor in every step,
        to alpha lr_end; "inverse": alpha / (1 + step / lr_half).
    lr_half : int
        Steps after which "inverse" has halved alpha.
    lr_end : float
        The part of alpha that "exponential" leaves at the end of the run.
    epochs : int
        Passes over the dataset.
    seed : int
        Determines the initial weights and the epoch orders.
    window : int
        Rows that are shuffled together; see `EpochOrder`.
    staleness : int or "inf"
        The maximum staleness S: the most versions between the weights that a gradient is computed with and those that
        it is applied to. 0 is synchronous training; otherwise training is asynchronous.
    staleness_lr : bool
        Whether to divide alpha by the staleness of the gradient, if that is above 1.
    delay : int
        D: the gradient computed with version v is applied to version v + D.
    follow : bool
        Whether to train on a stream: one pass over rows that may still be arriving, in the order of their publication.
    init_sha256 : str
        The SHA-256 of given initial weights; "" if they are drawn from the seed.
    transform_sha256 : str
        The SHA-256 of the transform, the function that changes the pixels of the training rows; "" if there is none.
    augment : str
        How the images of the training rows are distorted, with all parameters; "" if they are not. See `Augmentation`.
    begun_epochs : int
        The epochs that the run was started with, if more were added later; else 0.
    gradient_bits : int
        Bits that each number of a microbatch's gradient is rounded to, 4 to 16, so that gradients need less of a slow
        network; 0: they are not rounded. See `nn.rounding`.

    Raises
    ------
    ConfigError
        If a value is invalid, or two settings exclude each other.

    Examples
    --------
    >>> TrainConfig(hidden=400, epochs=30).lr
    0.8
    >>> TrainConfig(batch=0)
    Traceback (most recent call last):
    ddmlp.errors.ConfigError: batch is 0, expected a whole number from 1 to 1099511627776
    """

    hidden: int = 256
    batch: int = 8
    microbatch: int = 128
    lr: float = 0.8
    lr_schedule: str = "linear"
    lr_half: int = 10_000
    lr_end: float = 0.01
    epochs: int = 5
    seed: int = 0
    window: int = 65_536
    staleness: int | str = 0
    staleness_lr: bool = False
    delay: int = 0
    follow: bool = False
    init_sha256: str = ""
    begun_epochs: int = 0
    gradient_bits: int = 0
    transform_sha256: str = ""
    augment: str = ""

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
                raise ConfigError(f"{name} is {value!r}, expected a whole number from {least} to {most}")
        if not (type(self.lr) in (int, float) and 0 < self.lr < math.inf):
            raise ConfigError(f"lr is {self.lr!r}, expected a finite number above 0")
        if not (type(self.lr_end) in (int, float) and 1e-9 <= self.lr_end <= 1):
            raise ConfigError(f"lr_end is {self.lr_end!r}, expected a number from 1e-9 to 1")
        if type(self.lr_schedule) is not str or self.lr_schedule not in SCHEDULES:
            raise ConfigError(f"lr_schedule is {self.lr_schedule!r}, expected one of {', '.join(SCHEDULES)}")
        if self.lr_end != TrainConfig.lr_end and self.lr_schedule != "exponential":
            raise ConfigError(
                f"lr_end is {self.lr_end}, but only lr_schedule exponential uses it, found {self.lr_schedule}"
            )
        for name in ("staleness_lr", "follow"):
            if type(getattr(self, name)) is not bool:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected true or false")
        if type(self.gradient_bits) is not int or self.gradient_bits not in GRADIENT_BITS:
            raise ConfigError(f"gradient_bits is {self.gradient_bits!r}, expected 4 to 16, or 0 for no rounding")
        endless = type(self.staleness) is str and self.staleness == ENDLESS
        if not endless and (type(self.staleness) is not int or not 0 <= self.staleness <= 2**31):
            raise ConfigError(f"staleness is {self.staleness!r}, expected a whole number from 0 to {2**31}, or inf")
        if self.delay and self.asynchronous:
            raise ConfigError("delay and staleness exclude each other: a fixed delay is synchronous; give only one")
        if self.staleness_lr and not self.asynchronous:
            raise ConfigError(f"staleness_lr needs a staleness of 1 or more, found {self.staleness}")
        for name in ("init_sha256", "transform_sha256"):
            value = getattr(self, name)
            if type(value) is not str or not re.fullmatch(r"([0-9a-f]{64})?", value):
                raise ConfigError(f"{name} is {value!r}, expected 64 hexadecimal digits or nothing")
        if type(self.augment) is not str or not re.fullmatch(r"([a-z]+:[a-z0-9=.,e-]+)?", self.augment):
            raise ConfigError(f"augment is {self.augment!r}, expected KIND:NAME=NUMBER,... or nothing")
        if self.begun_epochs and (self.lr_schedule in FALLING or not self.begun_epochs < self.epochs):
            raise ConfigError(
                f"begun_epochs is {self.begun_epochs}, expected 0: a run of {self.epochs} epochs and lr_schedule "
                f"{self.lr_schedule} cannot have been extended from that"
            )
        if self.follow and (self.epochs != 1 or self.lr_schedule in FALLING):
            raise ConfigError(
                f"follow trains once on rows of unknown number: omit epochs, and a {' or '.join(FALLING)} lr_schedule"
            )

    def check_rows(self, rows: int) -> None:
        """Raise ConfigError if a dataset of `rows` rows is smaller than a global batch."""
        if self.batch > rows and not self.follow:
            raise ConfigError(f"batch is {self.batch}, expected at most the {rows} rows of the training data")

    def extended_to(self, epochs: int) -> "TrainConfig":
        """The settings of this run with more epochs.

        Raises ConfigError if `epochs` is less than before, or if the steps made so far would have been different.

        >>> TrainConfig(lr_schedule="constant", epochs=5).extended_to(7).epochs
        7
        """
        if type(epochs) is not int or epochs == self.epochs:
            return replace(self, epochs=epochs)
        if epochs < self.epochs:
            raise ConfigError(f"epochs is {epochs}, expected at least the {self.epochs} epochs that the run has")
        if self.lr_schedule in FALLING:
            raise ConfigError(
                f"epochs is {epochs}, expected {self.epochs}: the learning rate falls until the end of epoch "
                f"{self.epochs} (lr_schedule is {self.lr_schedule}), so every step of a longer run would be different; "
                "to train further, start a new run with this one as init"
            )
        return replace(self, epochs=epochs, begun_epochs=self.begun_epochs or self.epochs)

    @property
    def begun(self) -> "TrainConfig":
        """The settings that the run was started with."""
        return replace(self, epochs=self.begun_epochs, begun_epochs=0) if self.begun_epochs else self

    @property
    def asynchronous(self) -> bool:
        """Whether steps are applied in the order in which they are completed, instead of the plan's order."""
        return self.staleness != 0

    @property
    def bound(self) -> float:
        """The most versions between the weights that a gradient is computed with and those that it is applied to."""
        return math.inf if self.staleness == ENDLESS else max(float(self.staleness), self.delay)

    def as_dict(self) -> dict[str, Any]:
        """All settings, by name."""
        return asdict(self)

    @classmethod
    def names(cls) -> list[str]:
        """The names of all settings."""
        return [field.name for field in fields(cls)]


def flag(name: str) -> str:
    """The command-line flag of a setting.

    >>> flag("lr_schedule")
    '--lr-schedule'
    """
    return "--" + name.replace("_", "-")


@dataclass(frozen=True)
class Timeouts:
    """The limit of each wait, in seconds. None of them changes what is computed.

    >>> Timeouts(unresponsive=0.5).unresponsive
    0.5
    """

    # Workers, as the parameter server sees them.
    first_unit: float = 20.0  # for a unit, before any worker has answered one; then it is overdue
    overdue: float = 0.02  # the earliest time for a unit to become overdue: a process may wait that long for a core
    unresponsive: float = 5.0  # without an answer from an overdue worker; then it counts as unresponsive
    answer: float = 600.0  # without an answer from any worker; then the run ends
    join: float = 60.0  # without any worker; then the run ends
    # Messages between processes.
    handshake: float = 10.0  # from the connection to its acceptance
    message: float = 5.0  # for a whole message; for an array over a network, plus the time that bytes_per_second gives
    bytes_per_second: float = 100_000.0  # the minimum rate over a network
    rows: float = 30.0  # until rows that another node has published are visible on this one
    # The store of checkpoints.
    store: float = 60.0  # until it has the last one, at the end of the run
    # Ray, as the training process sees it.
    start: float = 180.0  # until Ray and a trainer on it are running
    ray: float = 5.0  # without Ray's GCS or the local raylet, whose process has ended; then Ray counts as dead
    unreachable: float = 40.0  # without an answer from the machine of Ray's GCS; then it counts as lost
    driver: float = 1_800.0  # without an answer from the driver; then the run ends
    stop: float = 8.0  # for an answer after a signal
    close: float = 30.0  # until the driver has released everything
    # Ray's actors.
    place: float = 60.0  # until the next worker has its CPUs, at the start
    worker_start: float = 20.0  # for a worker that is still starting when the run ends; then it is killed
    server: float = 600.0  # without an answer from the server; a test or a checkpoint is one such silence
    ping: float = 10.0  # for a silent server to confirm that it is alive
    death: float = 20.0  # until Ray confirms the death of a killed server

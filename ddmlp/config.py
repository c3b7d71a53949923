"""The settings of a run, checked before anything heavy is imported."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from ddmlp.errors import ConfigError

SCHEDULES = ("constant", "linear")


@dataclass(frozen=True)
class TrainConfig:
    """Everything, besides the data, that the result of a run is a function of. Raises ConfigError for bad values."""

    hidden: int = 400  # n, units of the hidden layer
    batch: int = 64  # B, rows of a global batch: one step
    microbatch: int = 32  # rows of a microbatch: the smallest piece of work
    lr: float = 1.0  # alpha at step 0; each row moves the weights by alpha / B
    lr_schedule: str = "linear"  # constant, or falling linearly to zero after the last step
    epochs: int = 30
    seed: int = 0  # of the initial weights and the epoch orders
    window: int = 65_536  # rows that are shuffled together

    def __post_init__(self) -> None:
        for name, least, most in [
            ("hidden", 1, 1_000_000),
            ("batch", 1, 2**40),
            ("microbatch", 1, 2**24),
            ("epochs", 0, 2**31),
            ("seed", 0, 2**64 - 1),
            ("window", 1, 2**40),
        ]:
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ConfigError(f"{flag(name)} is {value!r}, expected a whole number from {least} to {most}")
        if not (isinstance(self.lr, float | int) and math.isfinite(self.lr) and self.lr > 0):
            raise ConfigError(f"--lr is {self.lr!r}, expected a finite number above 0")
        if self.lr_schedule not in SCHEDULES:
            raise ConfigError(f"--lr-schedule is {self.lr_schedule!r}, expected one of {', '.join(SCHEDULES)}")

    def check_rows(self, rows: int) -> None:
        """Raise ConfigError where a dataset of `rows` rows has no global batch of the size asked for."""
        if self.batch > rows:
            raise ConfigError(f"--batch is {self.batch}, expected at most the {rows} rows of the training data")

    def learning_rate(self, step: int, steps: int) -> float:
        """alpha at `step` of `steps`."""
        return self.lr if self.lr_schedule == "constant" else self.lr * (1 - step / steps)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls)]


def flag(name: str) -> str:
    """The command-line flag of a setting: lr_schedule is --lr-schedule."""
    return "--" + name.replace("_", "-")

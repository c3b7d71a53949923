"""What happens in a simulation, drawn from its seed: the settings, the workers and their links, and the faults."""

import random
from dataclasses import dataclass, field
from typing import Any

from ddmlp.config import Timeouts, TrainConfig
from tests.simulation.pipe import Link

MODES: dict[str, dict[str, Any]] = {
    "synchronous": {},
    "delay 1": {"delay": 1},
    "delay 3": {"delay": 3},
    "staleness 1": {"staleness": 1},
    "staleness 4": {"staleness": 4, "staleness_lr": True},
    "asynchronous": {"staleness": "inf"},
}
SIZES = [(16, 4), (16, 16), (24, 5), (7, 2), (61, 8)]  # batch, microbatch
# Kinds of faults, with their usual frequency.
FAULTS = {
    "kill worker": 5,
    "pause worker": 4,
    "cut": 4,
    "damage": 8,
    "partition": 3,
    "lose host": 1,
    "kill server": 3,
    "power": 3,
    "pause server": 1,
    "join": 3,
    "leave": 2,
    "stop": 2,
    "bad worker": 2,
    "stranger": 6,
}


@dataclass(frozen=True)
class Scenario:
    """Settings, and faults with their times in seconds from the start.

    paces: seconds that a microbatch takes, by worker, in turn; far: the share of workers on other hosts.
    """

    seed: int
    mode: str
    config: TrainConfig
    checkpoint_every: int
    keep: int
    workers: int
    paces: list[float]
    far: float
    timeouts: Timeouts
    faults: list[tuple[float, str]] = field(default_factory=list)

    def __str__(self) -> str:
        c = self.config
        faults = ", ".join(f"{kind} at {when:.3f} s" for when, kind in self.faults) or "no faults"
        return (
            f"seed {self.seed}: {self.mode}, batch {c.batch}, microbatch {c.microbatch}, {c.epochs} epochs, "
            f"a checkpoint every {self.checkpoint_every} steps, {self.workers} workers; {faults}"
        )


def scenario_of(seed: int) -> Scenario:
    """The scenario of a seed."""
    draw = random.Random(f"scenario {seed}")
    mode = draw.choice([*MODES])
    batch, microbatch = draw.choice(SIZES)
    config = TrainConfig(
        hidden=60, batch=batch, microbatch=microbatch, epochs=draw.choice((1, 2)), lr_schedule="constant", **MODES[mode]
    )
    length = draw.choice((0.05, 0.2, 0.5, 2.0))
    kinds = draw.choices([*FAULTS], [*FAULTS.values()], k=draw.choice((0, 1, 2, 3, 5, 8)))
    return Scenario(
        seed,
        mode,
        config,
        checkpoint_every=draw.choice((1, 2, 3, 5, 1000)),
        keep=draw.choice((1, 2, 3)),
        workers=draw.choice((1, 2, 3, 4)),
        paces=[draw.choice((0.001, 0.01, 0.05, 0.3)) for _ in range(4)],
        far=draw.choice((0.0, 0.5, 1.0)),
        timeouts=Timeouts(first_unit=draw.choice((0.05, 1.0, 20.0)), unresponsive=draw.choice((0.5, 5.0))),
        faults=sorted((draw.random() * length, kind) for kind in kinds),
    )


def link_of(draw: random.Random) -> Link:
    """The link of a host."""
    return Link(
        delay=draw.choice((0.0001, 0.001, 0.05)),
        pieces=draw.choice((1, 1, 2, 2, 4, 4, 8, 0)),
        room=draw.choice((50, 400, 1 << 16, 1 << 16)),
    )

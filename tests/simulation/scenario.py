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
SERVER = 60.0  # seconds of `Timeouts.server`, fewer than by default, so that a simulation ends
FOLLOWING = 0.2  # the share of runs that follow a growing dataset
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

    relays: whether workers on other hosts have a relay there; paces: seconds that a microbatch takes, by worker, in
    turn; far: the share of workers on other hosts.
    """

    seed: int
    mode: str
    config: TrainConfig
    checkpoint_every: int
    keep: int
    workers: int
    servers: int
    relays: bool
    paces: list[float]
    far: float
    timeouts: Timeouts
    faults: list[tuple[float, str]] = field(default_factory=list)

    def __str__(self) -> str:
        c = self.config
        special = "with relays, " * self.relays + "a growing dataset, " * c.follow
        special += "distorted images, " * bool(c.augment)
        faults = ", ".join(f"{kind} at {when:.3f} s" for when, kind in self.faults) or "no faults"
        return (
            f"seed {self.seed}: {self.mode}, batch {c.batch}, microbatch {c.microbatch}, {c.epochs} epochs, "
            f"a checkpoint every {self.checkpoint_every} steps, {special}{self.workers} workers, "
            f"{self.servers} servers; {faults}"
        )


def scenario_of(seed: int) -> Scenario:
    """The scenario of a seed. Each part has its own generator, so that a new one changes no other."""

    def drawn(part: str) -> random.Random:
        return random.Random(f"{part} {seed}")

    def one(part: str, *values: Any) -> Any:
        return drawn(part).choice(values)

    mode, follow = one("mode", *MODES), drawn("follow").random() < FOLLOWING
    batch, microbatch = one("sizes", *SIZES)
    config = TrainConfig(
        hidden=60,
        batch=batch,
        microbatch=microbatch,
        epochs=1 if follow else one("epochs", 1, 2),
        lr_schedule="constant",
        follow=follow,
        augment=one("augment", "", "", "", "affine:rotation=10,scale=0.1,shear=0.1,pixels=1"),
        **MODES[mode],
    )
    faults, length = drawn("faults"), one("length", 0.05, 0.2, 0.5, 2.0)
    kinds = faults.choices([*FAULTS], [*FAULTS.values()], k=faults.choice((0, 1, 2, 3, 5, 8)))
    return Scenario(
        seed,
        mode,
        config,
        checkpoint_every=one("checkpoints", 1, 2, 3, 5, 1000),
        keep=one("keep", 1, 2, 3),
        workers=one("workers", 1, 2, 3, 4),
        servers=one("servers", 1, 1, 2, 3),
        relays=one("relays", False, True),
        paces=drawn("paces").choices((0.001, 0.01, 0.05, 0.3), k=4),
        far=one("far", 0.0, 0.5, 1.0),
        timeouts=Timeouts(
            first_unit=one("first unit", 0.05, 1.0, 20.0),
            unresponsive=one("unresponsive", 0.5, 5.0),
            server=SERVER,
        ),
        faults=sorted((faults.random() * length, kind) for kind in kinds),
    )


def link_of(draw: random.Random) -> Link:
    """The link of a host."""
    return Link(
        delay=draw.choice((0.0001, 0.001, 0.05)),
        pieces=draw.choice((1, 1, 2, 2, 4, 4, 8, 0)),
        room=draw.choice((50, 400, 1 << 16, 1 << 16)),
    )

"""What many seeds have found."""

from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.simulation import dataset, simulate


@dataclass
class Found:
    """What several seeds have found.

    modes: the number of runs by mode; fired: of runs in which a fault happened; faults: by seed.
    """

    modes: Counter[str] = field(default_factory=Counter)
    fired: Counter[str] = field(default_factory=Counter)
    switches: int = 0
    seconds: float = 0.0
    faults: dict[int, str] = field(default_factory=dict)

    @property
    def seeds(self) -> int:
        """How many were simulated."""
        return self.modes.total() + len(self.faults)

    def add(self, other: "Found") -> None:
        self.modes += other.modes
        self.fired += other.fired
        self.switches += other.switches
        self.seconds += other.seconds
        self.faults |= other.faults


def simulate_all(seeds: range) -> Found:
    """Simulate these seeds in this process."""
    found = Found()
    with dataset() as data:
        for seed in seeds:
            try:
                outcome = simulate(seed, data)
            except Exception as error:
                found.faults[seed] = f"{type(error).__name__}: {error}"
            else:
                found.modes[outcome.mode] += 1
                found.fired.update(outcome.fired)
                found.switches += outcome.switches
                found.seconds += outcome.seconds
    return found

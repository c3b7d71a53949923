"""Relays with faults."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from ddmlp.ray_backend.relay_actor import RelayActor
from ddmlp.transport import relay
from tests.support.faults import RELAY, Fault, Faults


def faulty_relay(faults: Sequence[Fault], marks: Path) -> type[RelayActor]:
    """Return a class of relays with these faults. It patches a module, so it must be used in another process."""

    class FaultyRelayActor(RelayActor):
        pool_options: ClassVar[dict[str, Any]] = {"cores": 64}

        def __init__(self) -> None:
            mine = Faults(faults, marks, RELAY)

            class FaultyRelay(relay.Relay):
                def compute(self, unit, weights, out):
                    mine.at(unit.step, "taken")
                    row_stats = super().compute(unit, weights, out)
                    mine.at(unit.step, "computed", out.flat)
                    return row_stats

            relay.Relay = FaultyRelay

    return FaultyRelayActor

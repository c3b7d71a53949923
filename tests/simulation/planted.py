"""Mistakes that ddmlp does not make. The simulation must find each; otherwise it would not find a real one."""

import hmac
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ddmlp import files
from ddmlp.nn.weights import Floats, Weights
from ddmlp.plan.row_audit import RowAudit
from ddmlp.plan.stream_plan import StreamPlan
from ddmlp.ray_backend.attendance import Attendance
from ddmlp.runs import arrays, checkpoint, checkpoint_manager
from ddmlp.runs.hash_chain import HashChain
from ddmlp.training.messages import Gradient, Unit
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.unit_queue import UnitQueue
from ddmlp.training.weight_store import WeightStore
from ddmlp.transport import frames, listener
from ddmlp.transport.peer import Peer
from tests.simulation import planted_servers

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]
MANY = 2_000  # seeds


def second_answer(patch: Patch) -> None:
    """The second answer to a unit is added, too."""
    accept = UnitQueue.accept

    def wrong(queue: UnitQueue, gradient: Gradient, now: float = 0.0) -> bool:
        accept(queue, gradient, now)
        return True

    patch.setattr(UnitQueue, "accept", wrong)


def version_too_early(patch: Patch) -> None:
    """The oldest version that is needed is overwritten."""
    reserve = WeightStore.reserve

    def wrong(store: WeightStore, needed: Collection[int]) -> Weights | None:
        return reserve(store, {*needed} - {min(needed)} if len(needed) > 1 else needed)

    patch.setattr(WeightStore, "reserve", wrong)


def version_of_late_answer(patch: Patch) -> None:
    """A version is overwritten that overdue workers still read, and whose answers will be compared."""
    patch.setattr(UnitQueue, "versions_in_use", lambda queue: {unit.version for unit in queue._open})


def unit_not_put_back(patch: Patch) -> None:
    """The units of a dead worker are forgotten."""
    patch.setattr(UnitQueue, "_put_back", lambda *_: [])


def renamed_too_early(patch: Patch) -> None:
    """A file gets its name before it is complete."""

    @contextmanager
    def wrong(path: Path) -> Iterator[Any]:
        temporary = path.with_name(f".{path.name}.tmp")
        with temporary.open("wb") as file:
            temporary.replace(path)
            yield file
            file.flush()
            os.fsync(file.fileno())
        files.sync_folder(path.parent)

    for module in (arrays, files):
        patch.setattr(module, "whole_file", wrong)


def name_not_synced(patch: Patch) -> None:
    """A checkpoint is reported before its name is on disk."""
    patch.setattr(files, "sync_folder", lambda _: None)


def folder_not_synced(patch: Patch) -> None:
    """The folder of the checkpoints can be lost, with all of them."""
    patch.setattr(checkpoint, "sync_folder", lambda _: None)


def no_checksum(patch: Patch) -> None:
    """Checksums are not compared."""
    patch.setattr(frames, "_compare", lambda *_: None)


def no_secret(patch: Patch) -> None:
    """A client is accepted that does not know the secret."""
    patch.setattr(hmac, "compare_digest", lambda *_: True)


def stale_weights(patch: Patch) -> None:
    """A worker over a network is not sent the next version."""
    send = Peer.send

    def wrong(peer: Peer, unit: Unit, slot: int, weights: Floats | None, step_size: float = 0.0) -> None:
        send(peer, unit, slot, weights, step_size)
        if weights is not None:
            peer.version = unit.version + 1

    patch.setattr(Peer, "send", wrong)


def order_of_arrival(patch: Patch) -> None:
    """Steps are applied as they become complete, in every mode."""
    construct = ParameterServer.__init__

    def wrong(server: ParameterServer, *args: Any, in_order: bool, **rest: Any) -> None:
        del in_order
        construct(server, *args, in_order=False, **rest)

    patch.setattr(ParameterServer, "__init__", wrong)


def any_crowd(patch: Patch) -> None:
    """Any number of handshakes may be under way."""
    patch.setattr(listener, "MAX_HANDSHAKES", 1 << 30)


def guest_left_open(patch: Patch) -> None:
    """The connection of a rejected client stays open."""

    def wrong(each: listener.HandshakeListener, guest: listener.Guest) -> None:
        del each._guests[guest]
        each._selector.unregister(guest.wire)

    patch.setattr(listener.HandshakeListener, "_drop", wrong)


def chain_not_rewound(patch: Patch) -> None:
    """The hash chain keeps an entry of a checkpoint that was not completed."""
    rewind = HashChain.rewind

    def wrong(chain: HashChain, step: int, digest: str | None) -> str | None:
        before = chain.path.read_bytes() if chain.path.exists() else b""
        found = rewind(chain, step, digest)
        if digest and found is None:
            chain.path.write_bytes(b"\n".join([*before.split(b"\n")[:-1], b""]))
        return found

    patch.setattr(HashChain, "rewind", wrong)


def audit_not_restored(patch: Patch) -> None:
    """The row audit of a resumed run begins with no rows."""
    patch.setattr(checkpoint_manager, "_audit_of", lambda _: RowAudit())


def silent_worker(patch: Patch) -> None:
    """A worker that never answers is not given up."""
    patch.setattr(UnitQueue, "unresponsive", lambda _: [])


def never_connected(patch: Patch) -> None:
    """Workers that hang before they are connected are not replaced."""
    patch.setattr(Attendance, "missing", lambda *_: [])


def rows_too_early(patch: Patch) -> None:
    """A step of a stream begins before all its rows have arrived."""
    patch.setattr(StreamPlan, "steps", property(lambda plan: -(-plan.rows // plan.batch)))


# Each with a seed that finds it, or a later one does.
PLANTED: dict[Plant, int] = {
    second_answer: 5,
    version_too_early: 3,
    version_of_late_answer: 58,
    unit_not_put_back: 21,
    renamed_too_early: 156,
    name_not_synced: 29,
    folder_not_synced: 60,
    no_checksum: 9,
    no_secret: 23,
    stale_weights: 2,
    order_of_arrival: 15,
    any_crowd: 4,
    guest_left_open: 3,
    chain_not_rewound: 56,
    audit_not_restored: 21,
    silent_worker: 131,
    never_connected: 66,
    rows_too_early: 6,
    **planted_servers.PLANTED,
}


def main() -> None:
    """Print the first seed that finds each."""
    from tests.simulation.simulation import dataset, simulate

    with dataset() as data:
        for plant in [each for each in PLANTED if not sys.argv[1:] or each.__name__ in sys.argv]:
            for seed in range(MANY):
                with pytest.MonkeyPatch.context() as patch:
                    plant(patch)
                    try:
                        simulate(seed, data)
                    except Exception as error:
                        print(f"    {plant.__name__}: {seed},  # {type(error).__name__}: {error!s:.100}", flush=True)
                        break
            else:
                print(f"    {plant.__name__}: no seed below {MANY}", flush=True)


if __name__ == "__main__":
    main()

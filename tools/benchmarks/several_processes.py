"""Speed of training in several processes, compared with one process and with other libraries."""

import tempfile
from functools import partial
from pathlib import Path

from tools.benchmarks.benchmark import Benchmark, Cases, Measure, Settings, Target
from tools.benchmarks.peers.baseline import available, speed
from tools.benchmarks.processes import in_process, in_processes, train_speed
from tools.benchmarks.record import Entry

HIDDEN = (300, 800)
MICROBATCH = {256: 128, 1024: 512}  # by the global batch
OURS = {"ddmlp, one process": 0, "ddmlp, 2 workers": 2}
ONE, TWO = OURS
LONGER = 2  # times as long as one process is measured, because repeats differ more
DDP, RAY = "PyTorch DDP", "Ray's pattern"
PEERS: dict[int, tuple[str, ...]] = {256: (DDP, RAY), 1024: (DDP,)}  # by the global batch
TARGETS = [
    (1024, TWO, ONE, 1.5),
    (256, TWO, ONE, 1.2),
    (256, TWO, DDP, 1.5),
    (1024, TWO, DDP, 1.2),
    (256, TWO, RAY, 4.0),
]


def peer_speed(scratch: Path, peer: str, *arguments: object) -> dict[str, float]:
    """Return the rows/s of a peer in new processes."""
    if peer == RAY:
        return in_process(speed, peer, *arguments)
    rendezvous = Path(tempfile.mkdtemp(dir=scratch), "rendezvous")
    return in_processes(speed, [(peer, *arguments, rank, rendezvous) for rank in range(2)])[0]


def cases(settings: Settings) -> Cases:
    for hidden in HIDDEN:
        for batch, microbatch in MICROBATCH.items():
            arguments = (settings.data, hidden, batch, LONGER * settings.seconds)
            ours = partial(train_speed, *arguments, set(), microbatch=microbatch)  # all must have the same hash
            found: dict[str, Measure | None] = {each: partial(ours, workers=workers) for each, workers in OURS.items()}
            for peer in PEERS[batch]:
                found[peer] = partial(peer_speed, settings.scratch, peer, *arguments) if available(peer) else None
            yield f"{hidden} hidden, batch {batch}", found


def targets(entry: Entry) -> list[Target]:
    return [
        Target(f"{one} to {other}, {case}", entry.ratio(case, one, other), least)
        for hidden in HIDDEN
        for batch, one, other, least in TARGETS
        for case in [f"{hidden} hidden, batch {batch}"]
    ]


BENCHMARK = Benchmark("several-processes", cases, targets, of=ONE, faster=TWO)

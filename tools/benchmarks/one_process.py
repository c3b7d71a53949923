"""How fast one process trains, beside its peers and the matrix products alone."""

from functools import partial

from tools.benchmarks.benchmark import Benchmark, Cases, Measure, Settings, Target
from tools.benchmarks.peers.baseline import available, speed
from tools.benchmarks.processes import in_process, train_speed
from tools.benchmarks.record import Entry

HIDDEN, BATCHES = (300, 800), (64, 128, 512, 1)
PEERS = ("bound", "NumPy, dense", "PyTorch", "scikit-learn")
TARGETS = [(batch, *target) for batch in BATCHES[:3] for target in [("bound", 1.0), ("PyTorch", 1.5)]]
TARGETS += [(1, "NumPy, dense", 3.0)]


def cases(settings: Settings) -> Cases:
    for hidden in HIDDEN:
        for batch in BATCHES:
            about = (settings.data, hidden, batch, settings.seconds)
            found: dict[str, Measure | None] = {"ddmlp": partial(train_speed, *about, microbatch=batch, workers=0)}
            for peer in PEERS if batch > 1 else PEERS[:3]:  # scikit-learn's steps of one row take minutes
                found[peer] = partial(in_process, speed, peer, *about) if available(peer) else None
            yield f"{hidden} hidden, batch {batch}", found


def targets(entry: Entry) -> list[Target]:
    return [
        Target(f"ddmlp to {peer}, {case}", entry.ratio(case, "ddmlp", peer), least)
        for hidden in HIDDEN
        for batch, peer, least in TARGETS
        for case in [f"{hidden} hidden, batch {batch}"]
    ]


BENCHMARK = Benchmark("one-process", cases, targets, of="bound", faster="ddmlp")

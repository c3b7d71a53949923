"""The same 784-n-10 network, rows and batch, in float32 and one thread; the microbatch is the batch.
ddmlp is `python -m ddmlp.train --workers 0`, with its reading, shuffling and bookkeeping; much of what is zero in the
rows it does not multiply. The peers have all rows in memory. The bound is the dense matrix products of the step alone:
it multiplies one batch over and over, and does nothing else. scikit-learn's network has biases besides.
"""

from functools import partial

from tools.benchmarks.benchmark import Benchmark, Cases, Measure, Settings, Target
from tools.benchmarks.peers.baseline import available, speed
from tools.benchmarks.processes import in_process, train_speed
from tools.benchmarks.record import Entry

HIDDEN, BATCHES = (300, 800), (64, 128, 512, 1)
PEERS = ("bound", "NumPy, dense", "PyTorch", "scikit-learn")
TARGETS = [(batch, *target) for batch in BATCHES[:3] for target in [("bound", 1.0), ("PyTorch", 1.5)]]
TARGETS += [(1, "NumPy, dense", 3.0)]


def name(hidden: int, batch: int) -> str:
    return f"{hidden} hidden, batch {batch}"


def cases(settings: Settings) -> Cases:
    for hidden in HIDDEN:
        for batch in BATCHES:
            about = (settings.data, hidden, batch, settings.seconds)
            found: dict[str, Measure | None] = {"ddmlp": partial(train_speed, *about, microbatch=batch, workers=0)}
            for peer in PEERS if batch > 1 else PEERS[:3]:  # scikit-learn's steps of one row take minutes
                found[peer] = partial(in_process, speed, peer, *about) if available(peer) else None
            yield name(hidden, batch), found


def targets(entry: Entry) -> list[Target]:
    return [
        Target(f"ddmlp to {peer}, {name(hidden, batch)}", entry.ratio(name(hidden, batch), "ddmlp", peer), least)
        for hidden in HIDDEN
        for batch, peer, least in TARGETS
    ]


BENCHMARK = Benchmark("one-process", "One process", __doc__, cases, targets, of="bound", faster="ddmlp")

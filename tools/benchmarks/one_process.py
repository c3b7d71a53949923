"""Speed of training in one process, compared with other libraries and two bounds: dense and sparse products."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from tools.benchmarks.benchmark import Benchmark, Cases, Measure, Settings, Target
from tools.benchmarks.other_pixels import Images, change, grow, invert
from tools.benchmarks.peers.baseline import available, speed
from tools.benchmarks.processes import new_process, train_speed
from tools.benchmarks.record import Entry

HIDDEN, BATCHES = (300, 800), (1, 16, 64, 128, 512)
DENSE, SPARSE, NUMPY, TORCH = PEERS = ("dense bound", "sparse bound", "NumPy, dense", "PyTorch")
Targets = dict[str, dict[int, float]]  # for each peer and batch: the least ratio of ddmlp's speed to the peer's
DIGITS: Targets = {
    DENSE: {16: 2.3, 64: 1.5, 128: 1.5, 512: 1.5},
    TORCH: dict.fromkeys((64, 128, 512), 2.5),
    NUMPY: {1: 15},
}
FULL: Targets = {DENSE: dict.fromkeys((64, 128, 512), 0.6)}


def cases(by: Callable[[Images], Images] | None, settings: Settings) -> Cases:
    data = change(settings.data, by, settings.scratch / "data") if by else settings.data
    with ExitStack() as stack:
        processes = {peer: stack.enter_context(new_process()) for peer in PEERS if available(peer)}
        for hidden in HIDDEN:
            for batch in BATCHES:
                arguments = (data, hidden, batch, settings.seconds)
                found: dict[str, Measure | None] = {
                    "ddmlp": partial(train_speed, *arguments, microbatch=batch, workers=0)
                }
                for peer in PEERS:
                    found[peer] = partial(timed, processes[peer], peer, *arguments) if peer in processes else None
                yield f"{hidden} hidden, batch {batch}", found


def timed(begin: Callable[..., Callable[[], dict[str, float]]], *arguments: object) -> dict[str, float]:
    """Return the rows/s of a peer in its process."""
    return begin(speed, *arguments)()


def targets(required: Targets, entry: Entry) -> list[Target]:
    return [
        Target(f"ddmlp to {peer}, {case}", entry.ratio(case, "ddmlp", peer), least)
        for hidden in HIDDEN
        for peer, least_of in required.items()
        for batch, least in least_of.items()
        for case in [f"{hidden} hidden, batch {batch}"]
    ]


def benchmark(name: str, required: Targets, by: Callable[[Images], Images] | None = None) -> Benchmark:
    return Benchmark(name, partial(cases, by), partial(targets, required), of=DENSE, faster="ddmlp")


BENCHMARKS = (
    benchmark("one-process", DIGITS),
    benchmark("half-zero", {}, grow),
    benchmark("no-zero", FULL, invert),
)

"""Several processes on one machine: ddmlp with 0, 2 and 4 workers, beside PyTorch's and Ray's ways."""

from collections.abc import Callable, Iterator
from functools import partial

from ddmlp.errors import TrainingError
from tools.benchmarks.chapter import Bar, Chapter, Figures, Found, Setting, Spread, installed, interleaved, median_ratio
from tools.benchmarks.markdown import ratio, spread, table
from tools.benchmarks.processes import answer
from tools.benchmarks.training import rows_of, stint, trained

HIDDEN = (300, 800)
MICROBATCH = {64: 32, 256: 128, 1024: 128}  # by the global batch
WORKERS = (0, 2, 4)
DDP, RAY = "PyTorch DDP", "Ray's pattern"
PEERS = {DDP: "tools.benchmarks.peers.ddp", RAY: "tools.benchmarks.peers.ray_pattern"}
MEETS = {256: (DDP, RAY), 1024: (DDP,)}  # the peers at each global batch, half of it for each of two processes
PATH = "300, 256"  # where the message path is measured
INTRODUCTION = """Two processes compute in each of the peers, half of the global batch each, one thread each: PyTorch's
DistributedDataParallel on gloo, and Ray's documented parameter-server pattern with NumPy's dense step in its workers.
ddmlp is `python -m ddmlp.train --workers N`, synchronous. Whatever N is, the weights had the same SHA-256.
How much faster two can be on this machine where they exchange nothing, the chapter before says."""


def measure(setting: Setting) -> Found:
    found: Found = {}
    for hidden in HIDDEN:
        for batch in MICROBATCH:
            hashes: set[str] = set()
            runs, about = dict(contestants(setting, hidden, batch, hashes)), f"{hidden}, {batch}"
            speeds = interleaved(runs, setting.repeats, f"{about}: ")
            if len(hashes) != 1:
                raise TrainingError(f"{about}: the workers changed the weights: {hashes}")
            found[about] = speeds
    return found


def contestants(
    setting: Setting, hidden: int, batch: int, hashes: set[str]
) -> Iterator[tuple[str, Callable[[], float] | None]]:
    """All of them, in the order of their turns; the hashes of ddmlp's weights are added to `hashes`."""
    for workers in WORKERS:
        yield ours(workers), partial(train, setting, hidden, batch, workers, hashes)
    for name in MEETS.get(batch, ()):
        yield name, partial(theirs, name, setting, hidden, batch) if name == RAY or installed("torch") else None


def ours(workers: int) -> str:
    return f"ddmlp, {workers} workers" if workers else "ddmlp, one process"


def train(setting: Setting, hidden: int, batch: int, workers: int, hashes: set[str]) -> float:
    """rows/s of the training command, as its result says."""
    flags = stint(hidden, batch, MICROBATCH[batch], setting.seconds, rows_of(setting.data))
    result = trained(setting.data, "--workers", workers, *flags)
    hashes.add(result["weights_sha256"])
    return float(result["rows_per_second"])


def theirs(name: str, setting: Setting, hidden: int, batch: int) -> float:
    """rows/s of a peer, in processes of its own."""
    flags = ("--hidden", hidden, "--each", batch // 2, "--seconds", setting.seconds)
    return float(answer(PEERS[name], setting.data, *flags)["rows_per_second"])


def message_path(speeds: dict[str, Figures], batch: int) -> Spread | None:
    """Milliseconds of a step with 2 workers beyond the arithmetic: half of what the step takes one process."""
    one, two = speeds[ours(0)], speeds[ours(2)]
    if one is None or two is None:
        return None
    return Spread.of([1000 * batch * (1 / b - 0.5 / a) for a, b in zip(one, two, strict=True)])


def show(found: Found) -> str:
    heads = ["hidden, global batch", "", "rows/s, median (lowest to highest)", "of one process", "2 workers are faster"]
    rows = [
        [
            setting if name == ours(0) else "",
            name.replace("ddmlp", "**ddmlp**"),
            spread(figures),
            ratio(median_ratio(figures, speeds[ours(0)])),
            ratio(median_ratio(speeds[ours(2)], figures)),
        ]
        for setting, speeds in found.items()
        for name, figures in speeds.items()
    ]
    return f"{INTRODUCTION}\n\n{table(heads, rows)}"


def bars(found: Found) -> list[Bar]:
    asked = [
        (1024, ours(2), ours(0), 1.5),
        (256, ours(2), ours(0), 1.0),
        (256, ours(2), DDP, 1.5),
        (1024, ours(2), DDP, 1.2),
        (256, ours(2), RAY, 4.0),
        (256, ours(4), ours(2), 0.9),
        (1024, ours(4), ours(2), 0.9),
    ]
    ratios = [
        Bar(
            f"{one} to {other}, {hidden} hidden, batch {batch:,}",
            median_ratio(found[f"{hidden}, {batch}"][one], found[f"{hidden}, {batch}"][other]),
            least=least,
        )
        for hidden in HIDDEN
        for batch, one, other, least in asked
    ]
    path = message_path(found[PATH], 256)
    return [*ratios, Bar("a step with 2 workers beyond its arithmetic, 300 hidden, batch 256", path, most=1, unit="ms")]


CHAPTER = Chapter("several-processes", "Several processes", measure, show, bars)

"""Everything that can die, at every moment that matters: python -m tests.chaos [PART ...]

Prints tables in Markdown; exits with 1 if weights are not as promised, or a fault did not fire.
"""

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path

from ddmlp.cli.terminal import bar
from ddmlp.config import TrainConfig
from ddmlp.data.convert import convert, find_pairs
from ddmlp.ray_backend.choice import choose
from ddmlp.ray_backend.cluster import Cluster, connect
from ddmlp.runs.run import Run
from ddmlp.training.setup import build_trainer
from tests.chaos.endurance import lag, server, soak
from tests.chaos.goodput import goodput
from tests.chaos.hosts import hosts
from tests.chaos.many import many
from tests.chaos.page import HEAD, Page, line, summary
from tests.chaos.sources import sources
from tests.support.brokers import SERVERS as BROKERS
from tests.support.faults import ANY, SLICE, Fault, faulty_on_ray, fired, timeouts_for
from tests.support.runs import CONFIG, Row, begin, job, train, verified
from tools import sample_mnist

STEPS = {0: "first step", 13: "mid-epoch", 26: "last of an epoch", 27: "first of an epoch", 53: "last step"}
POSITIONS = {0: "at the beginning", 20: "mid-epoch", 27: "end of an epoch", 54: "at the end"}
FAULTS = [  # kind, victim, moment, in words, at which steps
    ("kill", "worker", "taken", "a unit taken", STEPS),
    ("kill", "worker", "computed", "a unit computed", STEPS),
    ("kill", "worker", "answered", "a unit answered", STEPS),
    ("kill", "every worker", "taken", "a unit taken", STEPS),
    ("stop", "worker", "taken", "a unit taken", STEPS),
    ("kill", "server", "begun", "the step begun", STEPS),
    ("kill", "server", "half", "the step half applied", STEPS),
    ("kill", "server", "applied", "the step applied", STEPS),
    ("kill", "server", "linked", "a checkpoint on the chain only", POSITIONS),
    ("kill", "server", "torn", "a checkpoint half written", POSITIONS),
    ("kill", "server", "saved", "a checkpoint written", POSITIONS),
]
SLICE_FAULTS = [  # with several servers: one of them, their coordinator, or a worker
    ("kill", "one of the servers", "loaded", "its slice of a checkpoint loaded", {0: "at the beginning"}),
    ("kill", "one of the servers", "begun", "the step begun", STEPS),
    ("kill", "one of the servers", "half", "a gradient added", STEPS),
    ("kill", "one of the servers", "applied", "the step applied", STEPS),
    ("stop", "one of the servers", "half", "a gradient added", {13: "mid-epoch"}),
    *(fault for fault in FAULTS if fault[1] != "every worker"),
]
WORKERS = (1, 2, 3, 4)
SERVERS = 2
MODES = {"--delay 2": {"delay": 2}, "--staleness 3": {"staleness": 3}, "--staleness inf": {"staleness": "inf"}}
MODE_WORKERS, MODE_STEPS = (3,), {13, 20, 26, 54}

PARTS = ("matrix", "modes", "servers", "server", "lag", "soak", "many", "hosts", "goodput", *BROKERS)

Found = tuple[str, str, list[Path], int]  # what and when in words, the runs, and in how many of them the fault fired


def trials(
    cluster: Cluster,
    data: Path,
    folder: Path,
    config: TrainConfig,
    workers: Sequence[int],
    steps: Container[int],
    servers: int = 1,
) -> Iterator[Found]:
    """Runs with one fault each: each kind, at each moment that lies at one of `steps`, for each number of workers."""
    folder.mkdir()
    kinds = FAULTS if servers == 1 else SLICE_FAULTS
    moments = [(*fault, step, when) for *fault, at in kinds for step, when in at.items() if step in steps]
    done = itertools.count(1)
    with bar(folder.name, "runs") as show:
        for kind, victim, moment, words, step, when in moments:
            paths, hits = [], 0
            for count in workers:
                victims = {
                    "server": [None],
                    "one of the servers": [SLICE],
                    "worker": [ANY],
                    "every worker": range(count),
                }[victim]
                faults = [Fault(kind, number, step, moment) for number in victims]
                path = folder / f"{count}-{victim}-{faults[0].mark}"
                marks = path.with_suffix(".marks")
                marks.mkdir()
                begin(path, config, data)
                given = job(data, path, count, config, servers=servers, timeouts=timeouts_for(faults))
                train(faulty_on_ray(faults, marks)(given, cluster), path)
                paths.append(path)
                hits += all(fired(marks, fault) for fault in faults)
                show(next(done), len(moments) * len(workers))
            yield f"{victim} {'killed' if kind == 'kill' else 'stopped'}, {words}", when, paths, hits


def matrix(cluster: Cluster, data: Path, folder: Path) -> Iterator[Row]:
    """One fault a run: each kind, at each moment, for each number of workers."""
    begin(folder / "alone", CONFIG, data)
    expected = train(build_trainer(job(data, folder / "alone", 0)), folder / "alone")["weights_sha256"]
    everywhere = STEPS.keys() | POSITIONS.keys()
    for what, when, paths, hits in trials(cluster, data, folder / "matrix", CONFIG, WORKERS, everywhere):
        same = all(Run(path).result().weights_sha256 == expected for path in paths)
        yield Row(what, when, listed(WORKERS), f"{hits} of {len(paths)}", same and hits == len(paths))


def modes(cluster: Cluster, data: Path, folder: Path) -> Iterator[Row]:
    """The same in the other modes, at fewer moments, each run computed again."""
    for flags, mode in MODES.items():
        config = replace(CONFIG, **mode)
        for what, when, paths, hits in trials(cluster, data, folder / flags, config, MODE_WORKERS, MODE_STEPS):
            fine = all(verified(path) for path in paths) and hits == len(paths)
            named = f"any of this, {flags}", f"{what}, {when}"
            yield Row(*named, listed(MODE_WORKERS), f"{hits} of {len(paths)}", fine)


def servers(cluster: Cluster, data: Path, folder: Path) -> Iterator[Row]:
    """The same with several servers, each run computed again."""
    everywhere = STEPS.keys() | POSITIONS.keys()
    found = trials(cluster, data, folder / "servers", CONFIG, MODE_WORKERS, everywhere, SERVERS)
    for what, when, paths, hits in found:
        fine = all(verified(path) for path in paths) and hits == len(paths)
        named = f"any of this, --servers {SERVERS}", f"{what}, {when}"
        yield Row(*named, listed(MODE_WORKERS), f"{hits} of {len(paths)}", fine)


def listed(workers: Sequence[int]) -> str:
    return ", ".join(map(str, workers))


def on_ray(part: Callable[[Cluster], Iterator[Row]]) -> Iterator[Row]:
    """A part of it, on a Ray of its own."""
    cluster = connect(choose("local"))
    try:
        yield from part(cluster)
    finally:
        cluster.leave()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="|".join(PARTS), help="what to do; 'sources': all brokers "
                        "(default: all)")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="PAGE", help="also write the tables into this page, instead of "
                        "those of the same parts")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=10.0, help="of the soak; half for a worker that lags, in "
                        "each mode (default: %(default)s)")  # fmt: skip
    parser.add_argument("--faults", type=int, default=1_200, help="of the run with many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: %(default)s)")
    args = parser.parse_args()
    asked = [part for name in args.parts or PARTS for part in (BROKERS if name == "sources" else [name])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with redirect_stdout(sys.stderr):
            sample_mnist.main([str(folder / "sample")])
        train_pair, test_pair = find_pairs(folder / "sample")
        data = folder / "data"
        convert({data / "train": train_pair, data / "test": test_pair}, shard_rows=1_500)
        parts: dict[str, Callable[[], Iterable[Row]]] = {
            "matrix": lambda: on_ray(partial(matrix, data=data, folder=folder)),
            "modes": lambda: on_ray(partial(modes, data=data, folder=folder)),
            "servers": lambda: on_ray(partial(servers, data=data, folder=folder)),
            "server": lambda: on_ray(partial(server, data=data, folder=folder, seed=args.seed)),
            "lag": lambda: on_ray(partial(lag, data=data, folder=folder, seconds=args.minutes * 30)),
            "soak": lambda: on_ray(partial(soak, data=data, folder=folder, seconds=args.minutes * 60, seed=args.seed)),
            "many": lambda: many(data, folder / "many", args.seed, args.faults),
            "hosts": lambda: hosts(data, folder / "hosts"),
            "goodput": lambda: goodput(data, folder / "goodput", args.seed),
            **{kind: partial(sources, data, folder / kind, kind, args.seed) for kind in BROKERS},
        }
        page = Page(args.out, PARTS) if args.out else None
        rows: list[Row] = []
        print(HEAD)
        for part in asked:
            found = []
            for row in parts[part]():
                print(line(row), flush=True)
                found.append(row)
            if page:
                page.replace(part, found)
            rows += found
    print(f"\n{summary(rows)}")
    return 0 if all(fine for *_, fine in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

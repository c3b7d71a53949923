"""Events and results with default values, so that a test names only the fields that matter."""

from typing import Any

from msgspec.structs import replace

from ddmlp.runs.events import Progress, Queue, Queues
from ddmlp.runs.measures import Staleness
from ddmlp.runs.result import RunResult, RunStaleness

_PROGRESS = Progress(
    step=4,
    epoch=0.5,
    rows=400,
    error=1.5,
    mistakes=0.25,
    speed=100.0,
    seconds=4.0,
    staleness=Staleness.from_counts({0: 2, 1: 2}),
    workers=2,
    queues=Queues(Queue(1, 3, 0.5), Queue(2, 4, 0.25)),
    waited=3.0,
    reissued=0,
)
_RESULT = RunResult(
    weights_sha256="a" * 64,
    chain="b" * 64,
    image_shape=(28, 28),
    steps=5,
    finished=True,
    rows=500,
    epochs=1,
    seconds=2.0,
    speed=250.0,
    staleness=RunStaleness(bound=0, delay=0, mean=0.0, max=0, histogram={0: 5}),
    dataset_sha256="c" * 64,
    answered={0: 5},
    reissued=0,
    compared=0,
    versions={"numpy": "2"},
    workers=0,
    seed=0,
)


def progress(step: int, **changes: Any) -> Progress:
    return replace(_PROGRESS, step=step, **changes)


def result(**changes: Any) -> RunResult:
    return replace(_RESULT, **changes)

"""The curves that the events of a run draw, by the names that TensorBoard, MLflow and Weights & Biases show."""

from collections.abc import Iterator

from msgspec.structs import asdict

from ddmlp.runs.events import Epoch, Event, Progress


def scalars(event: Event) -> Iterator[tuple[str, float]]:
    """The points that an event adds to the curves, by the names of these."""
    if isinstance(event, Progress):
        yield "loss/train", event.error
        yield "error/train", event.mistakes
        if event.prequential:
            yield "error/prequential", event.prequential.error
        yield "speed/rows_per_second", event.speed
        yield "speed/wait_seconds", event.waited
        yield "workers/count", event.workers
        yield "workers/reissued_units", event.reissued
        yield "staleness/mean", event.staleness.mean
        yield "staleness/max", event.staleness.max
        for name, queue in asdict(event.queues).items():
            yield f"queues/{name}_depth", queue.depth
            yield f"queues/{name}_blocked_seconds", queue.blocked
    elif isinstance(event, Epoch):
        yield "loss/test", event.cross_entropy
        yield "error/test", event.error

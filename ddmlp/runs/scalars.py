"""The curves of a run, as TensorBoard, MLflow and Weights & Biases show them."""

from collections.abc import Iterator

from msgspec.structs import asdict

from ddmlp.runs.events import Epoch, Event, Progress


def scalars(event: Event) -> Iterator[tuple[str, float]]:
    """Yield the points that an event adds to curves: the name of a curve, and a value.

    Errors and cross-entropies are those of `Progress` and `Epoch`; the cross-entropy is in nats.

    Examples
    --------
    >>> dict(scalars(Epoch(step=4, epoch=1, error=0.1, cross_entropy=0.3, rows=10, seconds=1.0)))
    {'loss/test': 0.3, 'error/test': 0.1}
    """
    if isinstance(event, Progress):
        yield "loss/train", event.error
        yield "error/train", event.mistakes
        if event.prequential:
            yield "error/prequential", event.prequential.error
        if event.lag and event.lag.rows is not None:
            yield "lag/rows", event.lag.rows
        if event.lag and event.lag.seconds is not None:
            yield "lag/seconds", event.lag.seconds
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

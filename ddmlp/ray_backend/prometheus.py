"""What a run on Ray shows to Prometheus, at the metrics endpoint of the driver's node.

Prometheus sees each name with ray_ in front, and counters with _total behind. Where Ray collects no metrics, as in a
Ray of our own, nobody takes note.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import asdict

from ddmlp.runs.events import Epoch, Event, Progress, Saved, Started
from ddmlp.training.report import Report

MANY = 64  # versions: what is staler is counted together, so that there is a bound to how many labels there are
# Versions. Ray adds up the middles of buckets: those of the first ones are whole.
STALENESS = [0.5, 1.5, 2.5, 3.5, 4.5, 6.5, 8.5, 12.5, 16.5, 24.5, 32.5, 48.5]
SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]

_Sums = dict[tuple[str, ...], float]  # by the counter's name and its labels


class RayMetrics:
    """Counters, gauges and histograms, moved by reports; nothing is measured, or sent, for them in a step."""

    def __init__(self, run: str) -> None:
        """run: what the metrics of this run are labelled with."""
        from ray.util.metrics import Counter, Gauge, Histogram

        def make(kind: Any, name: str, text: str, *labels: str, **more: Any) -> Any:
            return kind(f"ddmlp_{name}", text, tag_keys=("run", *labels), **more).set_default_tags({"run": run})

        self._rows = make(Counter, "rows", "Rows trained on, those of steps that were redone included")
        self._steps = make(Counter, "steps", "Steps applied, by the staleness of their gradients", "staleness")
        self._position = make(Gauge, "position", "Steps that the weights have in them")
        self._loss = make(Gauge, "loss", "Mean error E of a training row since the last report, in nats")
        self._test_error = make(Gauge, "test_error", "Fraction of the test rows that is recognised wrongly")
        self._workers = make(Gauge, "workers", "Workers that are there")
        self._restarts = make(Counter, "restarts", "Servers and workers that died or were let go, and replaced", "kind")
        self._depth = make(Gauge, "queue_depth", "Messages in a queue", "queue")
        self._high_water = make(Gauge, "queue_high_water", "The most messages that were in a queue", "queue")
        self._blocked = make(
            Counter, "queue_blocked_seconds", "Seconds that a full queue made its sender wait", "queue"
        )
        self._waited = make(Counter, "wait_seconds", "Seconds that the server waited for gradients")
        self._reissued = make(Counter, "reissued", "Units that were given to a second worker")
        self._staleness = make(Histogram, "staleness", "The oldest gradient that was applied since the last report, in "
                               "versions", boundaries=STALENESS)  # fmt: skip
        self._checkpoints = make(Histogram, "checkpoint_seconds", "Time that a checkpoint took", boundaries=SECONDS)
        # Sums when they were seen last: those of the server, which begin again with each, and this process's.
        self._of_server: _Sums = {}
        self._of_driver: _Sums = {}

    def show(self, report: Report, deaths: Mapping[str, int]) -> None:
        """Show a report, and how many of each kind of actor have died since the beginning."""
        self._position.set(report.step)
        self._workers.set(report.workers)
        if report.trained:
            self._rows.inc(report.trained)
            self._loss.set(report.error)
            self._staleness.observe(report.staleness[1])
        for versions, steps in report.updates.items():
            self._steps.inc(steps, {"staleness": str(versions) if versions < MANY else f"{MANY} and more"})
        for kind, count in deaths.items():
            _reach(self._restarts, count, self._of_driver, kind=kind)
        for event in _newest(report.events):
            match event:
                case Started():
                    self._of_server.clear()  # it is a new server, which sums from 0
                case Progress():
                    self._show_progress(event)
                case Epoch():
                    self._test_error.set(event.error)
                case Saved():
                    self._checkpoints.observe(event.seconds)

    def _show_progress(self, event: Progress) -> None:
        for name, queue in asdict(event.queues).items():
            self._depth.set(queue.depth, {"queue": name})
            self._high_water.set(queue.high_water, {"queue": name})
            _reach(self._blocked, queue.blocked, self._of_server, queue=name)
        _reach(self._waited, event.waited, self._of_server)
        _reach(self._reissued, event.reissued, self._of_server)


def _newest(events: Sequence[Event]) -> list[Event]:
    """The events, of one server, without the lines of progress before the newest."""
    last = max((place for place, event in enumerate(events) if isinstance(event, Progress)), default=0)
    return [event for place, event in enumerate(events) if place == last or not isinstance(event, Progress)]


def _reach(counter: Any, total: float, seen: _Sums, **labels: str) -> None:
    """Move a counter by what a sum has grown since it was `seen` last."""
    key = counter.info["name"], *labels.values()
    more = total - seen.get(key, 0)
    if more > 0:  # Ray takes nothing else
        counter.inc(more, labels)
        seen[key] = total

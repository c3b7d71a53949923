"""The metrics of a run on Ray for Prometheus, at the metrics endpoint of the driver's node.

Prometheus adds the prefix ray_ to each name, and the suffix _total to counters. If Ray collects no metrics, as a local
Ray does, they have no effect.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import asdict

from ddmlp.runs.events import Drift, Epoch, Event, Progress, Saved, Started
from ddmlp.runs.lag import Lag
from ddmlp.training.report import Report

MANY = 64  # versions: greater staleness is counted together, which bounds the number of labels
# Versions. Ray sums the centres of buckets: those of the first ones are whole numbers.
STALENESS = [0.5, 1.5, 2.5, 3.5, 4.5, 6.5, 8.5, 12.5, 16.5, 24.5, 32.5, 48.5]
SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]

_Sums = dict[tuple[str, ...], float]  # by the counter's name and its labels


class RayMetrics:
    """Counters, gauges and histograms, updated from reports: no step measures or sends anything for them."""

    def __init__(self, run: str) -> None:
        """run: the label of this run's metrics."""
        from ray.util.metrics import Counter, Gauge, Histogram

        def make(kind: Any, name: str, text: str, *labels: str, **more: Any) -> Any:
            return kind(f"ddmlp_{name}", text, tag_keys=("run", *labels), **more).set_default_tags({"run": run})

        self._rows = make(Counter, "rows", "Rows trained on, including those of repeated steps")
        self._steps = make(Counter, "steps", "Steps applied, by the staleness of their gradients", "staleness")
        self._position = make(Gauge, "position", "Applied steps")
        self._loss = make(Gauge, "loss", "Mean error E of a training row since the last report, in nats")
        self._test_error = make(Gauge, "test_error", "Fraction of the test rows that is misclassified")
        self._workers = make(Gauge, "workers", "Connected workers")
        self._restarts = make(
            Counter, "restarts", "Servers and workers that died or were released, and replaced", "kind"
        )
        self._depth = make(Gauge, "queue_depth", "Messages in a queue", "queue")
        self._high_water = make(Gauge, "queue_high_water", "Maximum number of messages in a queue", "queue")
        self._blocked = make(
            Counter, "queue_blocked_seconds", "Seconds that senders waited because a queue was full", "queue"
        )
        self._lag = {
            "rows": make(Gauge, "lag_rows", "Rows of the stream that are not trained on yet; NaN if that is not known"),
            "seconds": make(
                Gauge,
                "lag_seconds",
                "Seconds since the newest row trained on was sent, 0 if all rows are; NaN as above",
            ),
        }
        self._known = set[str]()  # those of them that have had a value
        self._drifts = make(Counter, "drift_alarms", "Rises of the prequential error")
        self._waited = make(Counter, "wait_seconds", "Seconds that the server waited for gradients")
        self._reissued = make(Counter, "reissued", "Units sent to a second worker")
        text = "Staleness of the oldest gradient applied since the last report, in versions"
        self._staleness = make(Histogram, "staleness", text, boundaries=STALENESS)
        self._checkpoints = make(
            Histogram, "checkpoint_seconds", "Duration of a checkpoint, in seconds", boundaries=SECONDS
        )
        # The sums seen last: of the server, which restart with each server, and of this process.
        self._of_server: _Sums = {}
        self._of_driver: _Sums = {}

    def show(self, report: Report, deaths: Mapping[str, int], lag: Lag | None = None) -> None:
        """Update the metrics from a report. deaths: of each kind of actor since the start; lag: if it is known."""
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
                    self._of_server.clear()  # a new server counts from 0
                case Progress():
                    self._show_progress(event)
                case Epoch():
                    self._test_error.set(event.error)
                case Saved():
                    self._checkpoints.observe(event.seconds)
                case Drift():
                    self._drifts.inc(1)
        self._show_lag(lag)

    def _show_lag(self, lag: Lag | None) -> None:
        """Show it. A gauge keeps its value, so it becomes NaN if that is no longer known."""
        for name, gauge in self._lag.items():
            value = getattr(lag, name, None)
            if value is not None:
                self._known.add(name)
            if name in self._known:
                gauge.set(math.nan if value is None else value)

    def _show_progress(self, event: Progress) -> None:
        for name, queue in asdict(event.queues).items():
            self._depth.set(queue.depth, {"queue": name})
            self._high_water.set(queue.high_water, {"queue": name})
            _reach(self._blocked, queue.blocked, self._of_server, queue=name)
        _reach(self._waited, event.waited, self._of_server)
        _reach(self._reissued, event.reissued, self._of_server)


def _newest(events: Sequence[Event]) -> list[Event]:
    """The events of one server, without any progress but the newest."""
    last = max((place for place, event in enumerate(events) if isinstance(event, Progress)), default=0)
    return [event for place, event in enumerate(events) if place == last or not isinstance(event, Progress)]


def _reach(counter: Any, total: float, seen: _Sums, **labels: str) -> None:
    """Increase a counter by the growth of a sum since it was `seen` last."""
    key = counter.info["name"], *labels.values()
    more = total - seen.get(key, 0)
    if more > 0:  # Ray accepts only positive amounts
        counter.inc(more, labels)
        seen[key] = total

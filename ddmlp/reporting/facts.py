"""The tables of the report: for each run, values by name, as text."""

from collections.abc import Sequence
from datetime import datetime

from ddmlp.config import TrainConfig
from ddmlp.reporting.summary import RunSummary

Facts = dict[str, str]


def compared(facts: Sequence[Facts]) -> list[tuple[str, list[str]]]:
    """Return the rows of a table with a column for each run: a name, and its value for each run or "".

    Examples
    --------
    >>> compared([{"a": "1"}, {"a": "2", "b": "3"}])
    [('a', ['1', '2']), ('b', ['', '3'])]
    """
    names = dict.fromkeys(name for one in facts for name in one)
    return [(name, [one.get(name, "") for one in facts]) for name in names]


def result(summary: RunSummary) -> Facts:
    """Return the result of a run, or its progress if it has none."""
    found, lines = summary.result, summary.records.progress
    facts = {"state": summary.state}
    if found is None:
        if summary.last:
            facts["weights sha256 of the last checkpoint"] = (
                f"{summary.last.weights_sha256} (step {summary.last.step:,})"
            )
            facts["chain"] = summary.last.digest
        if lines:
            facts |= {"rows trained on": f"{lines[-1].rows:,}", "training time": f"{lines[-1].seconds:.1f} s"}
            facts |= _trained_to(lines[-1].trained_to)
        if tested := summary.evaluation:
            facts[f"test error at step {summary.model_step:,}"] = _share(tested.mistakes, tested.rows)
        return facts
    if found.test_error is not None and found.test_rows is not None:
        facts["test error"] = _share(round(found.test_error * found.test_rows), found.test_rows)
    if first := found.prequential:
        facts["prequential error"] = (
            f"{first.error:.2%} of the newest {first.window:,} rows, {first.overall:.2%} of all"
        )
    if summary.config.asynchronous and found.staleness.histogram:
        facts["staleness"] = f"{found.staleness.mean:.2f} versions on average, {found.staleness.max} at most"
    counts = {
        "worker deaths": found.worker_deaths,
        "server deaths": found.server_deaths,
        "units reissued": found.reissued,
        "duplicate gradients compared": found.compared,
        "rows put aside": found.bad_rows,
        "drift alarms": len(summary.records.drifts),
    }
    return facts | {
        "weights sha256": found.weights_sha256,
        "chain": found.chain,
        "rows trained on": f"{found.rows:,} in {found.steps:,} steps",
        "training time": f"{found.seconds:.1f} s",
        "speed": f"{found.speed:,.0f} rows/s",
        **_trained_to(found.trained_to),
        **{name: f"{count:,}" for name, count in counts.items() if count},
    }


def time(summary: RunSummary) -> Facts:
    """Return waiting times and the largest depths of the queues."""
    records = summary.records
    ends, saved = records.sessions(), records.saved
    facts = {"sessions": f"{len(records.started)}"} if len(records.started) > 1 else {}
    if ends:
        starved = sum(end.gradients.blocked for end in ends)
        facts |= {
            "training, without tests, checkpoints and waits for rows": f"{records.progress[-1].seconds:.2f} s",
            "server waiting for gradients": f"{sum(end.waited for end in ends):.2f} s",
            "of this, while the queue of units was full": f"{sum(end.units.blocked for end in ends):.2f} s",
            "all workers waiting for units, including tests and checkpoints": f"{starved:.2f} s",
            "most units in flight": f"{max(end.units.high_water for end in ends)}",
            "most gradients in the queue": f"{max(end.gradients.high_water for end in ends)}",
        }
    if saved:
        facts["checkpoints"] = f"{len(saved)}, written in {sum(each.seconds for each in saved):.2f} s"
    return facts


def settings(summary: RunSummary) -> Facts:
    """Return the settings and data that determine the result, and the versions that computed it."""
    facts = {name: str(getattr(summary.config, name)) for name in TrainConfig.names()}
    if summary.workers is not None:
        facts["workers"] = str(summary.workers)
    if summary.servers > 1:
        facts["servers"] = str(summary.servers)
    facts |= {"data": str(summary.origin.data), "dataset sha256": summary.origin.dataset_sha256}
    return facts | (summary.result.versions if summary.result else {})


def _trained_to(time: datetime | None) -> Facts:
    return {"trained up to": f"{time:%Y-%m-%d %H:%M:%S} UTC"} if time else {}


def _share(mistakes: int, rows: int) -> str:
    return f"{mistakes / rows:.2%} ({mistakes:,} of {rows:,} rows)"

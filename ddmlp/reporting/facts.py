"""What the tables of the report compare: for each run, texts by what they are called."""

from collections.abc import Sequence

from ddmlp.config import TrainConfig
from ddmlp.reporting.summary import RunSummary

Facts = dict[str, str]


def compared(facts: Sequence[Facts]) -> list[tuple[str, list[str]]]:
    """The rows of a table with a column for each run: the name of a fact, and its text for each run or ""."""
    names = dict.fromkeys(name for one in facts for name in one)
    return [(name, [one.get(name, "") for one in facts]) for name in names]


def result(summary: RunSummary) -> Facts:
    """The result of a run, or how far it is."""
    found, lines = summary.result, summary.records.progress
    facts = {"state": summary.state}
    if found is None:
        if summary.last:
            facts["weights sha256 of the last checkpoint"] = (
                f"{summary.last.weights_sha256} (step {summary.last.step:,})"
            )
            facts["chain"] = summary.last.digest
        if lines:
            facts |= {"rows seen": f"{lines[-1].rows:,}", "seconds of training": f"{lines[-1].seconds:.1f}"}
        if tested := summary.evaluation:
            facts[f"test error at step {summary.model_step:,}"] = _share(tested.mistakes, tested.rows)
        return facts
    if found.test_error is not None and found.test_rows is not None:
        facts["test error"] = _share(round(found.test_error * found.test_rows), found.test_rows)
    if first := found.prequential:
        facts["recognised wrongly before trained on"] = (
            f"{first.error:.2%} of the newest {first.window:,} rows, {first.overall:.2%} of all"
        )
    if summary.config.asynchronous and found.staleness.histogram:
        facts["staleness"] = f"{found.staleness.mean:.2f} versions on average, {found.staleness.max} at most"
    counts = {
        "workers that died": found.worker_deaths,
        "servers that died": found.server_deaths,
        "units given to a second worker": found.reissued,
        "second answers, compared": found.compared,
    }
    return facts | {
        "weights sha256": found.weights_sha256,
        "chain": found.chain,
        "rows seen": f"{found.rows:,} in {found.steps:,} steps",
        "seconds of training": f"{found.seconds:.1f}",
        "speed": f"{found.speed:,.0f} rows/s",
        **{name: f"{count:,}" for name, count in counts.items() if count},
    }


def time(summary: RunSummary) -> Facts:
    """Seconds that were counted, and high-water marks."""
    records = summary.records
    ends, saved = records.sittings(), records.saved
    facts = {"sessions": f"{len(records.started)}"} if len(records.started) > 1 else {}
    if ends:
        starved = sum(end.gradients.blocked for end in ends)
        facts |= {
            "training, without tests, checkpoints and waits for rows": f"{records.progress[-1].seconds:.2f} s",
            "the server waited for answers": f"{sum(end.waited for end in ends):.2f} s",
            "... while the queue of units was full": f"{sum(end.units.blocked for end in ends):.2f} s",
            "the workers, together, waited for units, also during tests and checkpoints": f"{starved:.2f} s",
            "units in flight, at most": f"{max(end.units.high_water for end in ends)}",
            "answers not read yet, at most": f"{max(end.gradients.high_water for end in ends)}",
        }
    if saved:
        facts["checkpoints"] = f"{len(saved)}, {sum(each.seconds for each in saved):.2f} s"
    return facts


def settings(summary: RunSummary) -> Facts:
    """What the result is a function of, and what it was computed with."""
    facts = {name: str(getattr(summary.config, name)) for name in TrainConfig.names()}
    if summary.workers is not None:
        facts["workers"] = str(summary.workers)
    facts |= {"data": str(summary.origin.data), "dataset sha256": summary.origin.dataset_sha256}
    return facts | (summary.result.versions if summary.result else {})


def _share(mistakes: int, rows: int) -> str:
    return f"{mistakes / rows:.2%} ({mistakes:,} of {rows:,} rows)"

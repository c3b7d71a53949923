"""Compares the figures that a run recorded with those of a recomputation of its steps."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec.structs import asdict

from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.errors import RunError
from ddmlp.inference.evaluation import Evaluation, evaluate
from ddmlp.nn.weights import Weights
from ddmlp.plan.plan import Plan
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.runs.events import Epoch, Progress, Saved, Started
from ddmlp.runs.measures import Staleness
from ddmlp.runs.records import Records
from ddmlp.runs.result import RunStaleness
from ddmlp.runs.run import Run
from ddmlp.training.loop import Applied
from ddmlp.training.metrics import Prequential, Stretch

NOT_COVERED = (
    "times, speeds, waits, queues, workers, bad rows, lag, drift alarms, versions of libraries, missing lines of "
    "metrics"
)
ERROR_OFF = 1e-9  # the relative difference that a mean error may have


class Figures:
    """Follows a recomputation, and raises RunError for the first recorded figure that differs.

    It raises only at checkpoints, so that different weights are reported first.

    Attributes
    ----------
    compared, damaged : int
        The number of lines of metrics.jsonl that were compared, and that cannot be read.
    """

    def __init__(
        self,
        run: Run,
        config: TrainConfig,
        plan: Plan,
        start: Checkpoint,
        chain: Mapping[int, str],
        test: Dataset | None,
    ) -> None:
        """Read the recorded figures.

        start: where the recomputation begins; chain: the chain's digest of each checkpoint, by step; test: the test
        data, or None to compare no tests. Raises RunError if the lines of metrics.jsonl are out of order.
        """
        self._metrics, self._result = run.path / "metrics.jsonl", run.path / "result.json"
        self._run, self._config, self._plan, self._chain, self._test = run, config, plan, chain, test
        self._staleness = Counter(start.header.staleness)
        self._prequential = Prequential(start.header.prequential) if config.follow else None
        self._evaluated: tuple[int, Evaluation] | None = None
        self._stretch, self.compared = Stretch(), 0
        self._wrong: str | None = None
        self._due: list[tuple[int, Progress]] = []  # lines still to compare, each with the step that it counts from
        self._at: dict[int, list[Epoch | Saved]] = {}  # the other lines, by step
        begin = 0
        records = Records.read(self._metrics) if self._metrics.exists() else Records([])
        self.damaged = records.damaged
        for line in records.lines:
            if line.step < begin:
                raise RunError(f"{self._metrics} has a line of step {line.step} after one of step {begin}")
            if isinstance(line, Progress) and begin >= start.step:
                self._due.append((begin, line))
            if isinstance(line, Epoch | Saved):
                self._at.setdefault(line.step, []).append(line)
            if isinstance(line, Progress | Started):
                begin = line.step

    def record_step(self, version: int, applied: Applied) -> None:
        """Note that the step applied to `version` was recomputed."""
        row_stats, staleness = applied.row_stats, version - applied.update.read
        self._staleness[staleness] += 1
        if self._prequential:
            self._prequential.record_step(row_stats)
        if not self._due:
            return
        begin, line = self._due[0]
        if version == begin:
            self._stretch = Stretch()
        self._stretch.record_step(row_stats, 0.0, staleness)
        if version + 1 == line.step:
            del self._due[0]
            self._compare_progress(line)

    def reach(self, step: int, weights: Weights) -> None:
        """Compare what was recorded at a checkpoint that the recomputation has reached, with these weights.

        Raises RunError for the first figure that differs, up to this step.
        """
        for line in self._at.get(step, []):
            if isinstance(line, Saved):
                self._compare_line(line, {"chain": self._chain[step]})
            elif self._test:
                found = self._evaluate(step, weights)
                expected = {"error": found.error, "cross_entropy": found.cross_entropy, "rows": found.rows}
                self._compare_line(line, {"epoch": self._plan.epoch(step), **expected})
        if self._wrong:
            raise RunError(self._wrong)

    def finish(self, step: int, weights: Weights, fixed: Mapping[str, Any]) -> bool:
        """Compare result.json at the last step. Returns False if the run has no result.

        fixed: other expected fields of the result. Raises RunError for the first figure that differs.
        """
        result = self._run.result()
        if result is None:
            return False
        staleness = Staleness.from_counts(self._staleness)
        expected = {
            "steps": step,
            "rows": self._plan.rows_before(step),
            "epochs": self._plan.epoch(step),
            "seed": self._config.seed,
            "staleness": RunStaleness(self._config.staleness, self._config.delay, **asdict(staleness)),
            "prequential": self._prequential.error if self._prequential else None,
            **fixed,
        }
        if self._test:
            found = self._evaluate(step, weights)
            expected |= {"test_error": found.error, "test_cross_entropy": found.cross_entropy, "test_rows": found.rows}
        if result.finished:
            expected["steps"] = self._plan.steps
        if wrong := _difference(str(self._result), result, expected):
            raise RunError(wrong)
        return True

    def _compare_progress(self, line: Progress) -> None:
        stretch, step = self._stretch, line.step
        expected = {
            "epoch": step / self._plan.steps_per_epoch,
            "rows": self._plan.rows_before(step),
            "mistakes": stretch.mistaken,
            "prequential": self._prequential.error if self._prequential else None,
            "staleness": Staleness.from_counts(stretch.staleness),
        }
        if not math.isclose(line.error, stretch.error, rel_tol=ERROR_OFF) and not math.isnan(stretch.error):
            expected["error"] = stretch.error
        self._compare_line(line, expected)

    def _compare_line(self, line: Progress | Epoch | Saved, expected: Mapping[str, Any]) -> None:
        where = f"{self._metrics}, the line {type(line).__struct_config__.tag!r} of step {line.step}"
        self._wrong = self._wrong or _difference(where, line, expected)
        self.compared += 1

    def _evaluate(self, step: int, weights: Weights) -> Evaluation:
        if self._evaluated is None or self._evaluated[0] != step:
            assert self._test, "only with test data"
            self._evaluated = step, evaluate(weights, self._test)
        return self._evaluated[1]


def _difference(where: str, found: object, expected: Mapping[str, Any]) -> str | None:
    """Describe the first recorded figure that differs from the expected one; None if all are equal."""
    for name, value in expected.items():
        if (recorded := getattr(found, name)) != value:
            return f"{where}: {name} is {recorded}, but the recomputation gives {value}"
    return None

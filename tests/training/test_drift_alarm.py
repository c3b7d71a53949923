"""The alarm for rises of the prequential error."""

import sys

import numpy as np
import pytest

from ddmlp.errors import ConfigError
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.checkpoint import PrequentialState
from ddmlp.runs.events import Drift
from ddmlp.training.drift_alarm import DriftAlarm, Rise
from ddmlp.training.metrics import Journal
from ddmlp.training.step_loop import WaitTimes
from tests.training.test_metrics import ONE, events_of, journal_at, plan_of

pytestmark = pytest.mark.slow  # importing River takes seconds


def alarms(*parts: tuple[int, float], rows: int = 64, seed: int = 0) -> list[tuple[int, Rise]]:
    """The alarms in so many steps with these errors: the number of steps before each, and what it says."""
    random, alarm, step, found = np.random.default_rng(seed), DriftAlarm(), 0, []
    for steps, error in parts:
        for mistakes in random.binomial(rows, error, steps).tolist():
            step += 1
            if rise := alarm.record_step(rows, mistakes):
                found.append((step, rise))
    return found


def test_simple():
    """The error rises from 5 to 60 percent after 500 steps."""
    [(step, rise)] = alarms((500, 0.05), (500, 0.6))
    assert 500 < step <= 516
    assert rise.before == pytest.approx(0.05, abs=0.03)
    assert 0.05 < rise.after <= 0.65


@pytest.mark.parametrize("rows", [1, 8, 256])
def test_rows_of_a_step(rows: int):
    steps = [step for step, _ in alarms((2_000, 0.05), (2_000, 0.6), rows=rows)]
    assert len(steps) == 1
    assert 2_000 < steps[0] <= 2_064


def test_no_rise():
    for seed in range(5):
        assert alarms((2_000, 0.1), seed=seed) == []
    assert alarms((20, 0.9), (100, 0.3), (1_000, 0.1), (1_000, 0.05)) == [], "the network learns"


def test_two_rises():
    assert len(alarms((500, 0.05), (200, 0.5), (1_000, 0.05), (200, 0.5))) == 2


def test_knows_the_window():
    """After a resume, the steps of the checkpoint's window are those before a rise."""
    alarm = DriftAlarm(PrequentialState(64 * 150, 3 * 150, [(64, 3)] * 150))
    found = [rise for _ in range(24) if (rise := alarm.record_step(64, 40))]
    assert len(found) == 1
    assert found[0].before < 0.2 < found[0].after


def test_event():
    """An alarm has the position after its step, before a progress event of this step."""
    events = []
    for alarm in (False, True):
        journal = journal_at(1_000, follow=True, prequential=PrequentialState(10_000, 0, []))
        if alarm:
            journal = Journal(True, 1_000, journal.header, [], drift_alarm=True)
        for step, mistakes in enumerate([1] * 200 + [8] * 100, 1_001):
            journal.applied(RowStats(10, 0, 1.0, mistakes, 1.0), 0.5)
            journal.progress(step, plan_of(4), ONE, WaitTimes(), last=True)
        events.append(events_of(journal))
    without, found = events
    [drift] = [each for each in found if isinstance(each, Drift)]
    assert [each for each in found if each != drift] == without
    assert 1_200 < drift.step <= 1_216
    assert drift.rows == 10 * drift.step
    assert drift.before < 0.2 < drift.after
    assert [each.step for each in found] == sorted(each.step for each in found)


def test_not_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "river.drift", None)
    monkeypatch.setitem(sys.modules, "river", None)
    with pytest.raises(ConfigError, match=r"ddmlp\[drift\]"):
        DriftAlarm()

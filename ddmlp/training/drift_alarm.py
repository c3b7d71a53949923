"""An alarm for rises of the prequential error: the data of a stream may have changed."""

from collections import deque
from typing import Any, NamedTuple

from ddmlp.errors import require_extra
from ddmlp.runs.checkpoint import PrequentialState

DELTA = 1e-4  # ADWIN's bound on false alarms at each check
CLOCK = 8  # steps between its checks
NEWEST = 10  # steps whose error is the one after the rise


class Rise(NamedTuple):
    """A rise: the misclassified fraction of ADWIN's window before it, and of the newest steps."""

    before: float
    after: float


class DriftAlarm:
    """Notices that the prequential error has risen, by ADWIN, in River.

    It reads the number of misclassified rows of each step, in the order of the steps, so the same steps give the same
    alarms. ADWIN's bound is for values from 0 to 1; for the sums of independent ones, the rows of a step, Bernstein's
    inequality has the same form. ADWIN finds any change; a fall is no alarm, because learning is one. (Bifet and
    Gavalda 2007, "Learning from time-changing data with adaptive windowing".)

    Parameters
    ----------
    state : PrequentialState or None
        That of the checkpoint which a run continues from: the alarm knows the steps in its window only. So alarms may
        come sooner, later or not at all if a run is interrupted.

    Raises
    ------
    ConfigError
        River is not installed.
    """

    def __init__(self, state: PrequentialState | None = None) -> None:
        with require_extra("drift", "the drift alarm"):
            from river.drift import ADWIN
        self._adwin: Any = ADWIN(delta=DELTA, clock=CLOCK)
        self._newest = deque[int](maxlen=NEWEST)
        for rows, mistakes in state.steps if state else ():
            self.record_step(rows, mistakes)

    def record_step(self, rows: int, mistakes: int) -> Rise | None:
        """Add a step; returns the rise of the error if there is one.

        Only the last step of a stream has fewer rows than the others: it cannot look like a rise.
        """
        before = self._adwin.estimation
        self._newest.append(mistakes)
        self._adwin.update(mistakes)
        after = sum(self._newest) / len(self._newest)
        return Rise(before / rows, after / rows) if self._adwin.drift_detected and after > before else None

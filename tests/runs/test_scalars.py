"""The points that each kind of event adds to the curves."""

from msgspec.structs import replace

from ddmlp.runs.events import Epoch, Queue, Queues, Saved, Started
from ddmlp.runs.lag import Lag
from ddmlp.runs.measures import PrequentialError, Staleness
from ddmlp.runs.scalars import scalars
from tests.support.events import progress


def test_simple():
    queues = Queues(units=Queue(1, 3, 0.5), gradients=Queue(2, 4, 0.25))
    event = progress(4, queues=queues, staleness=Staleness(0.5, 1, {0: 2, 1: 2}), reissued=5)
    expected = {
        "loss/train": 1.5, "error/train": 0.25, "speed/rows_per_second": 100.0, "speed/wait_seconds": 3.0,
        "workers/count": 2, "workers/reissued_units": 5, "staleness/mean": 0.5, "staleness/max": 1,
        "queues/units_depth": 1, "queues/units_blocked_seconds": 0.5,
        "queues/gradients_depth": 2, "queues/gradients_blocked_seconds": 0.25,
    }  # fmt: skip
    assert dict(scalars(event)) == expected
    first = progress(4, queues=queues, staleness=event.staleness, reissued=5, prequential=PrequentialError(9, 0.5, 0.6))
    assert dict(scalars(first)) == {**expected, "error/prequential": 0.5}
    behind = replace(first, lag=Lag(messages=0, rows=0, seconds=0.0))
    assert dict(scalars(behind)) == {**dict(scalars(first)), "lag/rows": 0, "lag/seconds": 0.0}
    assert dict(scalars(replace(first, lag=Lag(messages=4)))) == dict(scalars(first))
    tested = Epoch(step=4, epoch=1, error=0.1, cross_entropy=0.3, rows=10, seconds=1.0)
    assert dict(scalars(tested)) == {"loss/test": 0.3, "error/test": 0.1}
    assert [*scalars(Started(0, [])), *scalars(Saved(1, 0.5, "c"))] == []

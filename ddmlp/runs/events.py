"""The events of a run: the lines of metrics.jsonl."""

from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from ddmlp.runs.json_text import Amount, Count, Digest, Fraction, Moment, Positive, Real, from_json
from ddmlp.runs.lag import Lag
from ddmlp.runs.measures import PrequentialError, Staleness


class Queue(Struct, frozen=True, rename={"blocked": "blocked_seconds"}):
    """The state of a queue.

    Parameters
    ----------
    depth
        Number of entries when the line was written.
    high_water
        Largest depth since the last start.
    blocked
        Seconds that the sender has waited since the last start. For gradients, the workers' seconds are added up.
    """

    depth: Count
    high_water: Count
    blocked: Amount


class Queues(Struct, frozen=True):
    """The two queues of a run."""

    units: Queue
    gradients: Queue


class Started(Struct, frozen=True, tag_field="event", tag="start"):
    """Training started or resumed after `step`.

    Events past `step` no longer count: they will happen again. complaints: what was damaged in the run's folder.
    """

    step: Count
    complaints: list[str]


class Progress(
    Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="event",
    tag="progress",
    rename={"speed": "rows_per_second", "waited": "wait_seconds"},
):
    """The progress of a run.

    Parameters
    ----------
    step
        Steps applied.
    epoch
        Epochs completed, including the fraction of the current one.
    rows
        Rows trained on so far.
    error, mistakes, speed
        Of the rows since the previous line: mean error E in nats, misclassified fraction, rows per second.
    prequential
        None if rows are trained on more than once.
    seconds
        Seconds of training since the run began, without tests, checkpoints and waits for rows.
    staleness
        Of the steps since the previous line.
    workers
        Workers that are connected; 1 in one process.
    queues
        The queues of units and of gradients.
    waited
        Seconds since the last start that the server waited for gradients.
    reissued
        Units since the last start that were given to a second worker.
    answered
        Units since the last start that each connected worker has answered, by its number; in one process, worker 0.
    bad_rows
        Rows of the stream that were put aside so far, because they could not be decoded; None if it has no positions.
    trained_to
        Event time of the newest message of which all rows were trained on, to within a shard; None if it is not known.
    lag
        How far the run is behind its stream; None if its broker does not say.
    """

    step: Count
    epoch: Amount
    rows: Count
    error: float
    mistakes: Fraction
    prequential: PrequentialError | None = None
    speed: float
    seconds: Amount
    staleness: Staleness
    workers: Count
    queues: Queues
    waited: Amount
    reissued: Count
    answered: dict[Count, Count] = {}
    bad_rows: Count | None = None
    trained_to: Moment | None = None
    lag: Lag | None = None

    @property
    def units(self) -> Queue:
        """The queue of units."""
        return self.queues.units

    @property
    def gradients(self) -> Queue:
        """The queue of gradients."""
        return self.queues.gradients


class Epoch(
    Struct,
    frozen=True,
    kw_only=True,
    tag_field="event",
    tag="epoch",
    rename={"error": "test_error", "cross_entropy": "test_cross_entropy", "rows": "test_rows"},
):
    """A test at the end of an epoch.

    Parameters
    ----------
    step
        Steps applied.
    epoch
        Epochs completed.
    error
        Misclassified fraction of the test rows.
    cross_entropy
        Mean error E of the test rows, in nats.
    rows
        Number of test rows.
    seconds
        Seconds of training since the run began.
    """

    step: Count
    epoch: Count
    error: Fraction
    cross_entropy: Real
    rows: Positive
    seconds: Amount


class Saved(Struct, frozen=True, tag_field="event", tag="checkpoint"):
    """A checkpoint was written.

    Parameters
    ----------
    step
        Its position.
    seconds
        How long writing took.
    chain
        Digest of its entry in the hash chain.
    """

    step: Count
    seconds: Amount
    chain: Digest


class Stored(Struct, frozen=True, tag_field="event", tag="stored", omit_defaults=True):
    """A checkpoint was stored elsewhere, or was not.

    Parameters
    ----------
    step
        The position when this was recorded.
    checkpoint
        That of the newest stored checkpoint; None if none is.
    seconds
        How long storing it took.
    error
        Why a newer one is not stored; empty if it is.
    """

    step: Count
    checkpoint: Count | None
    seconds: Amount
    error: str = ""


class Lost(Struct, frozen=True, kw_only=True, tag_field="event", tag="lost"):
    """A worker was lost or rejected; see `LostWorker`."""

    step: int
    worker: int
    host: str
    cause: str
    reason: str


class Drift(Struct, frozen=True, kw_only=True, tag_field="event", tag="drift"):
    """The prequential error has risen, after `rows` rows: the data may have changed. See `DriftAlarm`.

    before, after: the mean of the misclassified fractions of the steps before the rise, and since.
    """

    step: Count
    rows: Count
    before: Fraction
    after: Fraction


Event: TypeAlias = Started | Progress | Epoch | Saved | Stored | Lost | Drift


class AnyEvent(Struct):
    """The members of every event, including those of later versions."""

    event: str
    step: Count


_KINDS = {kind.__struct_config__.tag for kind in (Started, Progress, Epoch, Saved, Stored, Lost, Drift)}


def read_event(line: str | bytes) -> Event | None:
    """Parse a line of metrics.jsonl; return None for an unknown kind of event.

    Raises
    ------
    ValueError
        If the line is damaged.

    Examples
    --------
    >>> read_event('{"event": "start", "step": 0, "complaints": []}')
    Started(step=0, complaints=[])
    >>> read_event('{"event": "of a later version", "step": 0}')
    """
    found = from_json(line, dict[str, Any])
    known = msgspec.convert(found, AnyEvent).event in _KINDS
    return msgspec.convert(found, Event, str_keys=True) if known else None

"""Where the time of training went, as far as metrics.jsonl shows."""

from dataclasses import dataclass

from ddmlp.runs.records import Records


@dataclass(frozen=True)
class TimeSplit:
    """Seconds of training, split by what the server was doing.

    Only intervals between two progress events without a test, checkpoint or start in between count, because workers
    count waits during tests and checkpoints as waits for units.

    Parameters
    ----------
    seconds
        Total of these intervals.
    server
        All but waiting for gradients: adding and applying them, sending units, receiving answers.
    arithmetic
        Waiting for gradients while workers read rows and computed: at most the time that the average worker was busy.
        Without workers, all computing, including updates.
    messages
        Waiting longer than that: a lower bound of the time for messages in transit and for the slowest worker. None if
        this cannot be separated; then `arithmetic` is all of the waiting.
    """

    seconds: float
    server: float
    arithmetic: float
    messages: float | None

    @classmethod
    def from_records(cls, records: Records, *, follow: bool) -> "TimeSplit | None":
        """Split the time of a run; return None if no interval counts.

        follow: whether rows were still arriving. Workers count waits for rows as waits for units, too.
        """
        seconds = waited = busy = starved = 0.0
        for before, after in records.neighbours():
            stretch, idle = after.seconds - before.seconds, after.gradients.blocked - before.gradients.blocked
            seconds += stretch
            waited += after.waited - before.waited
            starved += idle
            busy += stretch - idle / max(1, after.workers)  # of the average worker
        if seconds <= 0:
            return None
        waited = min(waited, seconds)
        if not starved:  # all in one process, without messages
            return cls(seconds, seconds - waited, waited, 0.0)
        if follow:
            return cls(seconds, seconds - waited, waited, None)
        arithmetic = min(waited, max(0.0, busy))
        return cls(seconds, seconds - waited, arithmetic, waited - arithmetic)

    @property
    def shares(self) -> dict[str, float]:
        """The fraction of the time that each part took."""
        if self.messages is None:
            parts = {"server": self.server, "waiting for gradients": self.arithmetic}
        else:
            parts = {"server": self.server, "arithmetic": self.arithmetic, "messages": self.messages}
        return {part: seconds / self.seconds for part, seconds in parts.items()}

"""Where the time of training went, as far as the metrics tell."""

from dataclasses import dataclass

from ddmlp.runs.events import Records


@dataclass(frozen=True)
class TimeSplit:
    """Seconds of training, split by what the server was doing.

    Only the stretches between two lines of metrics in which nothing but training happened count: a worker that waits
    during a test or a checkpoint counts that as waiting for a unit, too.

    seconds: of all these stretches;
    server: it received, added and applied gradients: all but waiting for answers;
    arithmetic: it waited for answers while the workers read rows and computed, at most as long as one worker, on
        average, did not wait for a unit; without workers, all that computing took, updates too;
    messages: it waited for answers longer than that, so at least this went into messages on their way, and into waiting
        for the slowest worker; None if this cannot be told, and `arithmetic` is all of its waiting.
    """

    seconds: float
    server: float
    arithmetic: float
    messages: float | None

    @classmethod
    def from_records(cls, records: Records, *, follow: bool) -> "TimeSplit | None":
        """None if no stretch tells. follow: whether rows were still coming; a worker that waits for them counts that
        as waiting for a unit, too."""
        seconds = waited = busy = starved = 0.0
        for before, after in records.neighbours():
            stretch, idle = after.seconds - before.seconds, after.gradients.blocked - before.gradients.blocked
            seconds += stretch
            waited += after.waited - before.waited
            starved += idle
            busy += stretch - idle / max(1, after.workers)  # of one worker, on average
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
            parts = {"server": self.server, "waiting for answers": self.arithmetic}
        else:
            parts = {"server": self.server, "arithmetic": self.arithmetic, "messages": self.messages}
        return {part: seconds / self.seconds for part, seconds in parts.items()}

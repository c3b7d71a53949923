"""Stores the newest checkpoint of a run elsewhere, while the run trains."""

import logging
import time
from collections import deque
from collections.abc import Iterable
from threading import Condition, Thread

from msgspec import structs

from ddmlp.errors import DdmlpError
from ddmlp.runs.checkpoint_store import CheckpointStore
from ddmlp.runs.events import Event, Saved, Started, Stored
from ddmlp.runs.result import RunResult
from ddmlp.runs.run import Run

log = logging.getLogger(__name__)

PAUSES = (1.0, 4.0)  # seconds before each further attempt
CLOSE_SECONDS = 1.0  # for the thread to end
REMEMBERED = 100  # outcomes that were not taken yet, the newest ones


class Backup:
    """A thread that stores the newest checkpoint of a run, whenever there may be a newer one.

    If the store is slower than the run, the checkpoints in between are not stored. A store that fails is tried again,
    at once a few times and then with the next checkpoint; the training continues.

    Attributes
    ----------
    step : int or None
        The step of the newest stored checkpoint.
    failure : str or None
        Why the newest checkpoint is not stored; None if it is, or is still being written.
    """

    def __init__(self, store: CheckpointStore, run: Run) -> None:
        self._store, self._run = store, run
        self.step: int | None = None
        self.failure: str | None = None
        self._changed = Condition()
        self._due = self._busy = self._closed = False
        self._outcomes: deque[Stored] = deque(maxlen=REMEMBERED)
        # A daemon: a store that hangs does not keep the process from ending.
        self._thread = Thread(target=self._work, name="backup", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Store the newest checkpoint, unless the store has it."""
        with self._changed:
            self._due = True
            self._changed.notify_all()

    def see(self, events: Iterable[Event]) -> None:
        """Wake if one of these events may mean that there is a newer checkpoint."""
        if any(isinstance(event, Saved | Started) for event in events):
            self.wake()

    def outcomes(self) -> list[Stored]:
        """What has happened since the last call."""
        with self._changed:
            found = [*self._outcomes]
            self._outcomes.clear()
        return found

    def finish(self, seconds: float) -> None:
        """Store the newest checkpoint, and wait for that, but no longer than `seconds`."""
        self.wake()
        with self._changed:
            if not self._changed.wait_for(lambda: not (self._due or self._busy), seconds):
                self._fail(f"{self._store.shown} has not taken the newest checkpoint within {seconds:g} s")

    def added_to(self, result: RunResult) -> RunResult:
        """Add what the store has to a result, also in result.json."""
        result = structs.replace(result, stored=self.step, not_stored=self.failure)
        self._run.write_result(result)
        return result

    def close(self) -> None:
        """End the thread; a store that hangs is not waited for."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(CLOSE_SECONDS)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._due or self._closed)
                if self._closed:
                    return
                self._due, self._busy = False, True
            try:
                self._store_newest()
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _store_newest(self) -> None:
        for pause in (*PAUSES, None):
            paths = self._run.checkpoints.paths()
            if not paths or (self.step is not None and paths[0] == self._run.checkpoints.path(self.step)):
                return
            start = time.monotonic()
            try:
                self.step = self._store.save(self._run)
            except (DdmlpError, OSError) as error:
                with self._changed:
                    if pause is not None and not self._changed.wait_for(lambda: self._closed, pause):
                        continue
                    self._fail(f"a checkpoint is not stored: {error}")
                return
            with self._changed:
                self.failure = None
                self._outcomes.append(Stored(self.step, self.step, time.monotonic() - start))
            log.info("checkpoint of step %d stored in %s", self.step, self._store.shown)
            return

    def _fail(self, reason: str) -> None:
        """Note why a checkpoint is not stored; called with the lock."""
        log.warning("%s", reason)
        self.failure = reason
        self._outcomes.append(Stored(self.step or 0, self.step, 0.0, reason))

"""The verification of the data, beside the training."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress

LOWEST_PRIORITY = 19  # of Linux's priorities


class IntegrityChecker:
    """Compares every byte of the shards with its hash, in a thread, while steps are computed.

    A flipped bit in a shard must not train silently, so no step is kept before the shards that it may have read are
    verified: a run that was resumed after a shard is restored would otherwise carry the steps that were computed from
    the damage.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="verify", initializer=_stand_back)
        self._waiting: list[Future[None]] = []

    def submit(self, verify: Callable[[], None]) -> None:
        """Have `verify` called."""
        self._waiting.append(self._thread.submit(verify))

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until every shard is verified, or `seconds` have passed; whether every shard is.

        Raises DatasetError naming a shard that is not what its manifest says.
        """
        done, left = wait(self._waiting, seconds)
        for each in done:
            each.result()  # a damage is told as often as one asks
        self._waiting = [*left]
        return not left

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _stand_back() -> None:
    """Let this thread have what time the training leaves: steps wait for the slowest worker, nobody waits for a hash
    before the next checkpoint."""
    if sys.platform == "linux":  # elsewhere it would be the whole process
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)

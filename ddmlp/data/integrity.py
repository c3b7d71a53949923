"""Verification of the dataset while training runs."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress

LOWEST_PRIORITY = 19  # on Linux


class IntegrityChecker:
    """Compares the shards with their SHA-256 in a background thread, while steps are computed.

    A flipped bit in a shard must not change the weights silently. So no step is saved before all shards that it may
    have read are verified; otherwise a run that resumes after the shard is restored would keep steps computed from
    damaged data.

    Examples
    --------
    >>> checker = IntegrityChecker()
    >>> checker.submit(lambda: None)
    >>> checker.wait()
    True
    >>> checker.close()
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="verify", initializer=_lower_priority)
        self._waiting: list[Future[None]] = []

    def submit(self, verify: Callable[[], None]) -> None:
        """Call `verify` in the background thread; it raises DatasetError for a damaged shard."""
        self._waiting.append(self._thread.submit(verify))

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until every shard is verified, or `seconds` have passed. Return whether every shard is verified.

        Raises
        ------
        DatasetError
            A shard differs from its manifest entry; the message names the shard.
        """
        done, left = wait(self._waiting, seconds)
        for each in done:
            each.result()  # raises the same error on every call
        self._waiting = [*left]
        return not left

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _lower_priority() -> None:
    """Run this thread only on otherwise idle CPU time: a slow worker delays every step, but a hash is not needed
    before the next checkpoint."""
    if sys.platform == "linux":  # elsewhere this would apply to the whole process
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)

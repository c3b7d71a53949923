"""Signals that ask a run to stop."""

import signal
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread


class StopRequests:
    """The signals that have arrived so far.

    Each raises KeyboardInterrupt until `note` is called. From then on the first is only appended to `signals`, so that
    the run can stop in good order; a second one raises KeyboardInterrupt again.
    """

    def __init__(self) -> None:
        self.signals: list[int] = []
        self._noted = False

    def note(self) -> None:
        """From now on, only note the first signal."""
        self._noted = True

    def handle(self, number: int, _frame: object) -> None:
        """Handle a signal, as `signal.signal` calls it."""
        self.signals.append(number)
        if len(self.signals) > 1 or not self._noted:
            raise KeyboardInterrupt


@contextmanager
def stop_requests(numbers: Collection[int]) -> Iterator[StopRequests]:
    """Receive these signals in the block. Only the main thread can; in another thread none arrive."""
    requests = StopRequests()
    if current_thread() is not main_thread():
        yield requests
        return
    # Under nohup SIGHUP is ignored, and the run must outlive its terminal.
    asked = [each for each in numbers if each != signal.SIGHUP or signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, requests.handle) for number in asked}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

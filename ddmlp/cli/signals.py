"""Signals that ask a command to stop."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread


class StopRequests:
    """The SIGINT, SIGTERM and SIGHUP (the terminal was closed) that have come so far.

    Each raises KeyboardInterrupt until `note` is called. From then on the first is only appended to `signals`, so that
    whoever looks there can end in an orderly way; a second one raises KeyboardInterrupt again.
    """

    def __init__(self) -> None:
        self.signals: list[int] = []
        self._noted = False

    def note(self) -> None:
        """From now on a first signal is only noted."""
        self._noted = True

    def handle(self, number: int, _frame: object) -> None:
        self.signals.append(number)
        if len(self.signals) > 1 or not self._noted:
            raise KeyboardInterrupt


@contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Receive them. Only the main thread can, and elsewhere none come."""
    requests = StopRequests()
    if current_thread() is not main_thread():
        yield requests
        return
    asked = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # it is ignored under nohup: no terminal, no end
        asked.append(signal.SIGHUP)
    before = {number: signal.signal(number, requests.handle) for number in asked}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

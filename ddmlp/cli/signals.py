"""Signals that ask a command to stop."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """The SIGINT, SIGTERM and SIGHUP (the terminal was closed) that have come so far. A second is not waited for."""
    signals: list[int] = []

    def note(number: int, _frame: object) -> None:
        signals.append(number)
        if len(signals) > 1:
            raise KeyboardInterrupt

    asked = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # it is ignored under nohup: no terminal, no end
        asked.append(signal.SIGHUP)
    before = {number: signal.signal(number, note) for number in asked}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

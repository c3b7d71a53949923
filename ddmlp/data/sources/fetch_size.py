"""How many messages to ask a broker for."""

from collections.abc import Sequence

FETCH_BYTES = 8 << 20  # of payloads that a broker should return at a time
MAX_MESSAGES = 1_000  # the same, in messages


class FetchSize:
    """How many messages to ask for, if a broker counts messages, and not bytes: FETCH_BYTES of the largest one so far.

    It begins with one, and grows by one a message.
    """

    def __init__(self) -> None:
        self.count = self._largest = 1

    def see(self, size: int, messages: int = 1) -> None:
        """Take messages of at most `size` bytes into account."""
        self._largest = max(self._largest, size)
        self.count = max(1, min(MAX_MESSAGES, self.count + messages, FETCH_BYTES // self._largest))

    def see_all(self, payloads: Sequence[bytes | None]) -> None:
        """Take all messages of a fetch into account."""
        if payloads:
            self.see(max(map(len, filter(None, payloads)), default=0), len(payloads))

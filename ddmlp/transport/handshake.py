"""How server and worker prove to each other that they know the run's secret, which is never sent (HMAC-SHA256).

    server -> worker   a challenge: random bytes
    worker -> server   digest, another challenge, hello
    server -> worker   digest, welcome

Each digest covers both challenges and the message that goes with it, so neither can be used again, or for another.
"""

import hmac
import secrets

CHALLENGE = 32  # bytes
DIGEST = 32  # bytes


class Handshake:
    """One end's part in it. `challenge`: what it asks of the other end."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.challenge = secrets.token_bytes(CHALLENGE)
        self._other = b""

    def hello(self, challenge: bytes, message: bytes) -> bytes:
        """The worker's answer to the server's challenge, with a message."""
        if len(challenge) != CHALLENGE:
            raise ValueError(f"a challenge of {len(challenge)} bytes came, expected {CHALLENGE}")
        self._other = challenge
        return self._digest(b"worker", challenge, self.challenge, message) + self.challenge + message

    def read_hello(self, frame: bytes) -> bytes:
        """The message of a worker that knows the secret. Raises ValueError for one that does not."""
        digest, self._other = frame[:DIGEST], frame[DIGEST : DIGEST + CHALLENGE]
        message = frame[DIGEST + CHALLENGE :]
        self._check(digest, self._digest(b"worker", self.challenge, self._other, message))
        return message

    def welcome(self, message: bytes) -> bytes:
        """The server's answer to the worker's challenge, with a message."""
        return self._digest(b"server", self.challenge, self._other, message) + message

    def read_welcome(self, frame: bytes) -> bytes:
        """The message of a server that knows the secret. Raises ValueError for one that does not."""
        digest, message = frame[:DIGEST], frame[DIGEST:]
        self._check(digest, self._digest(b"server", self._other, self.challenge, message))
        return message

    def _digest(self, role: bytes, of_server: bytes, of_worker: bytes, message: bytes) -> bytes:
        return hmac.digest(self._secret, role + of_server + of_worker + message, "sha256")

    def _check(self, found: bytes, expected: bytes) -> None:
        if len(self._other) != CHALLENGE or not hmac.compare_digest(found, expected):
            raise ValueError("it does not know the secret of this run")

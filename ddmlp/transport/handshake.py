"""Mutual authentication of server and worker by HMAC-SHA256 (RFC 2104). The secret of the run is never sent.

    server -> worker   a challenge: random bytes
    worker -> server   digest, another challenge, hello
    server -> worker   digest, welcome

Each digest covers both challenges and the message after it, so it is valid for this connection and message only. It
also covers the certificate of the server, so that the holder of another certificate cannot sit between the two ends and
forward the digests (as in RFC 5929, section 4).
"""

import hmac
import secrets

CHALLENGE = 32  # bytes
DIGEST = 32  # bytes


class Handshake:
    """One end of a handshake. `challenge`: random bytes for the other end."""

    def __init__(self, secret: bytes, fingerprint: bytes = bytes(32)) -> None:
        """fingerprint: of the server's certificate, see `FrameSocket`."""
        self._secret, self._fingerprint = secret, fingerprint
        self.challenge = secrets.token_bytes(CHALLENGE)
        self._other = b""

    def hello(self, challenge: bytes, message: bytes) -> bytes:
        """The worker's answer to the server's challenge, with a message."""
        if len(challenge) != CHALLENGE:
            raise ValueError(f"received a challenge of {len(challenge)} bytes, expected {CHALLENGE}")
        self._other = challenge
        return self._digest(b"worker", challenge, self.challenge, message) + self.challenge + message

    def read_hello(self, frame: bytes) -> bytes:
        """The message of a worker. Raises ValueError if it does not know the secret."""
        digest, self._other = frame[:DIGEST], frame[DIGEST : DIGEST + CHALLENGE]
        message = frame[DIGEST + CHALLENGE :]
        self._check(digest, self._digest(b"worker", self.challenge, self._other, message))
        return message

    def welcome(self, message: bytes) -> bytes:
        """The server's answer to the worker's challenge, with a message."""
        return self._digest(b"server", self.challenge, self._other, message) + message

    def read_welcome(self, frame: bytes) -> bytes:
        """The message of the server. Raises ValueError if it does not know the secret."""
        digest, message = frame[:DIGEST], frame[DIGEST:]
        self._check(digest, self._digest(b"server", self._other, self.challenge, message))
        return message

    def _digest(self, role: bytes, of_server: bytes, of_worker: bytes, message: bytes) -> bytes:
        return hmac.digest(self._secret, role + self._fingerprint + of_server + of_worker + message, "sha256")

    def _check(self, found: bytes, expected: bytes) -> None:
        if len(self._other) != CHALLENGE or not hmac.compare_digest(found, expected):
            raise ValueError("it does not know the secret of this run")

"""The server's side of a login by Kafka's protocol: SASL with a user and a password."""

import hashlib
import hmac
import secrets
import socket
import struct
from base64 import b64decode, b64encode
from collections.abc import Generator, Mapping

HANDSHAKE, VERSIONS, AUTHENTICATE = 17, 18, 36  # the kinds of the requests before it is done
OUR_VERSIONS = struct.pack(">hhhxhhhx", HANDSHAKE, 1, 1, AUTHENTICATE, 0, 0)  # each with an empty list of tags
WRONG_MECHANISM, FAILED = 33, 58  # errors
ITERATIONS = 4096
Login = Generator[bytes, bytes, bytes]  # yields challenges, is sent the client's messages, and returns the last answer


class Refused(Exception):
    """The user or the password is wrong."""


def logged_in(client: socket.socket, server: socket.socket, users: Mapping[str, str]) -> bool:
    """Answer the requests of a client until it has logged in; False: it has not, or is gone. users: their passwords."""
    login: Login | None = None
    while request := _receive(client):
        kind, version, number = struct.unpack_from(">hhi", request)
        body = request[10 + max(0, struct.unpack_from(">h", request, 8)[0]) :]
        if kind == VERSIONS:
            assert version >= 3, "others have another form"
            _send(server, request)
            _send(client, _with_ours(_receive(server)))
        elif kind == HANDSHAKE:
            found = LOGINS.get(body[2:].decode())
            names = b"".join(_short(name) for name in LOGINS)
            _send(client, struct.pack(">ihi", number, 0 if found else WRONG_MECHANISM, len(LOGINS)) + names)
            if found is not None:
                login = found(users)
                next(login)
        elif kind == AUTHENTICATE and login is not None:
            try:
                challenge, done = login.send(body[4:]), False
            except StopIteration as last:
                challenge, done = last.value, True
            except Refused:
                _send(client, struct.pack(">ih", number, FAILED) + _short("Authentication failed") + bytes(4))
                return False
            _send(client, struct.pack(">ihhi", number, 0, -1, len(challenge)) + challenge)
            if done:
                return True
        else:
            return False
    return False


def _plain(users: Mapping[str, str]) -> Login:
    """The user and the password as they are (RFC 4616)."""
    _, user, password = (yield b"").decode().split("\0")
    if users.get(user) != password:
        raise Refused
    return b""


def _scram(users: Mapping[str, str]) -> Login:
    """A proof of the password by SHA-256 (RFC 5802, RFC 7677)."""
    first = (yield b"").decode().removeprefix("n,,")
    given = dict(each.split("=", 1) for each in first.split(","))
    salt = secrets.token_bytes(16)
    challenge = f"r={given['r']}{secrets.token_hex(8)},s={b64encode(salt).decode()},i={ITERATIONS}"
    final, _, proof = (yield challenge.encode()).decode().rpartition(",p=")
    if given["n"] not in users:
        raise Refused
    salted = hashlib.pbkdf2_hmac("sha256", users[given["n"]].encode(), salt, ITERATIONS)
    messages = f"{first},{challenge},{final}".encode()
    stored = hashlib.sha256(_sign(salted, b"Client Key")).digest()
    key = bytes(a ^ b for a, b in zip(b64decode(proof), _sign(stored, messages), strict=True))
    if hashlib.sha256(key).digest() != stored:
        raise Refused
    return b"v=" + b64encode(_sign(_sign(salted, b"Server Key"), messages))


LOGINS = {"PLAIN": _plain, "SCRAM-SHA-256": _scram}


def _sign(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _with_ours(answer: bytes) -> bytes:
    """The server's answer about the requests that it takes, and those of a login: after the number of entries."""
    count = answer[6] + 2
    assert count < 128, "the number has one byte"
    return answer[:6] + bytes([count]) + OUR_VERSIONS + answer[7:]


def _short(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _receive(peer: socket.socket) -> bytes:
    """The next request or answer, without its size; b"" if the peer is gone."""
    size = _receive_bytes(peer, 4)
    return _receive_bytes(peer, *struct.unpack(">i", size)) if len(size) == 4 else b""


def _receive_bytes(peer: socket.socket, count: int) -> bytes:
    """So many bytes, or fewer if the peer is gone."""
    found = b""
    while len(found) < count and (more := peer.recv(count - len(found))):
        found += more
    return found


def _send(peer: socket.socket, content: bytes) -> None:
    peer.sendall(struct.pack(">i", len(content)) + content)

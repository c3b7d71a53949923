"""A proxy in front of a server of Kafka's protocol, which has neither TLS nor a login."""

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.broker import Server
from tests.support.kafka_login import logged_in

HOST = "127.0.0.1"
PIECE = 65_536  # bytes


@contextmanager
def proxy(server: Server, *, files: Path | None = None, users: Mapping[str, str] | None = None) -> Iterator[str]:
    """Pass what comes by connections to another address on to a server; yields the address, HOST:PORT.

    In what the server answers, its host is replaced by that of the address, which has as many characters.
    files: a folder with tls.crt and tls.key; None: no TLS. users: their passwords; None: no login.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if files is not None:
        context.load_cert_chain(files / "tls.crt", files / "tls.key")
    assert len(HOST) == len(server.host)
    ends, threads = list[socket.socket](), list[threading.Thread]()

    def begin(work: object, *arguments: object) -> None:
        threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        threads[-1].start()

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                begin(connect, listener.accept()[0])

    def connect(plain: socket.socket) -> None:
        ends.append(plain)
        with suppress(OSError):
            client = context.wrap_socket(plain, server_side=True) if files else plain
            ends.extend([client, behind := socket.create_connection((server.host, server.port))])
            if users is None or logged_in(client, behind, users):
                begin(forward, client, behind)
                forward(behind, client)
            client.shutdown(socket.SHUT_RDWR)

    def forward(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(PIECE):
                sink.sendall(content.replace(server.host.encode(), HOST.encode()))

    with socket.create_server((HOST, server.port)) as listener:
        begin(accept, listener)
        try:
            yield f"{HOST}:{server.port}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for end in ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            for end in ends:
                end.close()

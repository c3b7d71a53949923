"""TLS in front of a server that has none: a proxy."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PIECE = 65_536  # bytes


@contextmanager
def terminating(address: tuple[str, int], server: tuple[str, int], files: Path) -> Iterator[None]:
    """Take connections with TLS at an address, and pass what comes by them to a server.

    In what the server answers, its host is replaced by that of the address, which must have as many characters.
    files: a folder with tls.crt and tls.key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "tls.crt", files / "tls.key")
    here, there = address[0].encode(), server[0].encode()
    assert len(here) == len(there)
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
            client = context.wrap_socket(plain, server_side=True)
            ends.extend([client, behind := socket.create_connection(server)])
            begin(forward, client, behind)
            forward(behind, client)

    def forward(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(PIECE):
                sink.sendall(content.replace(there, here))

    with socket.create_server(address) as listener:
        begin(accept, listener)
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for end in ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            for end in ends:
                end.close()

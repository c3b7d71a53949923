"""A local HTTP server of files that can misbehave."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    """The first part of the URL's path selects the behaviour, the second the file."""

    server: "Mirror"

    def do_GET(self) -> None:
        behaviour, name = self.path.partition("?")[0].strip("/").split("/")
        self.server.requests.append((behaviour, name))
        try:
            BEHAVIOURS[behaviour](self, self.server.files[name])
        except ConnectionError:
            self.close_connection = True  # the client may disconnect at any time

    def send(self, status: int, data: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)

    def send_without_length(self, data: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data)

    def send_the_third_time(self, data: bytes) -> None:
        """Break off the first two connections."""
        self.send(200, data if len(self.server.requests) == 3 else data[:300], len(data))

    def log_message(self, *_: object) -> None:
        pass


BEHAVIOURS = {
    "whole": lambda handler, data: handler.send(200, data),
    "drop": lambda handler, data: handler.send(200, data[:300], len(data)),
    "drop_twice": Handler.send_the_third_time,
    "missing": lambda handler, _: handler.send(404, b"no such file"),
    "wrong": lambda handler, _: handler.send(200, handler.server.files["wrong"]),
    "page": lambda handler, _: handler.send(200, b"<!DOCTYPE html><title>Sign in to this network</title>"),
    "damaged": lambda handler, data: handler.send(200, data[:-1]),
    "no_length": lambda handler, data: handler.send_without_length(data),
    "endless": lambda handler, _: handler.send_without_length(bytes(1 << 23)),
    "boast": lambda handler, _: handler.send(200, b"", 1 << 40),
}


class Mirror(HTTPServer):
    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.requests: list[tuple[str, str]] = []

    def url(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{behaviour}/"


@contextmanager
def mirror_of(files: dict[str, bytes]) -> Iterator[Mirror]:
    with Mirror(files) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

"""Serve: ddmlp serve --model RUN_OR_NPZ | --run RUN"""

import argparse
import os
import re
import signal
import socket
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ddmlp.cli.terminal import MODELS, Parser, check_range, command
from ddmlp.errors import ConfigError, require_extra

if TYPE_CHECKING:  # which --help does not wait for
    import uvicorn

    from ddmlp.runs.run import Run
    from ddmlp.serving.models import Served

HOST, PORT = "127.0.0.1", 8000
END_SECONDS = 5  # for requests in progress when it ends


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(prog="ddmlp serve", description="Recognise digits in the browser and over HTTP.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", **MODELS)
    what.add_argument("--run", type=Path, help="a run's folder, also while it trains or before it begins: shows its "
                      "curves, and recognises by its newest checkpoint")  # fmt: skip
    add_address(parser)
    args = parser.parse_args(arguments)
    check_address(args)
    if args.run and args.run.exists() and not args.run.is_dir():
        raise ConfigError(f"--run is the file {args.run}, expected the folder of a run")
    return args


def add_address(parser: Parser) -> None:
    """Add the flags of the address to listen on."""
    parser.add_argument("--host", default=HOST, help="the address to listen on (default: %(default)s, only this "
                        "machine; 0.0.0.0: all addresses, for any machine that can reach this one)")  # fmt: skip
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME", help="also answer requests for "
                        "this name, for example that of a reverse proxy; with --host 0.0.0.0: only for these names "
                        "and for this machine's own (may be repeated)")  # fmt: skip
    parser.add_argument("--port", type=int, default=PORT, help="the port; 0 for a free one (default: %(default)s)")


def check_address(args: argparse.Namespace) -> None:
    """Raise ConfigError for bad values of these flags."""
    check_range("--port", args.port, 0, 65535)
    args.allow_host = [name.lower() for name in args.allow_host]
    if wrong := [name for name in args.allow_host if not re.fullmatch(r"[\w.-]+|[0-9a-f:]+", name)]:
        raise ConfigError(f"--allow-host is {wrong[0]!r}, expected the name alone, without scheme and port")


def open_listener(host: str, port: int) -> socket.socket:
    """Open a listening socket; raises ConfigError."""
    try:
        (family, *_, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listener = socket.create_server(address[:2], family=family)
    except OSError as error:
        why = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise ConfigError(f"cannot listen on {host}, port {port}: {why}; choose others by --host and --port") from None
    # Accepted connections inherit it. asyncio sets it only if a socket names its protocol; without it the second part
    # of an answer waits 40 ms for the client to acknowledge the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def url_of(listener: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def web_server(
    served: "Served", name: str, run: "Run | None", listener: socket.socket, allowed: Collection[str]
) -> "uvicorn.Server":
    """Make a server; see `application`. allowed: the names of --allow-host."""
    import uvicorn

    from ddmlp.serving.app import application
    from ddmlp.serving.connections import BACKLOG, BoundedConnection
    from ddmlp.serving.security import LOOPBACK

    hosts = LOOPBACK.union(allowed) if listener.getsockname()[0] in LOOPBACK or allowed else None
    app = application(served, name, run, hosts, lambda: server.should_exit)
    # Errors only: a client must not be able to fill the log.
    server = uvicorn.Server(
        uvicorn.Config(
            app, http=BoundedConnection, ws="none", log_level="error", server_header=False, proxy_headers=False,
            timeout_graceful_shutdown=END_SECONDS, backlog=BACKLOG,
        )
    )  # fmt: skip
    return server


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    with require_extra("serve", "ddmlp serve"):
        import uvicorn  # noqa: F401 - what is missing is found before the model is read

        from ddmlp.serving.models import Newest, fixed
    from ddmlp.runs.run import Run

    run = args.run and Run(args.run)
    served = Newest(run) if run else fixed(*args.model)
    name = str(args.run or ", ".join(map(str, args.model)))
    with open_listener(args.host, args.port) as listener:
        server = web_server(served, name, run, listener, args.allow_host)

        def end(*_: object) -> None:
            server.should_exit = True

        # For signals before uvicorn handles them, and for the one that uvicorn raises again when it has ended.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        print(f"{url_of(listener)}  serves {name}; Ctrl-C ends it", flush=True)
        server.run(sockets=[listener])


if __name__ == "__main__":
    command(main)

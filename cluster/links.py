#!/usr/bin/env python3
"""Commands to the switch of hosts.sh, which passes them on.

    links.py SOCKET add HOST --process PID     connect the network namespace of a process
    links.py SOCKET link HOST HOST [--delay MS] [--loss PERCENT] [--rate MBIT]       both ways; 0: undisturbed
    links.py SOCKET cut HOST HOST [--one-way]  nothing passes; one way: nothing from the first to the second
    links.py SOCKET heal [HOST HOST]           end these cuts, or all
    links.py SOCKET links                      print a table of all links; "dropped": packets at a cut

HOST is a number, or "all".
"""

import argparse
import json
import socket
import sys
from typing import NoReturn

ANSWER_SECONDS = 10.0
LAST_HOST = 254
HOSTS = {"add": {1}, "link": {2}, "cut": {2}, "heal": {0, 2}, "links": {0}}  # how many a command takes


def host(text: str) -> str:
    """A host's number, or "all". Raises ValueError."""
    if text != "all" and not 1 <= int(text) <= LAST_HOST:
        raise ValueError(text)
    return text


def number(text: str) -> float:
    """A number that is not below 0. Raises ValueError."""
    if not 0 <= float(text) < 1e6:
        raise ValueError(text)
    return float(text)


class OneLine(argparse.ArgumentParser):
    """A parser whose errors have one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; the beginning of hosts.sh lists the commands\n")


def ask(path: str, command: dict[str, object]) -> str:
    """The answer of the switch at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(ANSWER_SECONDS)
        end.connect(path)
        end.sendall(json.dumps(command).encode())
        return b"".join(iter(lambda: end.recv(1 << 16), b"")).decode()


def main() -> int:
    parser = OneLine(add_help=False)
    parser.add_argument("path")
    parser.add_argument("command", choices=HOSTS)
    parser.add_argument("hosts", type=host, nargs="*", metavar="HOST")
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--one-way", action="store_true")
    for name in ("--delay", "--loss", "--rate"):
        parser.add_argument(name, type=number, default=0.0)
    asked = vars(parser.parse_args())
    path, command = asked.pop("path"), asked["command"]
    if len(asked["hosts"]) not in HOSTS[command]:
        parser.error(f"{command} takes {' or '.join(map(str, HOSTS[command]))} hosts, found {len(asked['hosts'])}")
    if command == "heal":
        asked["hosts"] = asked["hosts"] or ["all", "all"]
    try:
        answer = ask(path, asked)
    except OSError as error:
        answer = f"error: the switch at {path} does not answer: {error}"
    if answer:
        print(answer, file=sys.stderr if answer.startswith("error: ") else sys.stdout)
    return int(answer.startswith("error: "))


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""A network between namespaces on one machine: a switch in user space. Each link has a delay, a loss and a rate.

    switch.py SOCKET     forward packets until it is killed; links.py sends commands to the Unix socket

Each host has a TUN device. The switch reads its IP packets, and writes each to the device of its destination once it is
due. It needs nothing but Python, `ip` and TUN. `tc netem` does the same in kernels that have it, but many have not, and
two implementations would be two behaviours.
"""

import fcntl
import heapq
import itertools
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

NETWORK = "10.77.0."  # and the number of the host
MTU = 1500  # bytes
BURST = 64  # packets that are read from one host before it is the next one's turn
QUEUE_SECONDS, QUEUE_BYTES = 0.2, 100_000  # what a link with a rate holds, at least; then it drops
HELD_BYTES = 64 << 20  # what all links hold together
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
BYTES_PER_MEGABIT = 125_000


@dataclass
class Link:
    """One direction of a link, and the packets that it has passed, lost, and dropped because it was cut."""

    delay: float = 0.0  # seconds
    loss: float = 0.0  # share of the packets
    rate: float = 0.0  # bytes per second; 0: no limit
    cut: bool = False
    free: float = 0.0  # when the last packet has left, at this rate
    passed: int = 0
    lost: int = 0
    dropped: int = 0

    def due(self, size: int, now: float, chance: float) -> float | None:
        """When a packet of `size` bytes arrives; None if it never does. chance: a random number in [0, 1)."""
        if self.cut:
            self.dropped += 1
            return None
        if chance < self.loss:
            self.lost += 1
            return None
        if self.rate:
            begin = max(now, self.free)
            if (begin - now) * self.rate > max(QUEUE_BYTES, QUEUE_SECONDS * self.rate):
                self.lost += 1
                return None
            self.free = now = begin + size / self.rate
        self.passed += 1
        return now + self.delay


class Switch:
    """Forwards packets between hosts, and obeys commands, in one thread."""

    def __init__(self) -> None:
        self.links: defaultdict[tuple[int, int], Link] = defaultdict(Link)
        self._devices: dict[int, int] = {}  # the descriptor of each host's device
        self._held: list[tuple[float, int, int, bytes]] = []  # when due, a number, to which host, the packet
        self._held_bytes = 0
        self._count = itertools.count()
        self._random = random.Random(0)

    def serve(self, path: str) -> None:
        """Forward packets, and answer commands at a Unix socket, until this process is killed."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            while True:
                wait = max(0.0, self._held[0][0] - time.monotonic()) if self._held else None
                watched: list[Any] = [listener, *self._devices.values()]
                ready, _, _ = select.select(watched, [], [], wait)
                for host, device in list(self._devices.items()):
                    if device in ready:
                        self._read(host, device)
                self._deliver(time.monotonic())
                if listener in ready:
                    self._obey(listener)

    def add(self, host: int, process: int) -> None:
        """Make a TUN device, move it into the network namespace of a process, and give it the host's address."""
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            made = fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"ddmlp%d", IFF_TUN | IFF_NO_PI))
            name = made[:16].rstrip(b"\0").decode()
            _run("ip", "link", "set", name, "netns", str(process), "name", "net0")
            inside = ["nsenter", "--net", "--target", str(process), "ip"]
            _run(*inside, "address", "add", f"{NETWORK}{host}/24", "dev", "net0")
            _run(*inside, "link", "set", "net0", "mtu", str(MTU), "txqueuelen", "5000", "up")
        except BaseException:
            os.close(device)
            raise
        self._remove(host)
        self._devices[host] = device

    def _read(self, host: int, device: int) -> None:
        """Read the packets that a host has sent."""
        now = time.monotonic()
        for _ in range(BURST):
            try:
                packet = os.read(device, 1 << 16)
            except BlockingIOError:
                return
            except OSError:  # its namespace is gone
                self._remove(host)
                return
            there = packet[19]  # the last byte of the destination, if this is IPv4
            if packet[0] >> 4 != 4 or there not in self._devices:
                continue
            due = self.links[host, there].due(len(packet), now, self._random.random())
            if due is None or self._held_bytes > HELD_BYTES:
                continue
            if due <= now:
                self._write(there, packet)
            else:
                heapq.heappush(self._held, (due, next(self._count), there, packet))
                self._held_bytes += len(packet)

    def _deliver(self, now: float) -> None:
        """Write the packets that are due."""
        while self._held and self._held[0][0] <= now:
            *_, there, packet = heapq.heappop(self._held)
            self._held_bytes -= len(packet)
            self._write(there, packet)

    def _write(self, host: int, packet: bytes) -> None:
        if host in self._devices:
            try:
                os.write(self._devices[host], packet)
            except BlockingIOError:
                pass
            except OSError:
                self._remove(host)

    def _remove(self, host: int) -> None:
        if host in self._devices:
            os.close(self._devices.pop(host))

    def _obey(self, listener: socket.socket) -> None:
        """Execute one command, a JSON object. The answer is a text; if it begins with "error: ", nothing was done."""
        end, _ = listener.accept()
        with end:
            end.settimeout(1.0)
            try:
                answer = self._execute(**json.loads(end.recv(1 << 16)))
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                answer = f"error: {error}"
            with suppress(OSError):  # nobody may wait for it any more
                end.sendall(answer.encode())

    def _execute(self, command: str, hosts: list[str], process: int, one_way: bool, **values: float) -> str:
        there = self._between(*hosts) if len(hosts) == 2 else []
        back = self._between(*reversed(hosts)) if there else []
        match command:
            case "add":
                self.add(int(hosts[0]), process)
            case "link":
                for link in there + back:
                    link.delay, link.loss = values["delay"] / 1000, values["loss"] / 100
                    link.rate = values["rate"] * BYTES_PER_MEGABIT
            case "cut" | "heal":
                for link in there if one_way else there + back:
                    link.cut = command == "cut"
        return self._table() if command == "links" else ""

    def _between(self, one: str, other: str) -> list[Link]:
        """The links from one host to another; "all" is each connected one. Raises ValueError if one is not there."""
        ones, others = (self._devices if each == "all" else [int(each)] for each in (one, other))
        if unknown := {*ones, *others} - self._devices.keys():
            raise ValueError(f"no host {min(unknown)}; the hosts are {', '.join(map(str, self._devices))}")
        return [self.links[here, there] for here in ones for there in others if here != there]

    def _table(self) -> str:
        rows: list[tuple[str, ...]] = [
            ("from", "to", "state", "delay ms", "loss %", "Mbit/s", "passed", "lost", "dropped")
        ]
        for (here, there), link in sorted(self.links.items()):
            numbers = (link.delay * 1000, link.loss * 100, link.rate / BYTES_PER_MEGABIT)
            counts = (link.passed, link.lost, link.dropped)
            cells = (here, there, "cut" if link.cut else "up", *(f"{each:g}" for each in numbers), *counts)
            rows.append(tuple(map(str, cells)))
        return "\n".join(
            "  ".join(f"{cell:>{len(title)}}" for cell, title in zip(row, rows[0], strict=True)) for row in rows
        )


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=5)


if __name__ == "__main__":
    Switch().serve(sys.argv[1])

"""Hosts on one Linux machine: network namespaces, each with a link of its own to a switch. Root is needed.

A token bucket (tc tbf) at each end of a link holds it to a rate in each direction, for everything that the host sends
and receives together. Everything is gone when the process that made it ends.
"""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

PREFIX = "10.79.0."  # and the number of the host
CLONE_NEWNET = 0x4000_0000
BURST, BURST_SECONDS = 8_000, 0.000_2  # bytes that pass at once, at least; a fast link needs more
QUEUE_SECONDS = 0.2  # what a link holds; then it drops
CONTROL = "reno"  # of TCP's congestion; every kernel has it, and permits it in any namespace
MOST = 200  # hosts


def why_not() -> str:
    """Why this machine permits no such network; "" if it does."""
    missing = [tool for tool in ("ip", "tc") if shutil.which(tool) is None]
    if missing:
        return f"{' and '.join(missing)} not found (package iproute2)"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    script = "ip link add one type veth peer name two && tc qdisc add dev one root tbf rate 1mbit burst 8000 limit 8000"
    done = subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True, text=True)
    return done.stderr.strip() and f"the kernel permits no namespaces, or has no veth or tbf: {done.stderr.strip()}"


class ShapedNetwork:
    """Hosts, by their numbers from 1 on. Make it in a process of its own, which leaves the machine's network.

    Parameters
    ----------
    hosts : int
        The number of hosts.
    rate : float
        Bytes per second and direction of each link, with all headers; 0: unlimited.
    """

    def __init__(self, hosts: int, rate: float) -> None:
        assert hosts <= MOST, f"{hosts} hosts, expected at most {MOST}"
        self._switch = _new_namespace()
        _run("ip link add switch type bridge", "ip link set switch up")
        self._hosts = [self._connect(number + 1, rate) for number in range(hosts)]
        enter(self._path(self._switch))

    def place(self, host: int) -> str:
        """What a process passes to `enter` to be on a host."""
        return self._path(self._hosts[host - 1])

    def close(self) -> None:
        """Remove everything, once no process is on a host any more."""
        for descriptor in (*self._hosts, self._switch):
            os.close(descriptor)

    def _connect(self, host: int, rate: float) -> int:
        """Make a host, and its link; returns a descriptor of its namespace."""
        here = _new_namespace()
        Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text(CONTROL)
        _run(
            f"ip link add net0 type veth peer name to{host} netns {self._path(self._switch)}",
            "ip link set lo up",
            f"ip address add {address(host)}/24 dev net0",
            "ip link set net0 up",
            *_shape("net0", rate),
        )
        enter(self._path(self._switch))
        _run(f"ip link set to{host} master switch up", *_shape(f"to{host}", rate))
        return here

    @staticmethod
    def _path(descriptor: int) -> str:
        return f"/proc/{os.getpid()}/fd/{descriptor}"


def address(host: int) -> str:
    """The IP address of a host."""
    return f"{PREFIX}{host}"


def enter(place: str) -> None:
    """Move this thread to a host; threads and processes that it starts later are there, too."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        _call("setns", descriptor, CLONE_NEWNET)
    finally:
        os.close(descriptor)


def _new_namespace() -> int:
    """Move this thread to a new namespace; returns a descriptor of it."""
    _call("unshare", CLONE_NEWNET)
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _call(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def _shape(device: str, rate: float) -> list[str]:
    """The command that limits what a device sends."""
    if not rate:
        return []
    burst = max(BURST, int(rate * BURST_SECONDS))
    limit = max(2 * burst, int(rate * QUEUE_SECONDS))
    return [f"tc qdisc add dev {device} root tbf rate {int(8 * rate)}bit burst {burst} limit {limit}"]


def _run(*commands: str) -> None:
    for command in commands:
        subprocess.run(command.split(), check=True, stdin=subprocess.DEVNULL, timeout=10)

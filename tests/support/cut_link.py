"""A network of its own for a command, whose link to this machine can be cut: packets are then lost silently."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

HERE, THERE = "10.78.0.1", "10.78.0.2"
MACS = "02:00:00:00:78:01", "02:00:00:00:78:02"


class CutLink:
    """The link. This machine has the address HERE, and a command after the words of `before` has THERE."""

    def __init__(self, holder: int) -> None:
        """holder: a process in the other network."""
        self.before = ["nsenter", f"--net=/proc/{holder}/ns/net"]
        self._ends = ("here78", []), ("there78", self.before)
        (here, _), (there, _) = self._ends
        other = f"type veth peer name {there} address {MACS[1]} netns {holder}"
        self._run(f"ip link add {here} address {MACS[0]} {other}")
        self._run("ip link set lo up", self.before)
        for (end, where), address, far, mac in zip(self._ends, (HERE, THERE), (THERE, HERE), MACS[::-1], strict=True):
            self._run(f"ip address add {address}/24 dev {end}", where)
            self._run(f"ip link set {end} up", where)
            # So no address has to be found: if that failed, connections would be refused at once.
            self._run(f"ip neighbor replace {far} lladdr {mac} dev {end} nud permanent", where)

    def cut(self) -> None:
        """Lose all packets, in both directions: no queue of one byte has room for any."""
        for end, where in self._ends:
            self._run(f"tc qdisc add dev {end} root bfifo limit 1", where)

    def heal(self) -> int:
        """Pass packets again; return how many were lost."""
        lost = 0
        for end, where in self._ends:
            lost += int(re.findall(r"dropped (\d+)", self._run(f"tc -s qdisc show dev {end}", where))[0])
            self._run(f"tc qdisc del dev {end} root", where)
        return lost

    def _run(self, command: str, where: list[str] | None = None) -> str:
        done = subprocess.run([*(where or []), *command.split()], check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout


@contextmanager
def link_up() -> Iterator[CutLink]:
    """Make the network; it is gone after the block, with the process that is in it. Needs root."""
    assert os.geteuid() == 0, "only root may make networks"
    words = ["unshare", "--net", "sh", "-c", "echo made; exec sleep infinity"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "made\n"
            yield CutLink(holder.pid)
        finally:
            holder.kill()

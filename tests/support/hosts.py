"""Several hosts on this machine, made by cluster/hosts.sh, and runs on them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

SCRIPT = Path(__file__).parents[2] / "cluster" / "hosts.sh"
REQUIRED = "DDMLP_HOSTS"  # if this is set, as in CI, tests that need hosts fail where there can be none
SETTINGS = ("--hidden", "20", "--batch", "150", "--microbatch", "32", "--checkpoint-every", "500", "--no-report")
LONG = ("--epochs", "100000")  # until it is asked to stop
SECONDS = 100


def environment(state: Path) -> dict[str, str]:
    """Return the environment of the script, without what another Ray may have left in that of this process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}"
    return {**clean, "PATH": path, "DDMLP_HOSTS_DIR": str(state), "PYTHONPATH": str(SCRIPT.parents[1])}


def need_hosts() -> None:
    """Skip the test if this machine permits no hosts."""
    done = subprocess.run([SCRIPT, "check"], env=environment(Path("/")), capture_output=True, text=True)
    if done.returncode and REQUIRED not in os.environ:
        pytest.skip(f"no hosts here: {done.stderr.strip()}")
    assert not done.returncode, f"{REQUIRED} is set, and {done.stderr}"


class Hosts:
    """Hosts, by their numbers. Host 1 has Ray's head."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def __call__(self, *words: object, **variables: str) -> str:
        """Run a command of the script; return its output. It must succeed."""
        done = subprocess.run(
            [SCRIPT, *map(str, words)],
            env=environment(self.state) | variables,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def on(self, host: int, command: Sequence[object], **options: Any) -> "subprocess.Popen[str]":
        """Start a command on a host, in its own process group."""
        words = [SCRIPT, "on", str(host), *map(str, command)]
        return subprocess.Popen(words, env=environment(self.state), text=True, start_new_session=True, **options)

    def links(self) -> dict[tuple[int, int], dict[str, str]]:
        """The table of links."""
        title, *rows = (re.split(r"  +", line.strip()) for line in self("links").splitlines())
        return {(int(row[0]), int(row[1])): dict(zip(title, row, strict=True)) for row in rows}

    def dropped(self, one: int, other: int) -> int:
        """The number of packets from one host to another that met a cut."""
        return int(self.links()[one, other]["dropped"])

    def reset(self) -> None:
        """Let all links pass everything again."""
        self("heal")
        self("link", "all", "all")


@contextmanager
def hosts_up(share: Sequence[Path], number: int = 3, cpus: int = 1) -> Iterator[Hosts]:
    """Start hosts, and stop them after the block. Host 1, with Ray's head, has no CPU for a worker, the others have
    `cpus`: if a run is started on host 1, all gradients come from other hosts."""
    parent = Path(tempfile.mkdtemp(prefix="dd-hosts-", dir="/var/tmp"))
    hosts = Hosts(parent / "s")
    try:
        shared = [word for folder in share for word in ("--share", folder)]
        hosts("start", "--hosts", number, "--cpus", cpus, "--head-cpus", 0, *shared)
        yield hosts
    finally:
        hosts("stop")
        shutil.rmtree(parent)


class Training:
    """A run on a host, which its process group has: the command, and what it has printed so far."""

    def __init__(self, process: "subprocess.Popen[str]", errors: IO[str], run: Path) -> None:
        self.process, self.run, self.seen = process, run, ""
        assert process.stdout is not None
        self._lines, self._errors = process.stdout, errors

    def wait_for(self, pattern: str) -> str:
        """Wait until the command prints a matching line; return it."""
        for line in self._lines:
            self.seen += line
            if re.search(pattern, line):
                return line
        raise AssertionError(f"{pattern!r} was not printed: {self.seen}{self.errors()}")

    def interrupt(self) -> None:
        """Interrupt the run, which must write a checkpoint."""
        os.killpg(self.process.pid, signal.SIGINT)
        assert self.ended() == 130, self.seen + self.errors()

    def ended(self) -> int:
        """Wait until the command has ended; return its exit status."""
        self.seen += self._lines.read()
        return self.process.wait(SECONDS)

    def errors(self) -> str:
        """The error output so far."""
        self._errors.seek(0)
        return self._errors.read()

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind in the metrics of the run."""
        lines = (self.run / "metrics.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    @property
    def result(self) -> dict[str, Any]:
        """The result of the run."""
        found: dict[str, Any] = json.loads((self.run / "result.json").read_bytes())
        return found


@contextmanager
def training(hosts: Hosts, host: int, data: Path, run: Path, *more: object, workers: object = 2) -> Iterator[Training]:
    """Start a run on a host; it is killed after the block if it still runs."""
    command = ["python", "-m", "ddmlp.train", "--data", data, "--run", run, "--workers", workers, *SETTINGS, *more]
    with (
        tempfile.TemporaryFile("w+") as errors,
        hosts.on(host, command, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        try:
            yield Training(process, errors, run)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

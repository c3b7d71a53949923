"""Runs on the stream of a broker whose processes are killed while the rows flow."""

import os
import random
import signal
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from tests.support.broker import Sent, Server
from tests.support.processes import SERVER, WORKER, actors
from tests.support.producer import CHUNK, Producer
from tests.support.stream_run import StreamRun

ACTORS = {"server": SERVER, "worker": WORKER}


def train_killed(
    server: Server, stream: str, messages: Sequence[Sent], run: StreamRun, victims: Sequence[str], seed: int
) -> dict[str, Any]:
    """Train on a stream, kill each of the victims at a random moment, and return the result.

    A victim is "broker"; "command", which reads the stream, and without Ray trains, too; or with Ray "server" or
    "worker".
    """
    draw = random.Random(seed)
    # By the number of rows that are published: some before the first, some while they arrive.
    moments = sorted((draw.randrange(len(messages) * 9 // 10), victim) for victim in victims)
    server.send(stream, messages[:CHUNK])  # the stream exists
    producer = Producer(server, stream, messages)
    with producer.sending(), run.training():
        for moment, victim in moments:
            run.wait_for(moment)
            time.sleep(draw.uniform(0.0, 0.5))
            assert run.process.poll() is None, run.errors()
            if victim == "broker":
                kill_broker(server, stream, producer, draw)
            elif victim == "command":
                run.kill()
                run.start()
            else:
                kill_actor(ACTORS[victim], run, draw)
        run.wait_until(lambda: server.count(stream) == len(messages), f"{len(messages)} messages")
    return run.finish(len(messages))


def kill_broker(server: Server, stream: str, producer: Producer, draw: random.Random) -> None:
    """Kill the broker, and start it again."""
    with producer.lock if server.lazy else nullcontext():
        stored = server.count(stream)
        server.settle()
        server.kill()
    time.sleep(draw.uniform(0.0, 0.2))
    server.start()
    assert server.count(stream) >= stored, "the server has lost messages"


def kill_actor(title: bytes, run: StreamRun, draw: random.Random) -> None:
    """Kill one of the actors with this title, as soon as there is one. If it dies before the run trains, the command
    ends with an error."""

    def killed() -> bool:
        if not run.trains or not (found := actors(title)):
            return False
        try:
            os.kill(draw.choice(found), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    run.wait_until(killed, f"{title.decode()} killed")

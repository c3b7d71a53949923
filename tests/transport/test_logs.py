"""The logs of server and workers: joins, leaves, rejections; and a unit costs nothing if it is not logged."""

import logging
import os
import struct
import sys
import threading
from collections import Counter

import pytest
from msgspec.structs import replace

from ddmlp.config import Timeouts
from ddmlp.errors import ClusterError
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.log_files import LEVELS
from ddmlp.training.messages import Unit
from ddmlp.transport import protocol
from ddmlp.transport.client import WorkerClient
from tests.support.sockets import (
    PLAN,
    SECONDS,
    SECRET,
    SHAPE,
    Training,
    admit,
    all_kinds,
    dial,
    hand_out,
    heard,
    hello,
    impatient,
    introduce,
    listening,
    meet,
    work,
)

SERVER, WORKER = "ddmlp.transport.connections", "ddmlp.transport.client"


@pytest.fixture
def logged(caplog):
    """Returns the level, the logger and the text of each record, of INFO and above unless the test sets a level."""
    caplog.set_level(logging.INFO, "ddmlp")
    return lambda: [(each.levelno, each.name, each.getMessage()) for each in caplog.records]


def warnings(logged):
    return [text for level, _, text in logged() if level == logging.WARNING]


@all_kinds
def test_simple(pool, dataset, threads, expected, logged, kind):
    threads.submit(work, pool.addresses[kind], dataset, 3)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected
    assert {(level, name) for level, name, _ in logged()} == {(logging.INFO, WORKER), (logging.INFO, SERVER)}
    assert ["worker 3" in text for *_, text in logged()] == [True, True]


def test_left(pool, dataset, logged):
    admit(pool, pool.addresses[0], dataset, 3).close()
    pool.gather(2, 0.1)
    level, name, text = logged()[-1]
    assert (level, name) == (logging.INFO, SERVER)
    assert text.startswith("worker 3 on here exited: ")


@impatient(handshake=0.1)
@pytest.mark.parametrize(("sent", "reason"), [(b"", "0.1 s"), (b"\xff" * 12, "65,536"), (b"\0", "0.1 s")])
def test_rejected_client(pool, logged, sent, reason):
    """The log has the reason, and the address of the client."""
    client = dial(pool.addresses[1])
    host, port = client.socket.getsockname()
    os.write(client.fileno(), sent)
    meet(pool, heard, client)
    client.close()
    (text,) = warnings(logged)
    assert f"{host}:{port}" in text
    assert reason in text


def test_wrong_secret(pool, logged):
    client = dial(pool.addresses[0])
    meet(pool, introduce, client, b"another", b"{}")
    meet(pool, heard, client)
    client.close()
    (text,) = warnings(logged)
    assert "this machine" in text
    assert "secret" in text


def test_other_dataset(pool, dataset, logged):
    """The log has the worker, its host and address, and the reason, in one line without control characters."""
    other = replace(hello(7, dataset), dataset_sha256="0" * 64, dataset="evil\n\x1b[31m", host="far\n2026 INFO")
    with pytest.raises(ClusterError, match="worker 7"):
        meet(pool, WorkerClient, pool.addresses[1], SECRET, other, SHAPE, Timeouts())
    (text,) = warnings(logged)
    assert text.isprintable()
    for fact in ("worker 7", r"far\n2026 INFO", "127.0.0.1:", r"evil\n\x1b[31m", "300 rows"):
        assert fact in text


@pytest.mark.parametrize("answer", [b"A", b"X" * protocol.ANSWER_BYTES, b"\n\x1b" * 40])
def test_malformed_answer(pool, dataset, logged, answer):
    client = admit(pool, pool.addresses[1], dataset, 5)
    hand_out(pool, Node(0, 8))
    client._wire.send(answer)
    pool.next_result(0.1)
    client.close()
    assert pool.count == 0
    (text,) = warnings(logged)
    assert "worker 5 on here" in text
    assert text.isprintable()


def test_answer_without_unit(pool, dataset, logged):
    unit = Unit(0, 0, Node(0, 8))
    client = admit(pool, pool.addresses[1], dataset, 5)
    client.answer(unit, RowStats(8, 1, 0.5, 1, 0.25))
    pool.next_result(0.1)
    client.close()
    (text,) = warnings(logged)
    assert f"{unit}, expected none" in text


@pytest.mark.parametrize("message", [struct.pack("<I", 2**31), b"what"])
def test_malformed_unit(pool, dataset, logged, message):
    """The worker logs it."""
    client = admit(pool, pool.addresses[0], dataset, 5)
    next(iter(pool._peers.values())).wire.send(message)
    assert list(client.units()) == []
    client.close()
    assert len(warnings(logged)) == 1


@pytest.fixture
def calls():
    """Calls of functions of `logging`, by their names, in this thread and in those that are started."""
    calls = Counter()

    def count(frame, event, _):
        if event == "call" and frame.f_code.co_filename == logging.__file__:
            calls[frame.f_code.co_name] += 1

    threading.setprofile(count)
    sys.setprofile(count)
    yield calls
    sys.setprofile(None)
    threading.setprofile(None)


@pytest.mark.parametrize("level", [LEVELS["off"], logging.DEBUG])
def test_units(dataset, threads, caplog, calls, level):
    """At DEBUG, each unit is logged when it is sent, computed and answered. Otherwise it causes no call."""
    caplog.set_level(level, "ddmlp")
    with listening(dataset) as pool:
        done = threads.submit(work, pool.addresses[0], dataset, 3)
        assert pool.gather(1, SECONDS)
        Training(pool, 2).run()
    units = [str(Unit(step, step, node)) for step in range(PLAN.steps) for node in PLAN.units_for(step, (1, 1))]
    assert done.result() == len(units)
    if level == logging.DEBUG:
        assert calls["debug"] == 3 * len(units)
        texts = [each.getMessage() for each in caplog.records]
        assert [sum(text.startswith(unit) for text in texts) for unit in units] == [3] * len(units)
    else:
        assert calls["debug"] == 0
        assert 0 < calls["isEnabledFor"] < len(units) // 2, "to connect, and once for all units"

"""The frames and the handshake's messages: what is read as it was written, and what is refused."""

import json
import math

import pytest
from msgspec.structs import replace

from ddmlp.config import TrainConfig
from ddmlp.errors import DatasetError
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Unit
from ddmlp.transport import protocol
from ddmlp.transport.protocol import Hello, Welcome

UNIT = Unit(2**40, 2**40 + 1, Node(3, 2**31))
HELLO = Hello(3, protocol.VERSION, "a" * 64, "d" * 64, TrainConfig().as_dict())


def test_simple():
    row_stats = RowStats(2**40, 2**64 - 1, -0.1, 2**33, math.inf)
    for follows in (0, 2**40):
        assert protocol.unpack_unit(protocol.pack_unit(UNIT, 3, follows, 0.5)) == (UNIT, 3, follows, 0.5)
    assert protocol.unpack_answer(protocol.pack_answer(UNIT, row_stats, 1, 9, 0.25)) == (UNIT, row_stats, 1, 9, 0.25)
    error = protocol.unpack_failure(protocol.pack_failure(DatasetError("row\n3" + 9_999 * "!")))
    assert type(error) is DatasetError
    assert str(error).startswith(r"row\n3!")
    assert len(str(error)) < protocol.LONGEST_TEXT + 10
    assert protocol.unpack(protocol.pack(HELLO), Hello) == HELLO
    for welcome in (Welcome(shared=True, slots=4), Welcome(shared=False, slots=7, refused="no")):
        assert protocol.unpack(protocol.pack(welcome), Welcome) == welcome


def test_kinds_of_frame():
    row_stats = RowStats(1, 1, 1.0, 1, 1.0)
    frames = [
        protocol.pack_unit(UNIT, 0, 0),
        protocol.pack_answer(UNIT, row_stats, 0, 0, 0.0),
        protocol.pack_failure(OSError()),
    ]
    assert [frame[:1] for frame in frames] == [protocol.UNIT, protocol.ANSWER, protocol.FAILURE]
    assert len({protocol.UNIT, protocol.ANSWER, protocol.FAILURE}) == 3


@pytest.mark.parametrize("sent", [b"", b"no JSON", b"[]", b"5", b"{}", b'{"worker": 1}', b"\xff", b"null"])
def test_no_hello(sent):
    with pytest.raises(ValueError, match=r"."):
        protocol.unpack(sent, Hello)


def test_hello_of_later_version():
    later = json.dumps({**json.loads(protocol.pack(HELLO)), "protocol": 99, "more": []}).encode()
    assert "version 99 of the protocol" in HELLO.difference(protocol.unpack(later, Hello))


@pytest.mark.parametrize("value", [None, [], {}, [1], {"a": 1}])
def test_bad_setting(value):
    sent = json.dumps({**json.loads(protocol.pack(HELLO)), "config": {"seed": value}}).encode()
    with pytest.raises(ValueError, match=r"hello: .*config"):
        protocol.unpack(sent, Hello)


@pytest.mark.parametrize("worker", ["3", 3.0, True, None, [3], -(2**31) - 1, 2**31])
def test_bad_worker_number(worker):
    with pytest.raises(ValueError, match=r"hello: .*worker"):
        protocol.unpack(json.dumps({**json.loads(protocol.pack(HELLO)), "worker": worker}).encode(), Hello)


@pytest.mark.parametrize(
    "sent", [b"", b"[]", b"{}", b'{"error": 5, "message": "six"}', b'{"error": "E", "message": 6}', b"[" * 100_000]
)
def test_no_failure(sent):
    with pytest.raises(ValueError, match=r"."):
        protocol.unpack_failure(protocol.FAILURE + sent)


def test_settings_that_differ():
    mine, theirs = (
        replace(HELLO, config=TrainConfig(seed=seed, lr=lr).as_dict()) for seed, lr in ((1, 0.5), (2, 0.25))
    )
    expected = "settings: %s, the server %s"
    assert mine.difference(theirs).endswith(expected % ({"lr": 0.25, "seed": 2}, {"lr": 0.5, "seed": 1}))
    more = replace(mine, config={**mine.config, "more": 5})
    assert mine.difference(more).endswith(expected % ({"more": 5}, {"more": None}))
    assert more.difference(mine).endswith(expected % ({"more": None}, {"more": 5}))
    assert mine.difference(replace(mine, worker=7)) is None

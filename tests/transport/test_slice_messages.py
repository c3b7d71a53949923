"""The messages of servers of slices, as bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.plan.reduction_tree import Node
from ddmlp.training.messages import Unit
from ddmlp.transport.slice_messages import APPLY, GRADIENT, MESSAGE_BYTES, ROOM, Message

INTEGERS, SIZES = st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**32 - 1)


def test_simple():
    unit = Unit(512, 510, Node(2, 4))
    found = Message.about(GRADIENT, unit, 4096)
    assert (found.unit, found.follows) == (unit, 4096)
    assert len(found.pack()) == MESSAGE_BYTES


@given(
    st.builds(
        Message,
        st.binary(min_size=1, max_size=1),
        INTEGERS,
        INTEGERS,
        st.builds(Node, SIZES, SIZES),
        st.integers(0, 2**64 - 1),
        st.floats(allow_nan=False),
        st.lists(INTEGERS, max_size=20).map(tuple),
    )
)
def test_any_message(message):
    assert Message.unpack(message.pack()) == message


@pytest.mark.parametrize("size", [0, 1, MESSAGE_BYTES - 1, MESSAGE_BYTES + 1, MESSAGE_BYTES + 15])
def test_other_sizes(size):
    frame = Message(APPLY, versions=(1, 2)).pack()
    with pytest.raises(ValueError, match=f"{size} bytes"):
        Message.unpack(frame[:size])


def test_too_many_versions():
    assert Message.unpack(Message(APPLY, versions=(0,) * ROOM).pack()).versions == (0,) * ROOM
    with pytest.raises(ValueError, match=r"expected 41 and at most 2,048"):
        Message.unpack(Message(APPLY, versions=(0,) * (ROOM + 1)).pack())

"""Messages of RabbitMQ streams, and their payloads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.data.sources.messages import Message
from ddmlp.data.sources.rabbitmq_chunk import StoredMessage
from ddmlp.data.sources.rabbitmq_messages import RabbitMessages, payload_of

pytestmark = pytest.mark.sources


def test_simple():
    stored = [StoredMessage(5, offset, memoryview(content)) for offset, content in [(7, b"one"), (9, b"two")]]
    found = RabbitMessages("digits", stored)
    assert (len(found), found.payloads, found.labels) == (2, [b"one", b"two"], [None, None])
    first, second = (f"{each.offset + 1}@{each.checksum}" for each in stored)
    assert [found.following(count) for count in range(3)] == [{}, {"digits": first}, {"digits": second}]
    assert [*found] == [
        Message("digits", "7", first, b"one", None, 5),
        Message("digits", "9", second, b"two", None, 5),
    ]


def test_payloads():
    from rstream import AMQPMessage, amqp_decoder

    def payload(**sections: object) -> tuple[bytes | None, bytes | None]:
        return payload_of(memoryview(bytes(AMQPMessage(**sections))), amqp_decoder)

    assert payload(body=b"pixels") == (b"pixels", None)
    assert payload(body=b"pixels", application_properties={"label": "7"}) == (b"pixels", b"7")
    assert payload(body=b"pixels", application_properties={"label": 7, "other": "8"}) == (b"pixels", b"7")
    assert payload(body=b"pixels", message_annotations={"label": "7"}) == (b"pixels", None)
    assert payload(value=b"text") == (b"text", None)
    assert payload(value=7) == (None, None)
    assert payload(application_properties={"label": "7"}) == (None, b"7")


@pytest.mark.parametrize(
    "content", [b"", b"\0", b'{"label": 7}', b"\0Su", b"\0Su\xa0", b"\0St\xff\xff\xff", b"\0So\xa0\1a"]
)
def test_bytes_without_amqp(content: bytes):
    from rstream import amqp_decoder

    assert payload_of(memoryview(content), amqp_decoder) == (content, None)


@given(st.binary(max_size=300), st.none() | st.text("0123456789a", max_size=4), st.binary(max_size=1))
def test_plain_messages(body: bytes, label: str | None, more: bytes):
    """They are decoded as the client decodes them."""
    from rstream import AMQPMessage, amqp_decoder

    properties = None if label is None else {"label": label}
    content = bytes(AMQPMessage(body=body or b"-", application_properties=properties)) + more
    expected = amqp_decoder(content) if not more else None
    found = payload_of(memoryview(content), amqp_decoder)
    if expected is None:  # it is malformed
        assert found == (content, None)
    else:
        assert found == (expected.body, None if label is None else label.encode())

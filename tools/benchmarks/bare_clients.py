"""The client libraries of message brokers alone: they read a stream, and do nothing with what is in it."""

import asyncio
from collections.abc import Callable, Generator
from typing import Any

from ddmlp.data.sources.fetch_size import FETCH_BYTES

SECONDS = 1.0  # of a wait for messages

# Reads a stream from its first message: the port of the server on this machine, the stream, and how many messages to
# fetch at a time. Yields the number of messages of each fetch.
Client = Callable[[int, str, int], Generator[int]]


def redis(port: int, stream: str, count: int) -> Generator[int]:
    from redis import Redis

    with Redis(port=port, protocol=2) as client:
        last = b"0"
        while True:
            ((_, found),) = client.xread({stream: last}, count=count, block=round(SECONDS * 1000))
            last = found[-1][0]
            yield len(found)


def kafka(port: int, stream: str, count: int) -> Generator[int]:
    from confluent_kafka import Consumer, TopicPartition

    settings = {
        "bootstrap.servers": f"127.0.0.1:{port}",
        "group.id": "client",
        "enable.auto.commit": False,
        "queued.max.messages.kbytes": 2 * FETCH_BYTES >> 10,
        "fetch.max.bytes": FETCH_BYTES,
    }
    consumer = Consumer(settings)
    try:
        consumer.assign([TopicPartition(stream, 0, 0)])
        while True:
            found = consumer.consume(count, SECONDS)
            for each in found:  # the other clients return the contents of all messages without being asked
                assert each.error() is None
                each.value()
                each.headers()
            yield len(found)
    finally:
        consumer.close()


def nats(port: int, stream: str, count: int) -> Generator[int]:
    from nats import connect
    from nats.js.api import AckPolicy, ConsumerConfig

    with asyncio.Runner() as runner:
        client = runner.run(connect(f"nats://127.0.0.1:{port}"))
        try:
            config = ConsumerConfig(ack_policy=AckPolicy.NONE)
            messages: Any = runner.run(client.jetstream().pull_subscribe("", stream=stream, config=config))
            while True:
                yield len(runner.run(messages.fetch(count, SECONDS)))
        finally:
            runner.run(client.close())


def rabbitmq(port: int, stream: str, count: int) -> Generator[int]:
    from rstream import Consumer, amqp_decoder

    arrived, enough = 0, asyncio.Event()

    def take(*_: object) -> None:
        nonlocal arrived
        arrived += 1
        if arrived >= count:
            enough.set()

    async def begin() -> Any:
        consumer = Consumer("127.0.0.1", port, username="guest", password="guest")
        await consumer.subscribe(stream, take, decoder=amqp_decoder)
        return consumer

    with asyncio.Runner() as runner:
        consumer = runner.run(begin())
        try:
            while True:
                runner.run(enough.wait())
                yield arrived
                arrived = 0
                enough.clear()
        finally:
            runner.run(consumer.close())


CLIENTS: dict[str, Client] = {"redis": redis, "kafka": kafka, "nats": nats, "rabbitmq": rabbitmq}
